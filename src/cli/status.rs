//! `missived status`: asks the admin listener what the daemon is doing, and tells it to people or, with `--json`, to programs.
//!
//! Reads the config only for the listener's address, and does without: a faulty file is no reason not to say how things stand.
//! Exit 0 when every part is ready, 1 when not or when a reload was refused, 2 when nobody answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use thiserror::Error;

use super::harmless;
use crate::shell::clock::{self, Deadline};
use crate::shell::status::{LaneStatus, Reload, Status, WaitingStatus};

const EXAMPLES: &str = "\
Examples:
  missived status
      What the daemon does, what it waits for, and how far behind it is
  missived status --json | jq '.lanes[] | {name, state, pending}'
  missived status --json | jq -r '.lanes[].waiting[] | [.conversation, .waits_for] | @tsv'
      The conversations that wait longest, and for what
  missived status --admin 127.0.0.1:9464
  missived status --await-reload
      After a SIGHUP: wait until the config is taken over or refused, and say which

Exit codes: 0 ready, 1 not ready or reload refused, 2 no answer.";

/// Where the admin listener is if nobody says otherwise.
const DEFAULT: &str = "127.0.0.1:9464";

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest that taking a config over may take.
const RELOAD_MAX: Duration = Duration::from_secs(60);

/// How much of a conversation's key is shown.
const KEY_CHARS_MAX: usize = 120;

/// How often the daemon is asked meanwhile; longer than it takes to see a signal.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A reload counts as the awaited one if it was settled since so long before we began to ask.
const JUST_BEFORE_MS: u64 = 2_000;

/// The longest answer.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Say what the daemon is doing: lag, lanes, budget, what is halted and why.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// The daemon's config file, for the address of its admin listener
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    config: PathBuf,
    /// The address of the admin listener, instead of the config's
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Wait until a reload that was just asked for is settled
    #[arg(long)]
    await_reload: bool,
}

/// Why there is nothing to tell.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}: no answer from the admin listener: {1}; is the daemon running?")]
    Unreachable(SocketAddr, std::io::Error),
    #[error("{0}: what answers there is not a daemon of this version")]
    Strange(SocketAddr),
    #[error("the daemon has not settled a reload within {} s", RELOAD_MAX.as_secs())]
    NoReload,
}

/// Asks and tells.
pub fn run(args: &StatusArgs) -> ExitCode {
    let address = args.admin.unwrap_or_else(|| address_in(&args.config));
    let status = if args.await_reload { reloaded(address) } else { ask(address) };
    let status = match status {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("missived: {failure}");
            return ExitCode::from(2);
        }
    };
    let refused = args.await_reload && status.config.last_reload.as_ref().is_some_and(|last| last.outcome == "refused");
    let text = match (args.json, args.await_reload) {
        (true, _) => serde_json::to_string_pretty(&status).unwrap_or_default() + "\n",
        (false, true) => reload_text(&status),
        (false, false) => text(&status),
    };
    // Whoever closed our output doesn't want to hear of it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if refused || !(args.await_reload || status.ready) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// `admin.listen`, even of a file with faults elsewhere.
fn address_in(config: &Path) -> SocketAddr {
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let table: toml::Table = toml::from_str(&text).unwrap_or_default();
    let listen = table.get("admin").and_then(|admin| admin.get("listen")).and_then(|listen| listen.as_str());
    let parsed = listen.unwrap_or(DEFAULT).parse();
    parsed.unwrap_or_else(|_| DEFAULT.parse().expect("an address"))
}

fn ask(address: SocketAddr) -> Result<Status, Failure> {
    let answer = get(address).map_err(|error| Failure::Unreachable(address, error))?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    body.and_then(|body| serde_json::from_str(body).ok()).ok_or(Failure::Strange(address))
}

fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

fn reloaded(address: SocketAddr) -> Result<Status, Failure> {
    let begun = clock::now().as_millis().saturating_sub(JUST_BEFORE_MS);
    let deadline = Deadline::after(RELOAD_MAX);
    while !deadline.has_passed() {
        // first of all, so that the daemon has seen the signal: an earlier reload may be as young
        std::thread::park_timeout(LOOK_EVERY);
        let status = ask(address)?;
        let last = status.config.last_reload.as_ref();
        if !status.config.reloading && last.is_some_and(|last| last.at_ms >= begun) {
            return Ok(status);
        }
    }
    Err(Failure::NoReload)
}

fn reload_text(status: &Status) -> String {
    let Some(last) = &status.config.last_reload else { return String::new() };
    let detail = last.detail.iter().map(|line| format!("  {line}\n")).collect::<String>();
    let told = match last.outcome.as_str() {
        "refused" => format!("refused; the former config stays:\n{detail}"),
        _ if detail.is_empty() => "applied: secrets and certificates read again\n".to_owned(),
        _ => format!("applied; what changed:\n{detail}"),
    };
    told + &not_refreshed(last)
}

fn not_refreshed(last: &Reload) -> String {
    if last.not_refreshed.is_empty() {
        return String::new();
    }
    let keys = last.not_refreshed.iter().map(|key| format!("  {key}\n")).collect::<String>();
    format!(
        "not refreshed, because systemd copies credentials when the service starts (a path would be read again):\n{keys}"
    )
}

