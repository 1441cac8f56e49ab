//! `missived demo`: the whole thing with nothing but the binary.
//!
//! A mock Kafka, the stand-in for Missive with its real limits, a seeded generator of alert storms, deals and chats, people
//! who answer, and the daemon itself in between, in one process. `--once` plays a story to its end, compares what everybody
//! counted and writes a report; otherwise it plays until somebody has seen enough.
//!
//! Limits: the mock keeps 5 MB a partition and fences nobody, so this shows how missived works and proves none of its
//! guarantees. Everything listens on loopback and is gone afterwards.

mod accounts;
mod books;
mod cluster;
mod feed;
mod keeper;
mod keys;
mod people;
mod replies;
mod screen;
mod settings;
mod stage;
mod story;

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use clap::Args;
use rdkafka::ClientConfig;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::shell::clock::{self, Deadline};
use books::{Counted, Missing};
use feed::{Amount, Pace};
use keys::{Key, Keys};
use screen::{Mood, Screen, View};
use stage::{Play, Stage, StageError};

const EXAMPLES: &str = "\
Examples:
  missived demo                                  watch it; s: a storm, k: kill and restart, q: end
  missived demo --open                           the same, with its inbox in the browser
  missived demo --once --seed 7                  20,000 events, and whether the books balance
  missived demo --once --events 5000 --report report.json --deadline 40s
  missived demo --log demo.log                   with the daemon's log beside it

Exit codes: 0 the books balance (or somebody ended it), 1 they don't, or something failed.";

/// Events that `s` adds.
const STORM_EVENTS: u64 = 5_000;

/// How often the screen is redrawn, and how often a plain line is written.
const REDRAW: Duration = Duration::from_millis(250);
const PLAIN_LINE: Duration = Duration::from_secs(5);

/// How often the books are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// See a whole inbox at work: mock Kafka, a stand-in for Missive, and the daemon between them, in one process.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// Play until every event is accounted for, then end
    #[arg(long)]
    once: bool,

    /// How many events the story has
    #[arg(long, value_name = "N", default_value_t = 20_000, requires = "once")]
    events: u64,

    /// Decides the story; drawn if not given
    #[arg(long)]
    seed: Option<u64>,

    /// Write what everybody counted to this file, as JSON
    #[arg(long, value_name = "FILE", requires = "once")]
    report: Option<PathBuf>,

    /// Give up after this long
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration, requires = "once")]
    deadline: Duration,

    /// Where the stand-in for Missive and its inbox page listen; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Open the inbox page in the browser
    #[arg(long)]
    open: bool,

    /// Append the daemon's log to this file; RUST_LOG chooses what is in it
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

