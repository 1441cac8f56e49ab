//! Where secrets come from: files, systemd credentials, or (said loudly) the config itself.
//!
//! A path is absolute, relative to systemd's credentials directory, or `credential:NAME` in it. A file must be a regular
//! one of 1 to 4,096 bytes of UTF-8. No fault or warning repeats a secret, nor a text that could be one because somebody
//! put it where a path belongs. What is read here is wiped when it is dropped.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;
use toml::de::DeValue;
use zeroize::Zeroizing;

use super::TokenSource;
use super::fault::{KeyPath, REDACTED, quoted};
use super::raw::{Reading, Section, found};
use super::value::Value;
use crate::event::Timestamp;
use crate::hook::Secret;
use crate::missive::Token;

/// The largest secret file.
const SECRET_BYTES_MAX: u64 = 4096;

/// The largest file of certificates.
const CERTIFICATES_BYTES_MAX: u64 = 1 << 20;

const TOKEN_WANTED: &str = "a Missive API token: 1 to 512 printable ASCII characters";
const SECRET_WANTED: &str = "a secret that is not empty";
const PATH_WANTED: &str =
    "an absolute path such as \"/etc/missived/secrets/missive-token\", or \"credential:NAME\" from systemd";

/// What the process is given besides the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// systemd's `CREDENTIALS_DIRECTORY`.
    pub credentials_directory: Option<PathBuf>,
}

impl Environment {
    /// What this process was started with.
    pub fn of_process() -> Self {
        Self { credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) }
    }
}

/// A token, and where it can be read again.
pub(super) struct Credential {
    /// Where the config names it.
    pub key: KeyPath,
    pub source: TokenSource,
    pub token: Token,
}

/// What a `token_file` or `insecure_inline_token` gives.
pub(super) enum Given<T> {
    /// Neither key stands there.
    Absent,
    /// A fault is noted.
    Faulty,
    Whole(T),
}

/// The token that `section` names.
pub(super) fn token(section: &Section<'_>, environment: &Environment) -> Given<Credential> {
    let file = section.secret("token_file");
    let inline = section.secret("insecure_inline_token");
    let given = match (file, inline) {
        (None, None) if !section.has("token_file") && !section.has("insecure_inline_token") => return Given::Absent,
        (Some(_), Some(_)) => {
            section.unfit("insecure_inline_token", REDACTED, "either this or token_file, not both");
            None
        }
        (Some(path), None) => token_from_file(section, path, environment),
        (None, Some(text)) => token_inline(section, text),
        (None, None) => None,
    };
    given.map_or(Given::Faulty, Given::Whole)
}

fn token_from_file(section: &Section<'_>, path: &str, environment: &Environment) -> Option<Credential> {
    let key = section.at("token_file");
    let (path, text) = secret_file(section.reading(), &key, path, environment)?;
    let Some(token) = Token::parse(&text) else {
        section.unfit("token_file", format!("{} (holding {REDACTED})", quoted(&path.to_string_lossy())), TOKEN_WANTED);
        return None;
    };
    Some(Credential { key, source: TokenSource::File(path), token })
}

fn token_inline(section: &Section<'_>, text: &str) -> Option<Credential> {
    let Some(token) = Token::parse(text) else {
        section.unfit("insecure_inline_token", REDACTED, TOKEN_WANTED);
        return None;
    };
    let key = section.at("insecure_inline_token");
    Some(Credential { key, source: TokenSource::Inline(token.clone()), token })
}

/// The webhook secrets that `section` names, those that prove for ever first. None only with a fault noted; empty only where
/// it says so.
pub(super) fn hook_secrets(section: &Section<'_>, environment: &Environment) -> Option<Vec<Secret>> {
    let active = labelled_secrets(section, "secret_files", environment);
    let former = former_secrets(section, environment);
    let inline = texts(section, "insecure_inline_secrets", |_| REDACTED.to_owned());
    let unsigned = section.or("insecure_unsigned", false);
    let named = ["secret_files", "former_secret_files", "insecure_inline_secrets"];
    let any =
        named.iter().any(|key| section.value(key).and_then(DeValue::as_array).is_some_and(|list| !list.is_empty()));
    if !any && !unsigned && active.is_some() && inline.is_some() {
        section.reading().missing(section.at("secret_files"), HOOK_SECRETS_WANTED);
        return None;
    }
    if any && unsigned {
        section.unfit("insecure_unsigned", "true", "false beside secrets: an unsigned request would pass by them");
        return None;
    }
    let from_config = inline?.into_iter().enumerate().map(|(at, (key, text))| {
        Some(parse_secret(section, key, text, REDACTED)?.labelled(&format!("inline-{}", at + 1)))
    });
    // Collected first: every fault is told, not only the first.
    let from_config: Vec<Option<Secret>> = from_config.collect();
    let from_config: Option<Vec<Secret>> = from_config.into_iter().collect();
    let (active, former) = (active?, former?);
    let all = [active, from_config?, former].concat();
    Some(unique(all))
}

