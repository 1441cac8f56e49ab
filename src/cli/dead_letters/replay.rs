//! `missived dead-letters replay`: writes letters back to where they came from, oldest first.
//!
//! Two passes over the topic: the first one says which letters are meant and were not replayed yet, as the topic ends when it
//! begins, so a letter that fails again is never taken up in the same run; the second one writes, batch by batch. A letter
//! that was replayed before is left alone and said; `--again` makes it another replay, which is told once more. Whatever ends
//! it early, it says how far it got, and the same command goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use thiserror::Error;

use super::filter::Filter;
use super::{Bench, ConfigArg, EXIT_PARTLY, failed, told};
use crate::config::Config;
use crate::event::TopicId;
use crate::missive::ChannelType;
use crate::shell::clock;
use crate::shell::kafka::ScanError;
use crate::shell::kafka::{
    InstallationError, QuietContext, ReadError, installed, reader_config, scan_partition, topic_ids,
};
use crate::shell::letters::{Entry, Letter, LetterId, Plan, ReplayError, Replayer, Returning, scan};

/// Letters, and bytes of them, in one transaction.
const BATCH_LETTERS: usize = 100;
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// After so many letters in a row that Kafka did not take, it isn't about them.
const FAILURES_MAX: u32 = 3;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  missived dead-letters replay 0:17
  missived dead-letters replay --reason no_route --topic alerts --dry-run
  missived dead-letters replay --reason no_route --topic alerts
  missived dead-letters replay --kind delivery --since 2h
  missived dead-letters replay 0:17 --again         although it was replayed before

A record goes back to its source topic, a refused delivery to its lane. Duplicates are recognised as ever, but a replay is
news: it is told although the same news was told within its window. The same letter is replayed once unless --again says
otherwise.

Exit codes: 0 done (also if there is nothing to do), 1 failed or interrupted (it says how far it got), 2 wrong arguments,
3 some could not be replayed (it says why), 78 faulty config.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    /// Ids, as `list` shows them.
    #[arg(required_unless_present_any = ["reason", "topic", "kind", "since", "until", "all"])]
    ids: Vec<LetterId>,
    #[command(flatten)]
    pub(super) file: ConfigArg,
    #[command(flatten)]
    filter: Filter,
    /// All that were not replayed yet.
    #[arg(long, conflicts_with_all = ["ids", "again"])]
    all: bool,
    /// The oldest so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Say what would be replayed, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Also those that were replayed before, as another replay.
    #[arg(long)]
    again: bool,
    /// Leave alone what has failed more often.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    attempts_max: u32,
}

/// Why a replay did not reach its end.
#[derive(Debug, Error)]
enum ReplayFailure {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Installation(#[from] InstallationError),
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("interrupted")]
    Interrupted,
}

/// Replays.
pub fn run(bench: &Bench, args: &ReplayArgs) -> ExitCode {
    let (replayer, chosen) = match begin(bench, args) {
        Ok(begun) => begun,
        Err(error) => return failed(&error),
    };
    chosen.say(args);
    if chosen.ids.is_empty() {
        return ExitCode::from(if chosen.missing.is_empty() { 0 } else { EXIT_PARTLY });
    }
    let mut run = Run { total: chosen.ids.len(), ..Run::new(interruption()) };
    let ended = run.all(bench, args, replayer.as_ref(), &chosen.ids);
    run.flush_progress(args.dry_run);
    match ended {
        Ok(()) if run.left_alone == 0 && chosen.missing.is_empty() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(EXIT_PARTLY),
        Err(error) => {
            eprintln!("missived: {error}");
            eprintln!("{} of {} letters are replayed; the same command goes on from there", run.replayed, run.total);
            ExitCode::FAILURE
        }
    }
}

/// Whatever another replay had under way is written or gone before anybody looks which letters were replayed: what it wrote
/// after that look would be replayed twice.
fn begin<'b>(bench: &'b Bench, args: &ReplayArgs) -> Result<(Option<Replayer<'b>>, Chosen), ReplayFailure> {
    let replayer = if args.dry_run { None } else { Some(Replayer::begin(&bench.config.kafka, &bench.names)?) };
    Ok((replayer, Chosen::among(bench, args)?))
}

