//! `missived sandbox`: the stand-in for Missive, by itself.
//!
//! The first line on stdout is its address, where its inbox page is as well; it ends on SIGINT or SIGTERM. What doesn't make sense on the command line is
//! refused with exit code 78, what the system refuses with 1. It listens on loopback unless told otherwise: the control
//! endpoint asks for no token.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;
use std::{error, fs};

use clap::Args;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::sandbox::channels::ChannelError;
use crate::sandbox::switches::SwitchError;
use crate::sandbox::{
    self, Channel, ChannelType, Limits, Options, Recipient, RetryPolicy, Secret, StartError, Switches, Webhook,
    WindowLimit,
};

const EXAMPLES: &str = r#"Examples:
  A text channel whose replies go to the daemon's hook:
    missived sandbox --listen 127.0.0.1:8100 --channel \
    account=11111111-2222-4333-8444-555555555555,type=text,webhook=http://127.0.0.1:8080/hooks/ops
  Every account is a text channel, and broken limits are only recorded:
    missived sandbox --accept-any-account text --switch enforce_limits=false
  Answer the next three requests with 503:
    curl -H content-type:application/json -d '{"fault":"status","status":503,"next":3}' \
    http://127.0.0.1:8100/control/faults

The inbox page is at the same address: http://127.0.0.1:8100/

Control endpoint (same address, no token, JSON in and out):
  GET  /control/summary                     the numbers
  GET  /control/ledger?after=0&limit=100    every request and its verdict
  GET  /control/conversations?limit=100     the conversations written to last
  GET  /control/webhooks?after=0&limit=100  every webhook and each answer it got
  GET  /control/switches                    POST {"echo_references":true} sets some
  GET  /control/faults                      POST adds one, DELETE ends all:
       {"fault":"status","status":503,"next":3}    {"fault":"latency","ms":2000,"jitter_ms":500}
       {"fault":"reset","probability":0.1}         {"fault":"accept_without_answering","next":1}
       {"fault":"drop_before_processing","next":1}
  POST /control/channels  {"account":"…","type":"text","webhook":{"url":"http://…","secret":"…"},
                           "aliases":[{"id":"…","name":"…","username":"…"}],
                           "allowed":{"new_messages":true,"replies":true,"editing_recipients":false}}
  POST /control/directory {"teams":[{"id":"…","name":"…","organization":"…"}],"shared_labels":[…],"users":[…]}
  POST /control/reply     {"conversation":"…","body":"ack"}, or "reference":"…",
                          or "account":"…" and "recipient":{"id":"…"}
  POST /control/change    {"conversation":"…","closed":true,"add_labels":["mute"]}
  POST /control/rule      {"conversation":"…","type":"new_comment"}
  POST /control/delete    {"conversation":"…"}
  GET  /control/events                      what the page follows, as server-sent events
  POST /control/probe     {"account":"…"}

Switches with their defaults (and other values):
  answer_body=empty (conversation_id, conversation_object)
  answer_status=201 (200)                    refusal_status=400 (422)
  limit_scope=per_token (global)             enforce_limits=true
  count_rejected=false                       retry_after=seconds (date)
  accept_any_account=null (text, html, email)
  refuse_html_subject=true                   require_people=true
  deduplicate_external_id=false              conversation_wins=true
  split_racing_first_messages=false          list_external_id=true
  echo_references=false                      webhook_retry=true
  signature_prefix=true
  signature_header=X-Hook-Signature (X-Missive-Signature, both)

Exit codes: 0 stopped by a signal, 1 failed, 78 an option can't be that."#;

