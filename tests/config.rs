//! The config file from outside: what a file becomes, what every kind of fault says, and that the example file and the
//! code agree on every key and default.

#[path = "config/hostile.rs"]
mod hostile_files;
#[path = "config/example.rs"]
mod the_example_file;
#[path = "config/examples.rs"]
mod the_examples;
#[path = "config/becomes.rs"]
mod what_a_file_becomes;
#[path = "config/faults.rs"]
mod what_faults_say;
#[path = "config/secrets.rs"]
mod where_secrets_come_from;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use missived::config::{Config, Environment, LoadError, Loaded, NameOf, TokenSource};
use missived::event::links::Silencing;
use missived::event::{Compression, Format, Kind, Path as Pointer, Place, Pointers, Urgency};
use missived::lane::policy::OnDoubt;
use missived::lane::telling::Closing;
use missived::route::{After, Start, Takes, Whole};
use proptest::prelude::*;
use tempfile::TempDir;

/// The least file, but for the token, which needs no file here.
const LEAST: &str = r#"[kafka]
bootstrap = "kafka1:9092,kafka2:9092"
[missive]
insecure_inline_token = "missive_pat-hidden"
[channels.ops]
account = "11111111-2222-4333-8444-555555555555"
type = "text"
[sources.alerts]
topic = "alerts"
format = "alertmanager"
channel = "ops"
"#;

fn parse(text: &str) -> Result<Loaded, LoadError> {
    Config::parse(text, Path::new("/etc/missived/missived.toml"), &Environment::default())
}

fn working(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}\n\n{text}")).config
}

/// Faults without their lines, and never with what is secret in `text`.
fn faults(text: &str) -> Vec<String> {
    let Err(error) = parse(text) else { panic!("no fault in\n{text}") };
    assert!(!error.to_string().contains("hidden") && !format!("{error:?}").contains("hidden"), "{error:?}");
    match error {
        LoadError::Faults(faults) => faults.iter().map(ToString::to_string).collect(),
        other => panic!("{other}\n\n{text}"),
    }
}

fn warnings(text: &str) -> Vec<String> {
    let loaded = parse(text).unwrap_or_else(|error| panic!("{error}\n\n{text}"));
    loaded.warnings.iter().map(ToString::to_string).collect()
}

/// A folder with secret files that only we can read.
struct Secrets(TempDir);

impl Secrets {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a scratch file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn environment(&self) -> Environment {
        Environment { credentials_directory: Some(self.0.path().to_owned()) }
    }
}

/// A file's text with `token` as the value of `token_file`.
fn with_token_file(token: &str) -> String {
    LEAST.replace("insecure_inline_token = \"missive_pat-hidden\"", &format!("token_file = {token:?}"))
}