/// Which letters are meant.
struct Chosen {
    ids: BTreeSet<LetterId>,
    /// Meant, but replayed before.
    known: usize,
    /// Meant, but beyond the count.
    beyond: usize,
    /// Named, but not there.
    missing: Vec<LetterId>,
}

impl Chosen {
    fn among(bench: &Bench, args: &ReplayArgs) -> Result<Self, ScanError> {
        let named: BTreeSet<LetterId> = args.ids.iter().copied().collect();
        let (mut meant, mut seen, mut known) = (BTreeSet::new(), BTreeSet::new(), 0);
        let now = clock::now();
        scan(&bench.config.kafka, &bench.names, |entry| match entry {
            Entry::Letter(letter) => {
                let is_named = named.is_empty() || named.contains(&letter.id);
                seen.extend(Some(letter.id).filter(|id| named.contains(id)));
                if is_named && args.filter.takes(now, &letter) {
                    meant.insert(letter.id);
                }
            }
            Entry::Replayed { letter, .. } if !args.again => known += usize::from(meant.remove(&letter)),
            Entry::Replayed { .. } | Entry::Foreign => {}
        })?;
        let beyond = meant.iter().nth(args.count as usize).copied().map(|first| meant.split_off(&first));
        let missing = named.difference(&seen).copied().collect();
        Ok(Self { ids: meant, known, beyond: beyond.map_or(0, |beyond| beyond.len()), missing })
    }

    fn say(&self, args: &ReplayArgs) {
        for id in &self.missing {
            eprintln!("missived: there is no dead letter {id}");
        }
        if self.known > 0 {
            eprintln!("{} were replayed before and are left alone; --again replays them once more", self.known);
        }
        if self.beyond > 0 {
            eprintln!("{} more than --count {} are left for another run", self.beyond, args.count);
        }
        if self.ids.is_empty() {
            eprintln!("nothing to replay");
        }
    }
}

/// One replay on its way.
struct Run {
    total: usize,
    replayed: usize,
    left_alone: usize,
    failures: u32,
    batch: Vec<Returning>,
    batch_bytes: usize,
    told_at: Option<Instant>,
    interrupted: Arc<AtomicBool>,
}

impl Run {
    const fn new(interrupted: Arc<AtomicBool>) -> Self {
        Self {
            total: 0,
            replayed: 0,
            left_alone: 0,
            failures: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            told_at: None,
            interrupted,
        }
    }