/// Secrets that prove until a moment: what is being replaced.
fn former_secrets(section: &Section<'_>, environment: &Environment) -> Option<Vec<Secret>> {
    let until = section.optional::<Timestamp>("former_until");
    let former = labelled_secrets(section, "former_secret_files", environment)?;
    if former.is_empty() {
        return Some(former);
    }
    if until.is_none() && !section.has("former_until") {
        let wanted = "the moment from which they prove nothing, such as \"2030-01-31T12:00:00Z\"";
        section.reading().missing(section.at("former_until"), wanted);
    }
    let until = until?;
    Some(former.into_iter().map(|secret| secret.until(until)).collect())
}

/// Secrets from an array of files, each labelled with its file's name. None only with a fault noted.
pub(super) fn labelled_secrets(
    section: &Section<'_>,
    key: &'static str,
    environment: &Environment,
) -> Option<Vec<Secret>> {
    let from_files = texts(section, key, quoted_path)?.into_iter().map(|(key, path)| {
        let (path, text) = secret_file(section.reading(), &key, path, environment)?;
        let secret = parse_secret(section, key, &text, &quoted(&path.to_string_lossy()))?;
        Some(secret.labelled(&path.file_name().unwrap_or_default().to_string_lossy()))
    });
    // Collected first: every file's fault is told, not only that of the first.
    let secrets: Vec<Option<Secret>> = from_files.collect();
    secrets.into_iter().collect()
}

/// Labels are for counting: two secrets never count as one.
fn unique(secrets: Vec<Secret>) -> Vec<Secret> {
    let mut taken = std::collections::HashSet::new();
    let label = |secret: Secret| {
        let own = secret.label().to_owned();
        let free = (1_usize..).map(|number| if number == 1 { own.clone() } else { format!("{own}-{number}") });
        let label = free.into_iter().find(|label| taken.insert(label.clone())).unwrap_or(own);
        secret.labelled(&label)
    };
    secrets.into_iter().map(label).collect()
}

/// The secret in the file that `key` names. None if the key isn't there, or with a fault noted.
pub(super) fn secret(section: &Section<'_>, key: &'static str, environment: &Environment) -> Option<Secret> {
    let path = section.secret(key)?;
    let (path, text) = secret_file(section.reading(), &section.at(key), path, environment)?;
    parse_secret(section, section.at(key), &text, &quoted(&path.to_string_lossy()))
}

impl Value for Timestamp {
    const NOUN: &'static str = "a moment";

    fn wanted() -> String {
        "a moment such as \"2030-01-31T12:00:00Z\"".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        Self::parse_rfc3339(value.as_str()?)
    }

    fn show(&self) -> String {
        let shown = i64::try_from(self.as_millis()).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        format!("{:?}", shown.map(|at| at.to_string()).unwrap_or_default())
    }
}

const HOOK_SECRETS_WANTED: &str = "files with the channel's webhook secrets such as [\"/etc/missived/secrets/ops-hook\"], \
                                   or insecure_unsigned = true";

fn parse_secret(section: &Section<'_>, key: KeyPath, text: &str, shown: &str) -> Option<Secret> {
    let secret = Secret::parse(text);
    if secret.is_none() {
        section.reading().unfit(key, shown, SECRET_WANTED);
    }
    secret
}

/// The strings of an array, each with its place; none of them is repeated unless `show` does.
fn texts<'a>(section: &Section<'a>, key: &'static str, show: fn(&str) -> String) -> Option<Vec<(KeyPath, &'a str)>> {
    const SECRETS_MAX: usize = 8;
    let Some(value) = section.value(key) else { return Some(Vec::new()) };
    let Some(array) = value.as_array().filter(|array| array.len() <= SECRETS_MAX) else {
        let shown = value.as_str().map_or_else(|| found(value), show);
        section.unfit(key, shown, format!("an array of at most {SECRETS_MAX} strings"));
        return None;
    };
    let strings = array.iter().enumerate().map(|(at, value)| {
        let key = section.at(key).index(at);
        let text = value.get_ref().as_str();
        if text.is_none() {
            section.reading().unfit(key.clone(), REDACTED, "a string");
        }
        text.map(|text| (key, text))
    });
    let strings: Vec<Option<_>> = strings.collect();
    strings.into_iter().collect()
}