/// Run the stand-in for Missive: a strict referee that takes, refuses, counts and fails as told.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SandboxArgs {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Open the inbox page in the browser
    #[arg(long)]
    open: bool,

    /// An API token that is accepted (repeatable)
    #[arg(long, value_name = "TOKEN", default_value = sandbox::TOKEN, value_parser = secret)]
    token: Vec<Secret>,

    /// A channel: account=UUID,type=text|html|email[,webhook=URL[,secret-file=PATH]][,recipient=ID] (repeatable)
    #[arg(long, value_name = "CHANNEL")]
    channel: Vec<ChannelArg>,

    /// Take every undeclared account as a channel of this type: text, html or email
    #[arg(long, value_name = "TYPE")]
    accept_any_account: Option<ChannelType>,

    /// Requests in progress at one time
    #[arg(long, value_name = "REQUESTS", default_value_t = 5)]
    limit_at_once: usize,

    /// A sliding window: requests/time (repeatable)
    #[arg(long, value_name = "WINDOW", default_values = ["300/60s", "900/15m"])]
    limit: Vec<WindowArg>,

    /// Set a switch: name=value (repeatable; names below)
    #[arg(long, value_name = "SWITCH")]
    switch: Vec<String>,

    /// Decides ids and dice; drawn if not given
    #[arg(long)]
    seed: Option<u64>,

    /// How often an unacknowledged webhook is sent again
    #[arg(long, value_name = "TIMES", default_value_t = 5)]
    webhook_retries: u32,

    /// The wait before the first retry, doubled before each further one
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = humantime::parse_duration)]
    webhook_backoff: Duration,

    /// How long an attempt at a webhook may take
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = humantime::parse_duration)]
    webhook_timeout: Duration,

    /// Requests that the ledger keeps
    #[arg(long, value_name = "ENTRIES", default_value_t = 200_000)]
    ledger_entries: usize,

    /// Messages that are kept
    #[arg(long, value_name = "MESSAGES", default_value_t = 100_000)]
    messages: usize,
}

/// `--channel`
#[derive(Clone)]
struct ChannelArg {
    account: String,
    kind: ChannelType,
    recipient: Option<String>,
    webhook: Option<String>,
    secret_file: Option<PathBuf>,
}

/// `--limit`
#[derive(Clone)]
struct WindowArg(WindowLimit);

/// What is wrong with a value on the command line.
#[derive(Debug, Error)]
enum ArgError {
    #[error("{0:?} is not written key=value")]
    Pair(String),
    #[error("{0} is no part of a channel: account, type, webhook, secret-file, recipient")]
    Key(String),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("secret-file needs webhook")]
    SecretAlone,
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("a window is written requests/time, like 300/60s")]
    Window,
}

/// `--open`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    InBrowser,
    Nowhere,
}

