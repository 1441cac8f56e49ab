//! Config files for the daemon, written into a scratch folder with the secrets they name.
//!
//! The template is a small complete daemon: one Text channel `ops`, one Alertmanager source `alerts` on the topic
//! `<namespace>-alerts`, every listener on a free port of 127.0.0.1. A test adds what it is about with
//! [`Draft::with`], or replaces all of it with [`Draft::toml`].

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::kafka;

/// The account id of the channel `ops`.
pub const ACCOUNT: &str = "11111111-2222-4333-8444-555555555555";
/// The API token in the token file.
pub const TOKEN: &str = "missive_pat-for-tests";
/// The webhook secret in the secret file.
pub const SECRET: &str = "s3cr3t-for-tests";

/// A config in the making.
#[derive(Clone, Debug)]
pub struct Draft {
    namespace: String,
    bootstrap: String,
    missive_url: String,
    lines: Vec<(String, String)>,
    extra: String,
}

impl Draft {
    /// `missive_url` is the sandbox's, or whatever plays Missive in the test.
    pub fn new(bootstrap: &str, missive_url: &str) -> Self {
        Self {
            namespace: kafka::unique("t"),
            bootstrap: bootstrap.to_owned(),
            missive_url: missive_url.to_owned(),
            lines: Vec::new(),
            extra: String::new(),
        }
    }

    /// The namespace of another config: a second instance, or the same one after a change.
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// One more line in a table that the template has: `set("missive", "request_timeout = \"1s\"")`.
    pub fn set(mut self, table: &str, line: &str) -> Self {
        self.lines.push((format!("\n[{table}]\n"), line.to_owned()));
        self
    }

    /// More tables, behind the template's. `{namespace}` and `{dir}` are filled in.
    pub fn with(mut self, toml: &str) -> Self {
        self.extra.push('\n');
        self.extra.push_str(toml);
        self
    }

    /// Writes the template, with what was added.
    pub fn write(&self) -> Config {
        self.toml(TEMPLATE)
    }

    /// Writes this text instead of the template, with the same words in braces filled in, and what was added.
    pub fn toml(&self, template: &str) -> Config {
        let dir = tempfile::Builder::new().prefix("missived-config").tempdir().expect("a folder");
        secret(&dir.path().join("token"), TOKEN);
        secret(&dir.path().join("secret"), SECRET);
        let path = dir.path().join("missived.toml");
        let template = self.lines.iter().fold(template.to_owned(), |text, (table, line)| {
            assert!(text.contains(table), "the template has no {}", table.trim());
            text.replacen(table, &format!("{table}{line}\n"), 1)
        });
        fs::write(&path, self.fill(&format!("{template}{}", self.extra), dir.path())).expect("the config is written");
        Config { namespace: self.namespace.clone(), path, dir }
    }

    fn fill(&self, template: &str, dir: &Path) -> String {
        let words = [
            ("{namespace}", self.namespace.as_str()),
            ("{bootstrap}", &self.bootstrap),
            ("{missive_url}", &self.missive_url),
            ("{account}", ACCOUNT),
            ("{dir}", dir.to_str().expect("scratch paths are UTF-8")),
        ];
        words.iter().fold(template.to_owned(), |text, (word, value)| text.replace(word, value))
    }
}

/// A config that has been written; its folder goes when this is dropped.
#[derive(Debug)]
pub struct Config {
    namespace: String,
    path: PathBuf,
    dir: TempDir,
}

impl Config {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// `<namespace>-alerts`: the topic of the template's source, which the test creates.
    pub fn alerts_topic(&self) -> String {
        format!("{}-alerts", self.namespace)
    }

    /// `<namespace>.<name>`: a topic of the daemon's own, say `replies`.
    pub fn own_topic(&self, name: &str) -> String {
        format!("{}.{name}", self.namespace)
    }

    pub fn secret_file(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    pub fn token_file(&self) -> PathBuf {
        self.dir.path().join("token")
    }
}

const TEMPLATE: &str = r#"
[kafka]
bootstrap = "{bootstrap}"
namespace = "{namespace}"

[missive]
url = "{missive_url}"
token_file = "{dir}/token"

[admin]
listen = "127.0.0.1:0"

[hook]
listen = "127.0.0.1:0"

[channels.ops]
account = "{account}"
type = "text"

[channels.ops.hook]
secret_files = ["{dir}/secret"]

[sources.alerts]
topic = "{namespace}-alerts"
format = "alertmanager"
channel = "ops"
start = "earliest"
"#;

fn secret(path: &Path, content: &str) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("a secret file");
    file.write_all(content.as_bytes()).expect("the secret is written");
}
