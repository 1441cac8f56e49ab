//! `missived run`: the daemon, until SIGTERM or SIGINT; a second signal ends it at once.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::EXIT_CONFIG;
use crate::config::{Config, Environment};
use crate::shell::daemon::Daemon;
use crate::telemetry::Telemetry;

const EXAMPLES: &str = "\
Examples:
  missived run --config /etc/missived/missived.toml
  RUST_LOG=missived=debug missived run --config missived.toml
  missived run --config missived.toml --log-format json

Exit codes: 0 stopped by a signal, 1 failed, 78 faulty config.";

/// Run the daemon until SIGTERM or SIGINT, which drain it; a second one ends it at once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// The config file.
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    config: PathBuf,
    /// How log lines are written to standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Runs the daemon.
pub fn run(args: &RunArgs) -> ExitCode {
    log(args.log_format);
    let loaded = match Config::load(&args.config, &Environment::of_process()) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!(%warning, "config");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(serve(loaded.config));
            runtime.shutdown_timeout(Duration::from_millis(100));
            code
        }
        Err(error) => {
            eprintln!("missived: no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Log lines go to standard error; `RUST_LOG` chooses which.
pub(super) fn filter() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("missived=info,rdkafka=off,warn"))
}

fn log(format: LogFormat) {
    let lines = tracing_subscriber::fmt().with_env_filter(filter()).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => lines.json().init(),
    }
}

async fn serve(config: Config) -> ExitCode {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        eprintln!("missived: signals can't be received");
        return ExitCode::FAILURE;
    };
    let daemon = match Daemon::start(config, Arc::new(Telemetry::new()), seed()).await {
        Ok(daemon) => daemon,
        Err(error) => {
            eprintln!("missived: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut was_ready = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        if daemon.has_ended() {
            break;
        }
        let is_ready = daemon.is_ready();
        if is_ready != was_ready {
            tracing::info!("{}", if is_ready { "ready" } else { "not ready" });
            was_ready = is_ready;
        }
    }
    tracing::info!("draining");
    tokio::select! {
        ended = daemon.stop() => match ended {
            Ok(()) => {
                tracing::info!("stopped");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("missived: {error}");
                ExitCode::FAILURE
            }
        },
        _ = terminate.recv() => cut_short(),
        _ = interrupt.recv() => cut_short(),
    }
}

fn cut_short() -> ExitCode {
    tracing::warn!("a second signal: ending at once; a successor goes on from what is committed");
    ExitCode::FAILURE
}

/// Feeds the jitter of retries; any number will do.
fn seed() -> u64 {
    getrandom::u64().unwrap_or(0)
}