/// The text of a file, for a librdkafka value: what a secret file may be, and one trailing line end less.
pub(super) fn value_file(
    reading: &Reading<'_>,
    key: &KeyPath,
    path: &str,
    environment: &Environment,
) -> Option<Zeroizing<String>> {
    let (_, text) = secret_file(reading, key, path, environment)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Some(Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}

/// A file of certificates that is there and can be read.
pub(super) fn certificates(section: &Section<'_>, key: &'static str, environment: &Environment) -> Option<PathBuf> {
    let path = section.secret(key)?;
    let outcome = locate(path, environment).and_then(|path| read(&path, CERTIFICATES_BYTES_MAX).map(|_| path));
    match outcome {
        Ok(found) => {
            note_copy(section.reading(), section.at(key), &found, environment);
            Some(found)
        }
        Err(fault) => {
            tell(section.reading(), &section.at(key), path, &fault);
            None
        }
    }
}

fn secret_file(
    reading: &Reading<'_>,
    key: &KeyPath,
    path: &str,
    environment: &Environment,
) -> Option<(PathBuf, Zeroizing<String>)> {
    let outcome = locate(path, environment).and_then(|path| read(&path, SECRET_BYTES_MAX).map(|file| (path, file)));
    match outcome {
        Ok((path, file)) => {
            if file.readers == Readers::Everyone {
                let shown = quoted(&path.to_string_lossy());
                reading.warn(key.clone(), format!("everyone on this machine can read {shown}; try chmod 0400"));
            }
            note_copy(reading, key.clone(), &path, environment);
            Some((path, file.text))
        }
        Err(fault) => {
            tell(reading, key, path, &fault);
            None
        }
    }
}

/// systemd copies credentials when it starts a service: what is read from there stays as it was then.
fn note_copy(reading: &Reading<'_>, key: KeyPath, path: &Path, environment: &Environment) {
    if environment.credentials_directory.as_ref().is_some_and(|directory| path.starts_with(directory)) {
        reading.credential(key);
    }
}

fn tell(reading: &Reading<'_>, key: &KeyPath, path: &str, fault: &FileFault) {
    let wanted = match fault {
        FileFault::NoPath | FileFault::NoCredentials => PATH_WANTED.to_owned(),
        FileFault::TooLarge { bytes_max } => format!("a file of at most {bytes_max} bytes"),
        FileFault::Absent | FileFault::NoFile | FileFault::Unreadable(_) | FileFault::Empty | FileFault::NoText => {
            "a readable text file that is not empty".to_owned()
        }
    };
    reading.unfit(key.clone(), format!("{} ({fault})", quoted_path(path)), wanted);
}

/// A path as a fault may show it: what has not the form of one may be the secret itself.
fn quoted_path(text: &str) -> String {
    if text.starts_with('/') || text.starts_with(CREDENTIAL) { quoted(text) } else { REDACTED.to_owned() }
}

/// Why a file that the config names is of no use.
#[derive(Debug, Error)]
enum FileFault {
    #[error("not a path from here")]
    NoPath,
    #[error("CREDENTIALS_DIRECTORY is not set")]
    NoCredentials,
    #[error("no such file")]
    Absent,
    #[error("not a regular file")]
    NoFile,
    #[error("can't be read: {0}")]
    Unreadable(io::ErrorKind),
    #[error("empty")]
    Empty,
    #[error("too large")]
    TooLarge { bytes_max: u64 },
    #[error("not UTF-8 text")]
    NoText,
}

impl From<io::Error> for FileFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            kind => Self::Unreadable(kind),
        }
    }
}

const CREDENTIAL: &str = "credential:";

/// Where `text` points: a file anywhere, or one below the credentials directory.
fn locate(text: &str, environment: &Environment) -> Result<PathBuf, FileFault> {
    let path = Path::new(text);
    if path.is_absolute() && !text.contains('\0') {
        return Ok(path.to_owned());
    }
    let relative = Path::new(text.strip_prefix(CREDENTIAL).unwrap_or(text));
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || text.contains(char::is_control) || relative.as_os_str().is_empty() {
        return Err(FileFault::NoPath);
    }
    let directory = environment.credentials_directory.as_ref().ok_or(FileFault::NoCredentials)?;
    Ok(directory.join(relative))
}

struct SmallFile {
    text: Zeroizing<String>,
    readers: Readers,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    Few,
    Everyone,
}

fn read(path: &Path, bytes_max: u64) -> Result<SmallFile, FileFault> {
    // Asked before it is opened: opening a FIFO would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(FileFault::NoFile);
    }
    let file = File::open(path)?;
    let readers = if file.metadata()?.mode() & 0o004 == 0 { Readers::Few } else { Readers::Everyone };
    let room = usize::try_from(bytes_max).unwrap_or(usize::MAX).saturating_add(1);
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() == room {
        return Err(FileFault::TooLarge { bytes_max });
    }
    let text = str::from_utf8(&bytes).map_err(|_| FileFault::NoText)?;
    if text.trim().is_empty() {
        return Err(FileFault::Empty);
    }
    Ok(SmallFile { text: Zeroizing::new(text.to_owned()), readers })
}
