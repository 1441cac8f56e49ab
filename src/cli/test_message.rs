//! `missived test-message CHANNEL`: sends one message to one channel, to see with one's own eyes that it arrives.
//!
//! It spends one request of the lane's budget, behind the back of a daemon that may run: harmless once, not in a loop. Each run
//! opens a conversation of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyper::body::Bytes;
use strsim::jaro_winkler;
use thiserror::Error;

use super::EXIT_CONFIG;
use super::online::{Fault, ask, token};
use crate::config::{Config, Environment, Lane};
use crate::missive::markup::escaped;
use crate::missive::{Channel, ChannelType, MESSAGES_PATH, Message, Posting, Repeat};
use crate::shell::clock;

const EXAMPLES: &str = "\
Examples:
  missived test-message ops
  missived test-message ops --text \"hello from the new cluster\"

Exit codes: 0 Missive took it, 1 not, 78 faulty config.";

/// Send one message to a channel.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TestMessageArgs {
    /// The channel's name in the config
    channel: String,
    /// What it says
    #[arg(long, default_value = "missived was asked to send a test message. Nothing is to be done.")]
    text: String,
    /// The config file
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    config: PathBuf,
}

#[derive(Debug, Error)]
enum Failure {
    #[error("no channel {0:?} in the config{1}")]
    NoChannel(String, String),
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Sends it.
pub fn run(args: &TestMessageArgs) -> ExitCode {
    let config = match Config::load(&args.config, &Environment::of_process()) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match send(&config, args) {
        Ok(()) => {
            println!("Missive took it: look into channel {}", args.channel);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("missived: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn send(config: &Config, args: &TestMessageArgs) -> Result<(), Failure> {
    let (lane, channel) = find(config, &args.channel)?;
    let token = token(&lane.token)?;
    let body = Bytes::from(message(channel, &args.text, clock::now().as_millis()));
    ask(config, async |client, deadlines| client.post(MESSAGES_PATH, &token, body, deadlines).await)?;
    Ok(())
}

fn find<'c>(config: &'c Config, name: &str) -> Result<(&'c Lane, &'c Channel), Failure> {
    let in_lane = |lane: &'c Lane| lane.policy.channels.get(name).map(|policy| (lane, &policy.channel));
    config.lanes.iter().find_map(in_lane).ok_or_else(|| {
        let names = config.lanes.iter().flat_map(|lane| lane.policy.channels.keys());
        let nearest = names.max_by(|a, b| jaro_winkler(a, name).total_cmp(&jaro_winkler(b, name)));
        let hint = nearest.map_or(String::new(), |nearest| format!("; did you mean {nearest:?}?"));
        Failure::NoChannel(name.to_owned(), hint)
    })
}

fn message(channel: &Channel, text: &str, at_ms: u64) -> Vec<u8> {
    let reference = format!("missived-test:{at_ms}");
    let body = match channel.kind {
        ChannelType::Text => text.to_owned(),
        ChannelType::Html | ChannelType::Email => format!("<p>{}</p>", escaped(text)),
    };
    let message = Message {
        external_id: reference.as_str().into(),
        reference: reference.into(),
        routing_key: "missived-test".into(),
        sender: "missived".into(),
        subject: "missived: test message".into(),
        body: body.into(),
        colour: None,
        close: false,
        labels: Vec::new(),
        attachments: Vec::new(),
        delivered_at: None,
    };
    let (body, _) = message.request(channel, &Posting::default(), None, Repeat::No);
    body
}
