//! `missived check`: says everything that is wrong with a config file, or what it will do.
//!
//! Reads the file, and the secret files and certificates that it names; connects to nothing, unless `--online` asks for it. Faults
//! and warnings go to stderr, one a line;
//! what is right goes to stdout. Exit 0, or 78 (`EX_CONFIG`) when there is a fault. No secret is ever printed.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::{Asking, Config, Environment, LoadError, Loaded, Tls};
use crate::missive::ChannelType;
use crate::route::{Rule, Source};
use crate::shell::edge::Certificates;

/// `EX_CONFIG` of sysexits.h; systemd can be told not to restart on it.
pub const EXIT_CONFIG: u8 = 78;

/// Says everything that is wrong with a config file.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// The file to check
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    pub config: PathBuf,
    /// Ask Kafka and Missive as well: topics, permissions, tokens, names
    #[arg(long)]
    pub online: bool,
}

const EXAMPLES: &str = "\
Examples:
  missived check
      Check the installed file: every fault with its line, key and what is wanted
  missived check --config ./missived.toml && systemctl restart missived
      Restart only with a file that works

  missived check --online
      Prove topics, permissions and tokens too, and find the ids of the teams, labels and people that
      the file names; nothing is changed and nothing is sent

Exit codes: 0 when the file works, 78 when it has faults, 1 when --online found something.";

/// Checks the file and reports.
pub fn run(args: &CheckArgs) -> ExitCode {
    let environment = Environment::of_process();
    if args.online {
        return match Config::load_to_ask(&args.config, &environment) {
            Ok(asking) => online(asking),
            Err(error) => Report::of(&Err(error)).print(),
        };
    }
    Report::of(&Config::load(&args.config, &environment)).print()
}

/// One line a proof, and what Missive knows that the file lacks. Names without ids are no more than they are: everything else is
/// proven all the same.
fn online(asking: Asking) -> ExitCode {
    let (proofs, block) = super::online::prove(&asking);
    let without_id = asking.without_id.map(LoadError::Faults);
    let exit = Report::of(&without_id.map_or(Ok(asking.loaded), Err)).print();
    for proof in &proofs {
        match &proof.outcome {
            Ok(found) => println!("ok     {}: {found}", proof.what),
            Err(fault) => println!("FAULT  {}: {fault}", proof.what),
        }
    }
    if let Some(block) = block {
        println!("\nPut this into the file:\n\n{block}");
    }
    let failed = proofs.iter().any(|proof| proof.outcome.is_err());
    if failed && exit == ExitCode::SUCCESS { ExitCode::FAILURE } else { exit }
}

/// What is printed where.
struct Report {
    complaints: String,
    findings: String,
    exit: u8,
}

impl Report {
    fn print(&self) -> ExitCode {
        // Whoever closed our output doesn't want to hear of it; the exit code says the same.
        let _ = std::io::stderr().write_all(self.complaints.as_bytes());
        let _ = std::io::stdout().write_all(self.findings.as_bytes());
        ExitCode::from(self.exit)
    }

    fn of(outcome: &Result<Loaded, LoadError>) -> Self {
        match outcome {
            Ok(loaded) => match unfit_tls(&loaded.config) {
                unfit if unfit.is_empty() => {
                    Self { complaints: warnings(loaded), findings: findings(&loaded.config), exit: 0 }
                }
                unfit => Self { complaints: warnings(loaded) + &unfit, findings: String::new(), exit: EXIT_CONFIG },
            },
            Err(error) => Self { complaints: faults(error), findings: String::new(), exit: EXIT_CONFIG },
        }
    }
}

fn faults(error: &LoadError) -> String {
    let count = error.count();
    let word = if count == 1 { "fault" } else { "faults" };
    format!("{error}\n{count} {word}\n")
}

fn warnings(loaded: &Loaded) -> String {
    loaded.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect()
}

/// What is wrong with the files of the listeners that speak TLS.
fn unfit_tls(config: &Config) -> String {
    let hook = ("hook", config.hook.as_ref().and_then(|hook| hook.edge.tls.as_ref()));
    let ingest = ("ingest", config.ingest.as_ref().and_then(|ingest| ingest.edge.tls.as_ref()));
    let unfit = |(section, files): (&str, Option<&Tls>)| {
        let error = Certificates::load(files?).err()?;
        Some(format!("{section}: {error}\n"))
    };
    [hook, ingest].into_iter().filter_map(unfit).collect()
}

fn findings(config: &Config) -> String {
    let sources = config.sources.iter().map(|source| source_line(config, source));
    sources.chain(email_lines(config)).collect()
}

