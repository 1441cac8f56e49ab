//! `missived init`: asks for the little that must be said and writes a first config.
//!
//! It never writes over a file, asks for no secret (only where it will be), and writes nothing that `missived check` would not
//! take, but for secret files that are not there yet. Answers come from standard input, so a script can give them too.

use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use uuid::Uuid;

const EXAMPLES: &str = "\
Examples:
  missived init
  missived init --config ./missived.toml
  missived init --missive http://127.0.0.1:8090
      For a stand-in: missived sandbox --help
  printf '%s\\n' kafka1:9092 '' ops 11111111-2222-4333-8444-555555555555 alerts alertmanager n | missived init --config m.toml

Exit codes: 0 written, 1 not.";

const FORMATS: [&str; 4] = ["alertmanager", "grafana", "cloudevents", "hubspot"];

/// Write a first config by asking.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct InitArgs {
    /// Where to; a file that is there is left alone
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    config: PathBuf,
    /// Where Missive is; a stand-in's address, or nothing for the real one
    #[arg(long, value_name = "URL")]
    missive: Option<String>,
}

/// Asks and writes.
pub fn run(args: &InitArgs) -> ExitCode {
    if args.config.exists() {
        eprintln!("missived: {} is there already; name another one with --config", args.config.display());
        return ExitCode::FAILURE;
    }
    if args.missive.as_ref().is_some_and(|url| !is_plain(url)) {
        eprintln!("missived: --missive can't be that");
        return ExitCode::FAILURE;
    }
    let text = match ask(args.missive.as_deref(), &mut io::stdin().lock(), &mut io::stderr()) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("missived: {error}");
            return ExitCode::FAILURE;
        }
    };
    let written = OpenOptions::new().write(true).create_new(true).open(&args.config);
    match written.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => {
            let file = args.config.display();
            println!(
                "wrote {file}\nnext: put the secrets where it says, then\n  missived check --config {file} --online"
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("missived: {}: {error}", args.config.display());
            ExitCode::FAILURE
        }
    }
}

/// The file, from what `answers` says.
fn ask(missive: Option<&str>, answers: &mut impl BufRead, screen: &mut impl Write) -> io::Result<String> {
    let mut question = |text: &str, default: &str, fits: &dyn Fn(&str) -> bool| loop {
        let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        write!(screen, "{text}{shown}: ")?;
        screen.flush()?;
        let mut line = String::new();
        if answers.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no more answers"));
        }
        let answer = if line.trim().is_empty() { default } else { line.trim() };
        if fits(answer) {
            return Ok(answer.to_owned());
        }
        writeln!(screen, "  that can't be: {answer:?}")?;
    };
    let name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let bootstrap = question("Kafka's bootstrap servers (host:port, …)", "", &is_plain)?;
    let token = question("File with Missive's API token", "/etc/missived/secrets/missive-token", &is_plain)?;
    let channel = question("A name for the channel (a-z, 0-9, -)", "ops", &name)?;
    let account =
        question("Its id in Missive (Settings › Accounts › the channel)", "", &|id| Uuid::try_parse(id).is_ok())?;
    let topic = question("Topic to read", "alerts", &is_plain)?;
    let format = question("Its format (alertmanager, grafana, cloudevents, hubspot)", "alertmanager", &|format| {
        FORMATS.contains(&format)
    })?;
    let hook = question("Shall replies come back from Missive? (y/n)", "y", &|answer| ["y", "n"].contains(&answer))?;
    let source = if topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        topic.to_lowercase()
    } else {
        "events".to_owned()
    };
    let url = missive.map_or(String::new(), |url| format!("url = \"{url}\"\n"));
    let mut text = format!(
        "# Every other key, with its default: /etc/missived/example.toml, or config/missived.toml of the sources.\n\n[kafka]\nbootstrap = \"{bootstrap}\"\n\n\
         [missive]\n{url}token_file = \"{token}\"\n\n[channels.{channel}]\naccount = \"{account}\"\ntype = \"text\"\n"
    );
    if hook == "y" {
        text += &format!(
            "\n[channels.{channel}.hook]\n# the signature secret of the channel's outgoing webhook\nsecret_files = [\"/etc/missived/secrets/{channel}-hook\"]\n"
        );
    }
    text += &format!("\n[sources.{source}]\ntopic = \"{topic}\"\nformat = \"{format}\"\nchannel = \"{channel}\"\n");
    Ok(text)
}

/// What can stand between quotes as it is.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(['"', '\\']) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Environment};

    #[test]
    fn what_is_written_is_a_config_that_works_once_the_secrets_are_there() {
        let secrets = tempfile::tempdir().expect("a folder");
        let token = secrets.path().join("token");
        std::fs::write(&token, "missive_pat-x").expect("written");
        let answers = format!(
            "kafka1:9092\n{}\n\nno id\n11111111-2222-4333-8444-555555555555\n\nzabbix\ngrafana\nn\n",
            token.display()
        );
        let mut screen = Vec::new();
        let text = ask(None, &mut answers.as_bytes(), &mut screen).expect("all answers");
        let loaded = Config::parse(&text, Path::new("missived.toml"), &Environment::default());
        assert!(loaded.is_ok(), "{text}\n{:?}", loaded.err());
        let screen = String::from_utf8(screen).expect("text");
        assert_eq!(screen.matches("that can't be").count(), 2, "{screen}");
        let stand_in =
            ask(Some("http://127.0.0.1:8090"), &mut answers.as_bytes(), &mut Vec::new()).expect("all answers");
        assert!(stand_in.contains("url = \"http://127.0.0.1:8090\"\n"), "{stand_in}");
        assert!(Config::parse(&stand_in, Path::new("missived.toml"), &Environment::default()).is_ok(), "{stand_in}");
        assert!(
            ask(None, &mut &b"kafka1:9092\n"[..], &mut Vec::new()).is_err(),
            "answers that end too early write nothing"
        );
    }
}