    fn all(
        &mut self,
        bench: &Bench,
        args: &ReplayArgs,
        replayer: Option<&Replayer<'_>>,
        ids: &BTreeSet<LetterId>,
    ) -> Result<(), ReplayFailure> {
        let plan = plan(bench, args)?;
        let mut by_partition: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
        for id in ids {
            let (_, last) = by_partition.entry(id.partition).or_insert((id.offset, id.offset));
            *last = id.offset;
        }
        for (partition, (first, last)) in by_partition {
            let mut ended = Ok(());
            scan_partition(&bench.config.kafka, &bench.names.dead_letters, partition, first, |record| {
                if let Entry::Letter(letter) = Entry::read(record)
                    && ids.contains(&letter.id)
                {
                    ended = self.take(&plan, replayer, &letter);
                }
                let over = ended.is_err() || rdkafka::Message::offset(record) >= last;
                if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            ended?;
        }
        match replayer {
            Some(replayer) => self.write(replayer),
            None => Ok(()),
        }
    }

    fn take(&mut self, plan: &Plan<'_>, replayer: Option<&Replayer<'_>>, letter: &Letter) -> Result<(), ReplayFailure> {
        if self.interrupted.load(Ordering::Acquire) {
            return Err(ReplayFailure::Interrupted);
        }
        let returning = match plan.prepare(letter) {
            Ok(returning) => returning,
            Err(why) => {
                self.leave_alone(letter.id, &why);
                return Ok(());
            }
        };
        let Some(replayer) = replayer else {
            self.replayed += 1;
            // Whoever closed our output doesn't want to hear more.
            let _ = writeln!(std::io::stdout(), "{}", told::as_line(letter, None));
            return Ok(());
        };
        self.batch_bytes += returning.value.as_ref().map_or(0, Vec::len);
        self.batch.push(returning);
        if self.batch.len() >= BATCH_LETTERS || self.batch_bytes >= BATCH_BYTES {
            self.write(replayer)?;
        }
        Ok(())
    }

    /// Writes the batch; one that Kafka doesn't take, letter by letter, so that one of them can't keep the others back.
    fn write(&mut self, replayer: &Replayer<'_>) -> Result<(), ReplayFailure> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        match replayer.replay(clock::now(), &batch) {
            Ok(()) => self.done(batch.len()),
            Err(ReplayError::Aborted(_)) => {
                for letter in &batch {
                    self.write_one(replayer, letter)?;
                }
            }
            Err(error @ (ReplayError::Fenced | ReplayError::Over(_))) => return Err(error.into()),
        }
        Ok(())
    }

    fn write_one(&mut self, replayer: &Replayer<'_>, letter: &Returning) -> Result<(), ReplayFailure> {
        match replayer.replay(clock::now(), std::slice::from_ref(letter)) {
            Ok(()) => self.done(1),
            Err(ReplayError::Aborted(error)) if self.failures + 1 < FAILURES_MAX => {
                self.failures += 1;
                self.leave_alone(letter.letter, &ReplayError::Aborted(error));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn done(&mut self, letters: usize) {
        self.replayed += letters;
        self.failures = 0;
        let now = clock::monotonic();
        let due = self.told_at.is_none_or(|at| now.saturating_duration_since(at) >= PROGRESS_INTERVAL);
        if due && self.replayed < self.total {
            self.told_at = Some(now);
            eprintln!("replayed {} of {}", self.replayed, self.total);
        }
    }

    fn leave_alone(&mut self, letter: LetterId, why: &dyn std::error::Error) {
        self.left_alone += 1;
        eprintln!("not replayed: {letter}: {}", crate::cli::harmless::line(&why.to_string()));
    }

    fn flush_progress(&self, dry_run: bool) {
        let word = if dry_run { "would replay" } else { "replayed" };
        eprintln!("{word} {} of {}", self.replayed, self.total);
    }
}

fn plan<'b>(bench: &'b Bench, args: &ReplayArgs) -> Result<Plan<'b>, ReplayFailure> {
    let kafka = &bench.config.kafka;
    let client: BaseConsumer<QuietContext> = reader_config(kafka).create_with_context(QuietContext)?;
    let metadata = client.fetch_metadata(None, REQUEST_TIMEOUT)?;
    let sources = metadata.topics().iter().filter_map(|topic| {
        let source = bench.config.sources.iter().find(|source| &*source.topic == topic.name())?;
        Some((source.topic.clone(), i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)))
    });
    let sources = sources.filter(|(_, partitions)| *partitions > 0).collect();
    let topic = bench.names.dead_letters.as_str();
    let ids = topic_ids(client.client(), &[topic], REQUEST_TIMEOUT)?;
    let salt = if args.again { getrandom::u64().unwrap_or(1).max(1) } else { 0 };
    Ok(Plan {
        kafka,
        names: &bench.names,
        sources,
        lanes: installed(kafka, &bench.names)?.map(|installation| installation.lanes).unwrap_or_default(),
        markup: markup(&bench.config),
        topic_id: ids.get(topic).copied().unwrap_or(TopicId::UNKNOWN),
        salt,
        attempts_max: args.attempts_max,
        now: clock::now(),
    })
}

/// The channels whose messages are markup.
fn markup(config: &Config) -> BTreeSet<Box<str>> {
    let channels = config.lanes.iter().flat_map(|lane| &lane.policy.channels);
    let markup = channels.filter(|(_, policy)| policy.channel.kind != ChannelType::Text);
    markup.map(|(name, _)| name.clone()).collect()
}

/// Becomes true with SIGINT or SIGTERM; a second one ends the program at once.
fn interruption() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&interrupted);
    let wait = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let _ = signalled().await;
            noted.store(true, Ordering::Release);
            eprintln!("ending after this batch; once more ends at once");
            let _ = signalled().await;
            std::process::exit(1);
        });
    };
    // Without this thread a signal ends the program at once: the open transaction is aborted, and nothing is lost.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(wait);
    interrupted
}

async fn signalled() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
