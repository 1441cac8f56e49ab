//! `missived run`: the daemon, until SIGTERM or SIGINT; a second signal ends it at once. SIGHUP reads the config again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinHandle;

use super::EXIT_CONFIG;
use crate::config::{self, Config, Environment, LoadError, Loaded, LogFormat, Written};
use crate::shell::clock;
use crate::shell::daemon::{ConfigStatus, Daemon, DaemonError, Reloader};
use crate::shell::log::Log;
use crate::shell::reload::{Changes, Refusal};
use crate::shell::signals::{Signals, Wish};
use crate::shell::status::Reload;
use crate::shell::systemd::Service;
use crate::telemetry::Telemetry;
use crate::telemetry::process::{ConfigOutcome, config_in_use, config_reloaded};

/// How often what systemd must hear is looked at.
const TICK: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  missived run --config /etc/missived/missived.toml
  RUST_LOG=missived=debug,warn missived run --config missived.toml
  missived run --config missived.toml --log-format json

Signals: SIGTERM and SIGINT drain and stop, a second one ends at once; SIGHUP reads the config and its secrets again.

Exit codes: 0 stopped by a signal, 1 failed, 78 faulty config.";

/// Run the daemon until SIGTERM or SIGINT, which drain it; a second one ends it at once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// The config file.
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    config: PathBuf,
    /// How log lines are written to standard error, instead of as the config says.
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
}

/// Runs the daemon.
pub fn run(args: &RunArgs) -> ExitCode {
    let loaded = match Config::load(&args.config, &Environment::of_process()) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let log = Log::begin(&loaded.config.log, args.log_format);
    for warning in &loaded.warnings {
        tracing::warn!(%warning, "config");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(serve(loaded, &args.config, log));
            runtime.shutdown_timeout(Duration::from_millis(100));
            code
        }
        Err(error) => {
            eprintln!("missived: no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(loaded: Loaded, file: &Path, log: Log) -> ExitCode {
    let Ok(mut signals) = Signals::listen() else {
        eprintln!("missived: signals can't be received");
        return ExitCode::FAILURE;
    };
    let mut service = Service::of_process();
    let daemon = match Daemon::start(loaded.config, Arc::new(Telemetry::new()), seed()).await {
        Ok(daemon) => daemon,
        Err(error) => return failed(&error),
    };
    let mut keeper = Keeper::new(file, loaded.written, &daemon, log);
    let mut was_ready = false;
    while !daemon.has_ended() {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Stop => break,
                Wish::Reload => keeper.wanted = true,
            },
            () = tokio::time::sleep(TICK) => {}
        }
        keeper.turn(&daemon, &mut service).await;
        keeper.log.tick();
        service.tick(&daemon.readiness, || daemon.status().line());
        let is_ready = daemon.is_ready();
        if is_ready != was_ready {
            tracing::info!("{}", if is_ready { "ready" } else { "not ready" });
            was_ready = is_ready;
        }
    }
    drain(daemon, signals, service, keeper.log).await
}

