//! Signatures over the wire: what opens a door and what doesn't, one row a shape.

use super::scene::*;

fn with(line: &str, body: &str) -> String {
    request("/hooks/ops", &[line, "Connection: close"], body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_is_64_hex_digits_once_and_nothing_else() {
    let stage = stage(|_| {}).await;
    let good = signature(SECRET, "{}");
    let upper = good.to_uppercase();
    let mixed = format!("{}{}", &upper[..32], &good[32..]);
    let rows = [
        ("bare", good.clone(), "200"),
        ("prefixed", format!("sha256={good}"), "200"),
        ("in capitals", upper.clone(), "200"),
        ("in both", mixed, "200"),
        ("with white space around it", format!("  {good}\t"), "200"),
        ("prefix in capitals", format!("SHA256={good}"), "401"),
        ("prefix twice", format!("sha256=sha256={good}"), "401"),
        ("another prefix", format!("sha1={good}"), "401"),
        ("white space behind the prefix", format!("sha256= {good}"), "401"),
        ("one digit less", good[1..].to_owned(), "401"),
        ("half of it", good[..32].to_owned(), "401"),
        ("one digit more", format!("{good}0"), "401"),
        ("twice", format!("{good}{good}"), "401"),
        ("in a list", format!("{good},{good}"), "401"),
        ("0x before it", format!("0x{}", &good[2..]), "401"),
        ("nothing", String::new(), "401"),
        ("another letter", format!("{}g", &good[..63]), "401"),
        ("quoted", format!("\"{good}\""), "401"),
        ("all zeros", "0".repeat(64), "401"),
    ];
    for (name, value, wanted) in rows {
        let answer = send(stage.address, &with(&format!("X-Hook-Signature: {value}"), "{}")).await;
        assert_eq!(status(&answer), wanted, "{name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bit_of_a_signature_can_be_another() {
    let stage = stage(|hook| hook.edge.connections_max = 512).await;
    let good = signature(SECRET, "{}");
    let flipped = |bit: usize| {
        let digit = u32::from_str_radix(&good[bit / 4..=bit / 4], 16).expect("a digit") ^ 1 << (bit % 4);
        format!("{}{digit:x}{}", &good[..bit / 4], &good[bit / 4 + 1..])
    };
    for bit in 0..256 {
        let answer = send(stage.address, &with(&format!("X-Hook-Signature: {}", flipped(bit)), "{}")).await;
        assert_eq!(status(&answer), "401", "bit {bit}");
    }
    serves_at_once(stage.address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_proves_until_it_expires_and_its_answer_then_is_any_refusals() {
    let second = Duration::from_secs(1);
    let stage = stage(|hook| {
        let secret = |text| Secret::parse(text).expect("a secret");
        hook.doors[0].secrets = vec![secret("next"), secret(SECRET).until(NOW + second), secret("former").until(NOW)];
    })
    .await;
    for (secret, wanted) in [("next", "200"), (SECRET, "200"), ("former", "401"), ("another", "401")] {
        let answer = send(stage.address, &with(&format!("X-Hook-Signature: {}", signature(secret, "{}")), "{}")).await;
        assert_eq!(status(&answer), wanted, "{secret}");
        let refusal = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(answer == refusal, wanted == "401", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_have_the_names_that_the_config_gives_them_and_no_others() {
    let stage = stage(|hook| hook.signature_headers = vec!["x-our-signature".into()]).await;
    let good = signature(SECRET, "{}");
    for (name, wanted) in [("X-Our-Signature", "200"), ("X-Hook-Signature", "401"), ("X-Missive-Signature", "401")] {
        assert_eq!(status(&send(stage.address, &with(&format!("{name}: {good}"), "{}")).await), wanted, "{name}");
    }
}
