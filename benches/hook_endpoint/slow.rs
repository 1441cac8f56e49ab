//! slowhttptest in its three modes against the hook, while good requests are timed, each on a connection of its own.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use missived::shell::clock;
use tokio::time::interval;

use super::servers::{Servers, ask, body};

const SECONDS: u64 = 12;

/// Between two good requests.
const PACE: Duration = Duration::from_millis(20);

/// Name, and what slowhttptest is told: 1,000 connections, 200 new ones a second.
const MODES: [(&str, &[&str]); 3] = [
    ("slow heads", &["-H", "-i", "2", "-x", "24"]),
    ("slow bodies", &["-B", "-i", "2", "-s", "8192", "-x", "24"]),
    ("slow readers", &["-X", "-w", "1", "-y", "2", "-n", "5", "-z", "1", "-k", "3"]),
];

pub async fn run(servers: &Servers) {
    println!("| | good requests | p50 | p99 | longest |\n|---|---|---|---|---|");
    print_row("nothing", &time_good_ones(servers, None).await);
    for (name, mode) in MODES {
        let url = format!("http://{}/hooks/ops", servers.hook);
        let attack = Command::new("slowhttptest")
            .args(["-c", "1000", "-r", "200", "-l", &SECONDS.to_string(), "-u", &url, "-t", "POST"])
            .args(mode)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("slowhttptest runs (Debian: slowhttptest)");
        print_row(name, &time_good_ones(servers, Some(attack)).await);
    }
}

/// Milliseconds of each, sorted; as long as the attack lasts.
async fn time_good_ones(servers: &Servers, mut attack: Option<Child>) -> Vec<f64> {
    let (mut pace, mut times, mut next) = (interval(PACE), Vec::new(), 0);
    let deadline = clock::Deadline::after(Duration::from_secs(if attack.is_some() { SECONDS + 10 } else { 4 }));
    loop {
        pace.tick().await;
        next += 1;
        let begun = clock::monotonic();
        assert_eq!(ask(servers.hook, &body(Some(next))).await, "HTTP/1.1 200 OK");
        times.push(clock::monotonic().duration_since(begun).as_secs_f64() * 1e3);
        let ended = attack.as_mut().is_some_and(|attack| attack.try_wait().expect("a child can be asked").is_some());
        if ended || deadline.has_passed() {
            break;
        }
    }
    if let Some(mut attack) = attack {
        // It fails only when the child has ended already.
        let _ = attack.kill();
        attack.wait().expect("a child can be waited for");
    }
    times.sort_by(f64::total_cmp);
    times
}

fn print_row(name: &str, times: &[f64]) {
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("| {name} | {} | {:.1} ms | {:.1} ms | {:.1} ms |", times.len(), at(0.5), at(0.99), at(1.0));
}