async fn drain(daemon: Daemon, mut signals: Signals, mut service: Service, mut log: Log) -> ExitCode {
    tracing::info!("draining");
    service.stopping();
    let readiness = Arc::clone(&daemon.readiness);
    let mut stopping = Box::pin(daemon.stop());
    loop {
        service.tick(&readiness, || "draining: letting answers come in, committing".to_owned());
        log.tick();
        tokio::select! {
            ended = &mut stopping => return match ended {
                Ok(()) => {
                    tracing::info!("stopped");
                    ExitCode::SUCCESS
                }
                Err(error) => failed(&error),
            },
            () = signals.stop() => return cut_short(),
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

fn failed(error: &DaemonError) -> ExitCode {
    eprintln!("missived: {error}");
    ExitCode::FAILURE
}

fn cut_short() -> ExitCode {
    tracing::warn!("a second signal: ending at once; a successor goes on from what is committed");
    ExitCode::FAILURE
}

/// Feeds the jitter of retries; any number will do.
fn seed() -> u64 {
    getrandom::u64().unwrap_or(0)
}

/// Keeps the config in use, and takes over a new one when it is asked to: one at a time.
struct Keeper {
    file: PathBuf,
    written: Written,
    told: ConfigStatus,
    reloader: Reloader,
    log: Log,
    wanted: bool,
    underway: Option<JoinHandle<Reloaded>>,
}

/// A config file that works, and what became of it.
struct Reloaded {
    written: Written,
    log: config::Log,
    credentials: Vec<String>,
    keys: Vec<String>,
    outcome: Result<(), Refusal>,
}

impl Keeper {
    fn new(file: &Path, written: Written, daemon: &Daemon, log: Log) -> Self {
        config_in_use(clock::now(), written.hash().as_u64());
        let told =
            ConfigStatus { file: file.display().to_string(), hash: written.hash().to_string(), ..Default::default() };
        daemon.tell_config(told.clone());
        let reloader = daemon.reloader();
        Self { file: file.to_owned(), written, told, reloader, log, wanted: false, underway: None }
    }

    /// Begins what is wanted, and takes in what is done.
    async fn turn(&mut self, daemon: &Daemon, service: &mut Service) {
        if let Some(underway) = self.underway.take_if(|underway| underway.is_finished()) {
            if let Ok(reloaded) = underway.await {
                self.settle(daemon, reloaded);
            }
            service.reloaded();
        }
        if self.wanted && self.underway.is_none() {
            self.wanted = false;
            service.reloading();
            self.begin(daemon, service);
        }
    }

    fn begin(&mut self, daemon: &Daemon, service: &mut Service) {
        self.told.reloading = true;
        daemon.tell_config(self.told.clone());
        match Config::load(&self.file, &Environment::of_process()) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    tracing::warn!(%warning, "config");
                }
                let changes = Changes::between(&self.written, &loaded.written);
                let reloader = self.reloader.clone();
                let log = loaded.config.log.clone();
                let credentials = loaded.credentials.iter().map(ToString::to_string).collect();
                self.underway = Some(tokio::spawn(async move {
                    let outcome = reloader.apply(loaded.config, &changes).await;
                    Reloaded { written: loaded.written, log, credentials, keys: changes.keys, outcome }
                }));
            }
            Err(error) => {
                self.refuse(daemon, faults(&error));
                service.reloaded();
            }
        }
    }

    fn settle(&mut self, daemon: &Daemon, reloaded: Reloaded) {
        if let Err(refusal) = reloaded.outcome {
            return self.refuse(daemon, vec![refusal.to_string()]);
        }
        self.written = reloaded.written;
        self.log.renew(&reloaded.log);
        self.told.hash = self.written.hash().to_string();
        config_in_use(clock::now(), self.written.hash().as_u64());
        config_reloaded(ConfigOutcome::Applied);
        tracing::info!(changed = reloaded.keys.join(", "), hash = self.told.hash, "config and secrets reloaded");
        if !reloaded.credentials.is_empty() {
            let keys = reloaded.credentials.join(", ");
            tracing::info!(
                keys,
                "not refreshed: systemd copies credentials when the service starts; a path is read again"
            );
        }
        self.tell(daemon, ConfigOutcome::Applied, reloaded.keys, reloaded.credentials);
    }

    fn refuse(&mut self, daemon: &Daemon, faults: Vec<String>) {
        config_reloaded(ConfigOutcome::Refused);
        for fault in &faults {
            tracing::error!(fault, "config not reloaded: the former one stays");
        }
        self.tell(daemon, ConfigOutcome::Refused, faults, Vec::new());
    }

    fn tell(&mut self, daemon: &Daemon, outcome: ConfigOutcome, detail: Vec<String>, not_refreshed: Vec<String>) {
        let at_ms = clock::now().as_millis();
        self.told.reloading = false;
        self.told.last_reload = Some(Reload { at_ms, outcome: outcome.as_str().to_owned(), detail, not_refreshed });
        daemon.tell_config(self.told.clone());
    }
}

/// One a line, as `missived check` says them.
fn faults(error: &LoadError) -> Vec<String> {
    error.to_string().lines().map(str::to_owned).collect()
}
