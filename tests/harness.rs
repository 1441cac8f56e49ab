//! The helpers of the process tests, tried on what is known: a failing process test must be the program's fault.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use support::config::{Draft, SECRET, TOKEN};
use support::daemon::{Process, SOON, Stream};
use support::{http, kafka, wait};

#[expect(dead_code, reason = "the helpers serve all test files; this one needs some of them")]
mod support;

#[test]
fn an_answer_is_read_whether_it_comes_in_one_piece_or_in_chunks() {
    let answers = [
        "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
        "HTTP/1.1 200 OK\r\nx-a: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n",
    ];
    for answer in answers {
        let (address, asked) = serve_once(answer);
        let response = http::post(address, "/hooks/ops", &[("X-B", "c")], b"body").expect("an answer");
        assert_eq!((response.status, response.header("x-A")), (200, Some("b")));
        assert_eq!(response.json()["a"], 1);
        let asked = asked.join().expect("the server doesn't panic");
        assert!(asked.starts_with("POST /hooks/ops HTTP/1.1\r\n"), "{asked}");
        assert!(
            asked.contains("\r\nX-B: c\r\n") && asked.ends_with("Content-Length: 4\r\nX-B: c\r\n\r\nbody"),
            "{asked}"
        );
    }
}

#[test]
fn a_refused_connection_is_an_error_and_not_a_panic() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    assert!(http::get(free, "/").is_err());
}

#[test]
fn a_config_is_filled_in_and_its_secrets_are_private() {
    let config = Draft::new("127.0.0.1:1", "http://127.0.0.1:2").with("[extra]\nfor = \"{namespace}\"").write();
    let text = std::fs::read_to_string(config.path()).expect("the config");
    let parsed: toml::Table = text.parse().unwrap_or_else(|e| panic!("{e}:\n{text}"));

    assert_eq!(parsed["kafka"]["namespace"].as_str(), Some(config.namespace()));
    assert_eq!(parsed["extra"]["for"].as_str(), Some(config.namespace()));
    assert_eq!(parsed["sources"]["alerts"]["topic"].as_str(), Some(config.alerts_topic().as_str()));
    assert!(!text.contains('{'), "nothing is left to fill in: {text}");
    for (path, content) in [(config.token_file(), TOKEN), (config.secret_file(), SECRET)] {
        assert!(text.contains(path.to_str().expect("UTF-8")), "the config names {}", path.display());
        assert_eq!(std::fs::read_to_string(&path).expect("a secret"), content);
        let mode = std::os::unix::fs::MetadataExt::mode(&path.metadata().expect("a file"));
        assert_eq!(mode & 0o077, 0, "{} is for its owner alone", path.display());
    }
}

#[test]
fn no_two_namespaces_are_the_same() {
    let mut names: Vec<String> = (0..1_000).map(|_| kafka::unique("t")).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 1_000);
}

#[test]
#[should_panic(expected = "no spring within 50ms")]
fn waiting_in_vain_says_for_what() {
    wait::eventually(Duration::from_millis(50), "spring", || None::<()>);
}

#[test]
fn waiting_ends_with_what_was_waited_for() {
    let mut looks = 0;
    let found = wait::eventually(Duration::from_secs(10), "third look", || {
        looks += 1;
        (looks == 3).then_some(looks)
    });
    assert_eq!(found, 3);
}

#[test]
fn a_process_is_heard_asked_to_end_and_its_answer_read() {
    let mut process = shell("trap 'echo bye; exit 3' TERM; echo ready >&2; while :; do sleep 0.05; done");
    assert_eq!(process.wait_for_line("rea", SOON), "ready");
    let seen = process.lines_seen();
    assert!(process.rss_kib().is_none_or(|kib| kib > 100), "a shell takes some memory");

    process.sigstop();
    process.sigterm();
    process.sigcont();

    assert_eq!(process.wait_for_line_after(seen, "b", SOON), "bye");
    assert_eq!(process.wait_exit(SOON).code(), Some(3));
    assert_eq!((process.text(Stream::Stdout), process.text(Stream::Stderr)), ("bye\n".into(), "ready\n".into()));
}

#[test]
fn an_address_is_read_from_the_log() {
    let process = shell("echo 'INFO missived: admin listening address=127.0.0.1:4321 x=1'");
    assert_eq!(process.address_of("admin"), SocketAddr::from(([127, 0, 0, 1], 4321)));
}

#[test]
#[should_panic(expected = "the program ended without a line with \"ready\":\n  last words")]
fn a_program_that_ends_early_is_told_with_its_last_words() {
    shell("echo last words >&2; exit 1").wait_for_line("ready", SOON);
}

#[test]
#[should_panic(expected = "the program still runs after 100ms")]
fn a_program_that_does_not_end_fails_its_test() {
    shell("exec sleep 60").wait_exit(Duration::from_millis(100));
}

#[test]
fn a_flood_of_output_is_bounded_and_its_newest_lines_are_kept() {
    let process = shell("i=0; while [ $i -lt 12000 ]; do echo line $i; i=$((i+1)); done; echo over");
    process.wait_for_line("over", SOON);
    assert_eq!(process.lines_seen(), 12_001);
    assert!(process.has_line("line 11999") && !process.has_line("line 1999"));
}

#[test]
fn a_dropped_process_is_gone() {
    let process = shell("exec sleep 60");
    let pid = process.pid().to_string();
    let there =
        || Command::new("sh").args(["-c", "kill -0 \"$0\" 2>/dev/null", &pid]).status().expect("a shell").success();
    assert!(there());
    drop(process);
    assert!(!there());
}

fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::start(command)
}

/// Answers one request and gives back what was asked.
fn serve_once(answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut asked = Vec::new();
        let mut buffer = [0; 4096];
        while !asked.ends_with(b"\r\n\r\nbody") {
            let read = stream.read(&mut buffer).expect("a request");
            assert_ne!(read, 0, "the request ended early");
            asked.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(answer.as_bytes()).expect("the answer is sent");
        String::from_utf8(asked).expect("the request is text")
    });
    (address, asked)
}