/// Emails have less than the others, which nobody should learn from an outage.
fn email_lines(config: &Config) -> Vec<String> {
    let channels = config.lanes.iter().flat_map(|lane| lane.policy.channels.values());
    let emails = channels.filter(|policy| policy.channel.kind == ChannelType::Email);
    let line = |name: &str| {
        format!(
            "channel {name} → email: no replies come back, and no message in doubt can be looked up: missive.on_doubt\n"
        )
    };
    let mut lines: Vec<_> = emails.map(|policy| line(&policy.channel.name)).collect();
    lines.sort();
    lines
}

/// `topic alerts → alertmanager → route alerts → channel ops → lane default`
fn source_line(config: &Config, source: &Source) -> String {
    let routes = source.rules.iter().map(|rule| {
        let (name, lane) = (&rule.name, &rule.lane);
        format!("route {name} → channel {} → lane {lane}", channel_of(config, rule))
    });
    let routes = routes.collect::<Vec<_>>().join(", else ");
    format!("topic {} → {} → {routes}\n", source.topic, source.format.as_str())
}

fn channel_of<'a>(config: &'a Config, rule: &Rule) -> &'a str {
    let lane = config.lanes.iter().find(|lane| lane.policy.lane == rule.lane);
    lane.and_then(|lane| lane.policy.routes.get(&rule.name)).map_or("?", |route| &route.channel)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const WORKING: &str = r#"
        [kafka]
        bootstrap = "kafka1:9092"
        [missive]
        insecure_inline_token = "missive_pat-hidden"
        [channels.ops]
        account = "11111111-2222-4333-8444-555555555555"
        type = "text"
        [sources.alerts]
        topic = "alerts"
        format = "alertmanager"
        channel = "ops"
        [[sources.alerts.routes]]
        name = "disks"
        match = { alertname = "DiskFull" }
        channel = "ops"
    "#;

    fn report(text: &str) -> Report {
        Report::of(&Config::parse(text, Path::new("missived.toml"), &Environment::default()))
    }

    #[test]
    fn without_arguments_the_installed_file_is_checked_and_help_has_examples() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            args: CheckArgs,
        }
        let command: Command = clap::Parser::parse_from(["check"]);
        assert_eq!(command.args.config, Path::new("/etc/missived/missived.toml"));
        let help = CheckArgs::augment_args(clap::Command::new("check")).render_help().to_string();
        assert!(help.contains("Examples:\n  missived check\n"), "{help}");
    }

    #[test]
    fn a_working_file_is_told_source_by_source() {
        let report = report(WORKING);
        assert_eq!(
            report.findings,
            "topic alerts → alertmanager → route disks → channel ops → lane default, \
             else route alerts → channel ops → lane default\n"
        );
        assert_eq!((report.complaints.as_str(), report.exit), ("", 0));
    }

    #[test]
    fn certificates_that_are_of_no_use_are_a_fault() {
        let folder = tempfile::tempdir().expect("a folder");
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        std::fs::write(&chain, "no certificate\n").expect("written");
        std::fs::write(&key, "no key\n").expect("written");
        let open = "[channels.ops.hook]\ninsecure_unsigned = true";
        let report = report(&format!("{WORKING}\n{open}\n[hook]\ntls_certificates = {chain:?}\ntls_key = {key:?}\n"));
        let wanted = format!("hook: {}: no certificate in it\n", chain.display());
        assert!(report.complaints.ends_with(&wanted), "{}", report.complaints);
        assert_eq!((report.findings.as_str(), report.exit), ("", EXIT_CONFIG));
    }

    #[test]
    fn what_emails_lack_is_told() {
        let email = "type = \"email\"\nfrom = \"m@x\"\nrecipient = { address = \"o@x\" }";
        let report = report(&WORKING.replace("type = \"text\"", email));
        assert!(
            report.findings.ends_with("no message in doubt can be looked up: missive.on_doubt\n"),
            "{}",
            report.findings
        );
    }

    #[test]
    fn a_warning_doesnt_fail_the_check() {
        let report = report(&format!("{WORKING}\n[hook]\n"));
        assert!(report.complaints.starts_with("warning: missived.toml:"), "{}", report.complaints);
        assert_eq!(report.exit, 0);
    }

    #[test]
    fn faults_are_listed_and_counted_and_nothing_else_is_said() {
        let report = report(&WORKING.replace("alertmanager", "alertmanger").replace("11111111-", ""));
        assert_eq!(report.complaints.lines().count(), 3, "{}", report.complaints);
        assert!(report.complaints.ends_with("\n2 faults\n"), "{}", report.complaints);
        assert_eq!((report.findings.as_str(), report.exit), ("", 78));
        assert!(!report.complaints.contains("hidden"));
    }
}