/// For people: what is wrong stands first.
fn text(status: &Status) -> String {
    let mut out = format!(
        "missived {} ({}): {}\n",
        status.version,
        status.commit,
        if status.ready { "ready" } else { "NOT READY" }
    );
    for part in &status.parts {
        let detail = part.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
        out += &format!("  {:<10} {}{detail}\n", part.state, part.name);
    }
    out += &format!("config     {} ({})\n", status.config.file, status.config.hash);
    if let Some(last) = &status.config.last_reload {
        out += &format!("reload     {} {}\n", last.outcome, last.detail.join("; "));
    }
    let balance = status.balance;
    out += &format!(
        "events     {} consumed = {} delivered + {} duplicates + {} suppressed + {} dead letters + {} pending\n",
        balance.consumed,
        balance.delivered,
        balance.duplicates,
        balance.suppressed,
        balance.dead_lettered,
        balance.pending
    );
    out += &format!("lag        {} records, {:.0} s\n", status.lag.records, status.lag.seconds);
    for lag in status.lag.partitions.iter().filter(|lag| lag.records != Some(0)) {
        let records = lag.records.map_or("?".to_owned(), |records| records.to_string());
        out += &format!("  {}/{}: {records} records, {:.0} s\n", lag.topic, lag.partition, lag.seconds);
    }
    status.lanes.iter().for_each(|lane| out += &lane_text(lane));
    out
}

fn lane_text(lane: &LaneStatus) -> String {
    let until = lane.until_ms.map(|until| {
        let left = until.saturating_sub(clock::now().as_millis()).div_ceil(1_000);
        format!(" (for {left} s more)")
    });
    let mut out = format!(
        "lane {}: {}{}, {} pending, {} in progress, budget {}/min and {}/15 min, {} conversations\n",
        lane.name,
        lane.state,
        until.unwrap_or_default(),
        lane.pending,
        lane.in_progress,
        lane.budget_minute,
        lane.budget_quarter_hour,
        lane.conversations
    );
    if lane.state == "halted" {
        out += "  Missive refuses its token: put a good one into its file; it is tried again by itself\n";
    }
    if lane.halted_channels > 0 {
        out += &format!("  {} of its channels refuse most of what they get\n", lane.halted_channels);
    }
    for (urgency, seconds) in &lane.oldest_untold_seconds {
        out += &format!("  oldest untold {urgency} news: {seconds:.0} s\n");
    }
    if !lane.waiting.is_empty() {
        out += "  waiting longest:\n";
    }
    let now_ms = clock::now().as_millis();
    lane.waiting.iter().for_each(|waiting| out += &waiting_text(waiting, now_ms));
    out
}

fn waiting_text(waiting: &WaitingStatus, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(waiting.since_ms) / 1_000;
    let left = waiting.until_ms.map(|until| until.saturating_sub(now_ms).div_ceil(1_000)).filter(|left| *left > 0);
    let left = left.map_or(String::new(), |left| format!(", for {left} s more"));
    // a key is made of what events say
    let key = harmless::start(&waiting.conversation, KEY_CHARS_MAX);
    format!(
        "    {seconds:>6} s  {:<8} {key} ({} to tell): {}{left}\n",
        waiting.urgency, waiting.pending, waiting.meaning
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_that_waits_is_told_with_its_reason_on_one_line() {
        let waiting = |key: &str, until_ms| WaitingStatus {
            conversation: key.to_owned(),
            urgency: "normal".to_owned(),
            since_ms: 10_000,
            pending: 3,
            waits_for: "grouping".to_owned(),
            meaning: "group_wait or group_interval".to_owned(),
            until_ms,
        };
        let rows = [
            (
                "alerts/a",
                Some(75_500),
                "        60 s  normal   alerts/a (3 to tell): group_wait or group_interval, for 6 s more\n",
            ),
            ("alerts/a", Some(60_000), "        60 s  normal   alerts/a (3 to tell): group_wait or group_interval\n"),
            ("alerts/a", None, "        60 s  normal   alerts/a (3 to tell): group_wait or group_interval\n"),
        ];
        for (key, until, text) in rows {
            assert_eq!(waiting_text(&waiting(key, until), 70_000), text);
        }
        let hostile = waiting_text(&waiting(&format!("a\n\u{1b}[2J{}", "x".repeat(5_000)), None), 70_000);
        assert!(hostile.lines().count() == 1 && !hostile.contains('\u{1b}') && hostile.len() < 300, "{hostile}");
    }

    #[test]
    fn the_address_is_the_configs_if_it_says_one_that_can_be_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let rows = [
            (
                "[admin]\nlisten = \"127.0.0.1:1234\"\n[kafka]\nnonsense = 1",
                "127.0.0.1:1234",
                "faults elsewhere don't matter",
            ),
            ("[kafka]\nbootstrap = \"k\"", DEFAULT, "nothing said"),
            ("[admin", DEFAULT, "no TOML"),
        ];
        for (text, address, sentence) in rows {
            let path = dir.path().join("missived.toml");
            std::fs::write(&path, text).expect("written");
            assert_eq!(address_in(&path).to_string(), address, "{sentence}");
        }
        assert_eq!(address_in(&dir.path().join("absent")).to_string(), DEFAULT);
    }
}