#[derive(Debug, Error)]
enum DemoError {
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    #[error("no randomness for a seed: {0}")]
    Seed(#[from] getrandom::Error),
}

/// How it ended.
enum Ending {
    Balanced,
    /// The books don't balance.
    Unbalanced,
    /// Somebody has seen enough.
    Stopped,
}

/// Plays the demo.
pub fn run(args: &DemoArgs) -> ExitCode {
    match play(args) {
        Ok(Ending::Balanced | Ending::Stopped) => ExitCode::SUCCESS,
        Ok(Ending::Unbalanced) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("missived: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(args: &DemoArgs) -> Result<Ending, DemoError> {
    if let Some(path) = &args.log {
        log_to(path)?;
    }
    let seed = args.seed.map_or_else(getrandom::u64, Ok)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async { if args.once { once(args, seed).await } else { live(args, seed).await } });
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

fn log_to(path: &Path) -> Result<(), DemoError> {
    let failed = |error| DemoError::File { path: path.to_owned(), error };
    let file = File::options().create(true).append(true).open(path).map_err(failed)?;
    let lines =
        tracing_subscriber::fmt().with_env_filter(crate::shell::log::filter("missived=info,warn")).with_ansi(false);
    lines.with_writer(Mutex::new(file)).init();
    Ok(())
}

/// Plays until every event is accounted for, or the deadline has passed.
async fn once(args: &DemoArgs, seed: u64) -> Result<Ending, DemoError> {
    let deadline = Deadline::after(args.deadline);
    let mut signals = Signals::listen()?;
    let pace = Pace { events: Amount::Exactly(args.events), calm_per_second: 2_000, storm_per_second: 3_000 };
    let play = Play { seed, pace, people_pause: Duration::from_millis(700), listen: args.listen };
    let mut stage = Stage::set(play).await?;
    println!("seed {seed}, {} events; the inbox is at http://{}/", args.events, stage.missive());
    show_page(args, &stage);
    let mut showing = Showing::on_stdout();
    while !is_done(&stage) && !deadline.has_passed() {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = signals.any() => break,
            Some(wish) = stage.next_wish() => stage.grant(wish).await?,
        }
        stage.look_after();
        showing.show(&stage, mood(&stage));
    }
    let counted = stage.counted();
    stage.end().await?;
    conclude(args, &counted)
}

/// When nothing but replies is missing, people stop; then these come in, too.
fn is_done(stage: &Stage) -> bool {
    let missing = stage.counted().missing();
    let only_replies = missing.iter().all(|missing| matches!(missing, Missing::Replies { .. }));
    if only_replies && stage.has_people() {
        stage.send_people_home();
        return false;
    }
    only_replies && missing.is_empty()
}

fn conclude(args: &DemoArgs, counted: &Counted) -> Result<Ending, DemoError> {
    let report = counted.report();
    println!("{report}");
    if let Some(path) = &args.report {
        fs::write(path, report.to_json()).map_err(|error| DemoError::File { path: path.clone(), error })?;
    }
    let missing = counted.missing();
    if missing.is_empty() {
        println!("The books balance.");
        return Ok(Ending::Balanced);
    }
    for missing in missing {
        println!("The books don't balance: {missing}.");
    }
    Ok(Ending::Unbalanced)
}

/// Plays until somebody ends it.
async fn live(args: &DemoArgs, seed: u64) -> Result<Ending, DemoError> {
    let mut signals = Signals::listen()?;
    let pace = Pace { events: Amount::Endless, calm_per_second: 20, storm_per_second: 1_500 };
    let play = Play { seed, pace, people_pause: Duration::from_secs(3), listen: args.listen };
    let mut stage = Stage::set(play).await?;
    println!("seed {seed}; the inbox is at http://{}/", stage.missive());
    show_page(args, &stage);
    let mut keys = Keys::take()?;
    if keys.is_some() {
        print!("s starts a storm, k kills and restarts the daemon's parts, q ends\r\n\r\n");
    }
    let mut showing = Showing::on_stdout();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = signals.any() => break,
            key = next_key(keys.as_mut()) => match key {
                Key::Storm => stage.progress().storm(STORM_EVENTS),
                Key::Restart => {
                    showing.show_now(&stage, Mood::Restarting);
                    stage.kill_daemon().await?;
                }
                Key::Quit => break,
            },
            Some(wish) = stage.next_wish() => stage.grant(wish).await?,
        }
        stage.look_after();
        showing.show(&stage, mood(&stage));
    }
    showing.show_now(&stage, Mood::Ending);
    let counted = stage.counted();
    stage.end().await?;
    drop(keys);
    println!("{}", counted.report());
    Ok(Ending::Stopped)
}

async fn next_key(keys: Option<&mut Keys>) -> Key {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

/// Opens the page in a browser, if somebody wants it.
fn show_page(args: &DemoArgs, stage: &Stage) {
    if args.open {
        super::open::page(stage.missive());
    }
}

fn mood(stage: &Stage) -> Mood {
    if stage.is_ready() { Mood::Running } else { Mood::Joining }
}

/// What ends a process.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The screen, and when it is due.
struct Showing {
    screen: Screen,
    every: Duration,
    due: Deadline,
}

impl Showing {
    fn on_stdout() -> Self {
        let in_place = io::stdout().is_terminal();
        let every = if in_place { REDRAW } else { PLAIN_LINE };
        let screen = if in_place { Screen::InPlace { lines: 0 } } else { Screen::Plain };
        Self { screen, every, due: Deadline::after(every) }
    }

    fn show(&mut self, stage: &Stage, mood: Mood) {
        if self.due.has_passed() {
            self.show_now(stage, mood);
        }
    }

    fn show_now(&mut self, stage: &Stage, mood: Mood) {
        self.due = Deadline::after(self.every);
        let view = View { now: clock::now(), counted: stage.counted(), lane: stage.accounts().lane(), mood };
        self.screen.show(&view);
    }
}

/// A reader of whole partitions, in no group.
fn follower(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config.set("group.id", "demo.follower");
    config.set("enable.auto.commit", "false");
    config.set("auto.offset.reset", "earliest");
    config.set("fetch.wait.max.ms", "50");
    config
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: DemoArgs,
    }

    #[test]
    fn senseless_arguments_are_refused_and_sensible_ones_are_not() {
        let rows: &[(&[&str], bool, &str)] = &[
            (&[], true, "nothing at all"),
            (&["--once"], true, "20,000 events"),
            (&["--once", "--events", "0"], true, "no events"),
            (&["--once", "--deadline", "5s", "--report", "r.json"], true, "with a report"),
            (&["--events", "5"], false, "a number of events for an endless story"),
            (&["--report", "r.json"], false, "a report of an endless story"),
            (&["--once", "--events", "-1"], false, "fewer than none"),
            (&["--once", "--deadline", "soon"], false, "a time that is none"),
            (&["--seed", "seven"], false, "a seed that is no number"),
        ];
        for (words, fine, sentence) in rows {
            assert_eq!(Line::try_parse_from([&["demo"], *words].concat()).is_ok(), *fine, "{sentence}");
        }
    }
}