/// Why it ended, if not by a signal.
#[derive(Debug, Error)]
enum RunError {
    #[error("can't read the secret file {path}")]
    SecretFile { path: PathBuf, source: io::Error },
    #[error("the secret file {0} is empty")]
    EmptySecret(PathBuf),
    #[error("--switch")]
    Switch(#[from] SwitchError),
    #[error("can't start the sandbox")]
    Start(#[from] StartError),
    #[error("the system refused")]
    System(#[from] io::Error),
}

/// Runs until a signal.
pub fn run(args: SandboxArgs) -> ExitCode {
    match listen(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {}", chain(&error));
            error.exit_code()
        }
    }
}

fn listen(args: SandboxArgs) -> Result<(), RunError> {
    let open = if args.open { Open::InBrowser } else { Open::Nowhere };
    let options = args.options()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(until_signal(options, open))
}

async fn until_signal(options: Options, open: Open) -> Result<(), RunError> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let sandbox = sandbox::start(options).await?;
    writeln!(io::stdout(), "listening on http://{}", sandbox.address())?;
    io::stdout().flush()?;
    if open == Open::InBrowser {
        super::open::page(sandbox.address());
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}

impl SandboxArgs {
    fn options(self) -> Result<Options, RunError> {
        let mut switches = Switches { accept_any_account: self.accept_any_account, ..Switches::default() };
        for written in &self.switch {
            switches.set_written(written)?;
        }
        let channels = self.channel.into_iter().map(ChannelArg::channel).collect::<Result<_, _>>()?;
        let windows = self.limit.into_iter().map(|window| window.0).collect();
        let webhook_retry = RetryPolicy {
            retries: self.webhook_retries,
            backoff_ms: millis(self.webhook_backoff),
            timeout_ms: millis(self.webhook_timeout),
        };
        Ok(Options {
            listen: self.listen,
            tokens: self.token,
            channels,
            switches,
            limits: Limits { at_once: self.limit_at_once, windows },
            webhook_retry,
            seed: self.seed,
            messages_max: self.messages,
            ledger_entries_max: self.ledger_entries,
            ..Options::default()
        })
    }
}

impl ChannelArg {
    fn channel(self) -> Result<Channel, RunError> {
        let secret = self.secret_file.as_deref().map(read_secret).transpose()?;
        let recipient = self.recipient.map(|id| Recipient { name: id.clone(), username: id.clone(), id });
        Ok(Channel {
            recipient: recipient.unwrap_or_default(),
            webhook: self.webhook.map(|url| Webhook { url, secret }),
            ..Channel::new(self.account, self.kind)
        })
    }
}

impl FromStr for ChannelArg {
    type Err = ArgError;

    fn from_str(written: &str) -> Result<Self, ArgError> {
        let mut parts = HashMap::new();
        for pair in written.split(',') {
            let (key, value) = pair.split_once('=').ok_or_else(|| ArgError::Pair(pair.to_owned()))?;
            parts.insert(key, value.to_owned());
        }
        let channel = Self {
            account: parts.remove("account").ok_or(ArgError::Missing("account"))?,
            kind: parts.remove("type").ok_or(ArgError::Missing("type"))?.parse()?,
            recipient: parts.remove("recipient"),
            webhook: parts.remove("webhook"),
            secret_file: parts.remove("secret-file").map(PathBuf::from),
        };
        if let Some(key) = parts.into_keys().next() {
            return Err(ArgError::Key(key.to_owned()));
        }
        if channel.secret_file.is_some() && channel.webhook.is_none() {
            return Err(ArgError::SecretAlone);
        }
        Ok(channel)
    }
}

impl FromStr for WindowArg {
    type Err = ArgError;

    fn from_str(written: &str) -> Result<Self, ArgError> {
        let (requests, time) = written.split_once('/').ok_or(ArgError::Window)?;
        let requests = requests.parse().map_err(|_| ArgError::Window)?;
        let per = humantime::parse_duration(time).map_err(|_| ArgError::Window)?;
        Ok(Self(WindowLimit { requests, per_ms: millis(per) }))
    }
}

impl RunError {
    fn exit_code(&self) -> ExitCode {
        const BAD_CONFIG: u8 = 78;
        match self {
            Self::SecretFile { .. } | Self::EmptySecret(_) | Self::Switch(_) | Self::Start(StartError::Channel(_)) => {
                ExitCode::from(BAD_CONFIG)
            }
            Self::Start(StartError::Listen { .. } | StartError::Seed(_)) | Self::System(_) => ExitCode::FAILURE,
        }
    }
}

/// A secret is the file's text without the line end that editors add.
fn read_secret(path: &Path) -> Result<Secret, RunError> {
    let text = fs::read_to_string(path).map_err(|source| RunError::SecretFile { path: path.into(), source })?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(RunError::EmptySecret(path.into())),
        secret => Ok(Secret::new(secret)),
    }
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn chain(error: &dyn error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SandboxArgs,
    }

    const ACCOUNT: &str = "11111111-2222-4333-8444-555555555555";

    fn options(words: &[&str]) -> Result<Options, String> {
        let line = Line::try_parse_from([&["sandbox"], words].concat()).map_err(|error| error.to_string())?;
        line.args.options().map_err(|error| chain(&error))
    }

    #[test]
    fn without_arguments_it_is_the_default() {
        let (options, default) = (options(&[]).expect("nothing is wrong"), Options::default());
        assert_eq!((options.listen, &options.limits), (default.listen, &default.limits));
        assert_eq!((options.switches, options.webhook_retry), (default.switches, default.webhook_retry));
        assert_eq!(options.tokens[0].bytes(), sandbox::TOKEN.as_bytes());
    }

    #[test]
    fn a_channel_has_its_secret_from_a_file() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("secret");
        fs::write(&path, "s3cr3t\n").expect("written");
        let written = format!("account={ACCOUNT},type=text,webhook=http://h/x,secret-file={}", path.display());
        let options = options(&["--channel", &written]).expect("nothing is wrong");
        let webhook = options.channels[0].webhook.as_ref().expect("a webhook");
        assert_eq!(webhook.secret.as_ref().expect("a secret").bytes(), b"s3cr3t");
    }

    #[test]
    fn senseless_arguments_are_refused() {
        let rows: &[(&[&str], &str)] = &[
            (&["--channel", "account=x"], "a channel without a type"),
            (&["--channel", "account=x,type=sms"], "an unknown type"),
            (&["--channel", "account=x,type=text,colour=red"], "an unknown part"),
            (&["--channel", "account=x,type=text,secret-file=f"], "a secret for no webhook"),
            (&["--channel", "account=x,type=text,webhook=http://h/,secret-file=/none"], "no such file"),
            (&["--limit", "300"], "a window without its time"),
            (&["--limit", "300/soon"], "a time that is none"),
            (&["--switch", "enforce_limits"], "a switch without a value"),
            (&["--switch", "no_such=1"], "an unknown switch"),
        ];
        for (words, sentence) in rows {
            assert!(options(words).is_err(), "{sentence}");
        }
    }
}
