//! The rules of the house that the compiler doesn't know: every file says what it is for, the heart stays pure, imports
//! point one way, exceptions give reasons.
//!
//! The sources are read as text; nothing is built. Each rule says where it was broken and what to do instead, and is
//! tried on a bad and a good snippet, so that a rule that catches nothing fails, too.
//!
//! Limits: macros aren't expanded, and a path that is put together by a macro goes unseen.

use std::fs;
use std::path::{Path, PathBuf};

use rules::{RULES, broken, is_source};
use source::File;

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

/// Names at the top of the repository. Hidden files of tools pass.
const TOP: &[&str] = &[
    ".ci",
    ".git",
    ".gitignore",
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "clippy.toml",
    "config",
    "docs",
    "examples",
    "proptest-regressions",
    "rustfmt.toml",
    "src",
    "systemd",
    "target",
    "tests",
];

#[test]
fn the_tree_keeps_the_rules() {
    let files = tree();
    assert!(files.iter().filter(|file| is_source(file)).count() > 10, "the sources weren't found");
    let faults: Vec<String> = files.iter().flat_map(broken_anywhere).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_top_of_the_repository_holds_what_belongs_there() {
    let strangers: Vec<String> = names(&root()).into_iter().filter(|name| is_stranger(name)).collect();
    assert!(strangers.is_empty(), "at the top of the repository: {strangers:?}: move them, or add them to TOP");
}

#[test]
fn each_rule_catches_what_it_is_for() {
    for (rule, path, bad, good) in SNIPPETS {
        let rule = RULES.iter().find(|r| r.name == *rule).unwrap_or_else(|| panic!("no rule {rule:?}"));
        let faults = |text: &str| broken(rule, &File::new(path, text));
        assert_ne!(faults(bad), Vec::<String>::new(), "{}: not caught in {path}: {bad}", rule.name);
        assert_eq!(faults(good), Vec::<String>::new(), "{}: wrongly caught in {path}: {good}", rule.name);
    }
    for rule in RULES {
        assert!(SNIPPETS.iter().any(|(name, ..)| *name == rule.name), "no snippet tries {:?}", rule.name);
    }
    let drawers =
        ["src/lane/util.rs", "src/common/mod.rs"].map(|path| broken_anywhere(&File::new(path, "//! x\n")).len());
    assert_eq!(drawers, [1, 1], "a file's own name counts, too");
    assert!(is_stranger("notes.txt") && is_stranger("node_modules"), "a new name at the top is noticed");
    assert!(!is_stranger("src") && !is_stranger(".idea"), "known names and tools' hidden files pass");
}

#[test]
fn a_fault_is_told_with_its_place_and_its_way_out() {
    let rule = RULES.iter().find(|rule| rule.name == "the heart is pure").expect("the rule of purity");
    let told = broken(rule, &File::new("src/lane/pacing.rs", "//! x\n\nuse std::thread;\n"));
    assert_eq!(told, ["src/lane/pacing.rs:3: `std::thread`: let the shell own the threads (the heart is pure)"]);
}

/// Rule, path, a snippet that breaks it there, and one that keeps it.
const SNIPPETS: &[(&str, &str, &str, &str)] = &[
    ("every file opens with its contract", "src/a.rs", "use std::fmt;\n//! late", "//! What a is for.\nuse std::fmt;"),
    ("every file opens with its contract", "benches/a.rs", "", "//! Times a."),
    ("the heart is pure", "src/event/a.rs", "use std::fs;", "// std::fs is for others\nuse std::fmt;"),
    ("the heart is pure", "src/event/a.rs", "use std::{fmt, fs};", "use std::{fmt, mem};"),
    ("the heart is pure", "src/lane/mod.rs", "let t = Instant::now();", "let t = \"Instant::now\";"),
    ("the heart is pure", "src/lane/mod.rs", "fn f(at: SystemTime) {}", "fn f(at: Timestamp, system_time: u8) {}"),
    ("the heart is pure", "src/route/mod.rs", "metrics::counter!(\"x\");", "let metrics = 1; metrics_of(metrics);"),
    ("the heart is pure", "src/hook/mod.rs", "println!(\"{x}\");", "writeln!(out, \"println!\");"),
    ("the heart is pure", "src/missive/mod.rs", "tracing::info!(x);", "/* tracing */ let c = '\"'; let tracings = 1;"),
    ("the heart is pure", "src/missive/mod.rs", "let s = r#\"a\"b\"#; tokio::x();", "let s = r#\"a\" tokio \"b\"#;"),
    ("imports point one way", "src/event/a.rs", "use crate::route::Rule;", "use crate::event::Event;"),
    ("imports point one way", "src/event/mod.rs", "use super::lane::Lane;", "use super::Event;"),
    ("imports point one way", "src/route/a.rs", "use super::super::lane::Lane;", "use super::super::event::Event;"),
    (
        "imports point one way",
        "src/route/mod.rs",
        "use super::{\n event::E,\n lane::{A, B},\n};",
        "use super::{event::E, A};",
    ),
    (
        "imports point one way",
        "src/route/a.rs",
        "use crate::{event::E, lane};",
        "use crate::{event::{E, F}, route::G};",
    ),
    ("imports point one way", "src/lane/a.rs", "fn f(r: &crate::route::Rule) {}", "fn f(m: &crate::missive::Body) {}"),
    ("imports point one way", "src/hook/a.rs", "use crate::lane::Lane;", "use crate::event::Fingerprint;"),
    ("imports point one way", "src/config/a.rs", "use crate::telemetry::X;", "use crate::{hook, lane::Policy};"),
    ("imports point one way", "src/sandbox/a.rs", "use crate::missive::Body;", "use crate::sandbox::rules;"),
    ("imports point one way", "src/telemetry/mod.rs", "use crate::shell::X;", "use crate::lane::Reason;"),
    ("imports point one way", "src/shell/a.rs", "use crate::cli::Args;", "use crate::config::Config;"),
    (
        "imports point one way",
        "src/shell/hook/mod.rs",
        "mod tests {\n use crate::sandbox::Sandbox;\n}",
        "mod tests {\n use super::*;\n use super::super::kafka;\n}",
    ),
    (
        "shell folders don't know one another",
        "src/shell/hook/a.rs",
        "use crate::shell::intake::X;",
        "use crate::shell::kafka;",
    ),
    (
        "shell folders don't know one another",
        "src/shell/intake/mod.rs",
        "use super::courier::X;",
        "use super::clock::Clock;",
    ),
    (
        "shell folders don't know one another",
        "src/shell/admin/a.rs",
        "use super::super::hook::X;",
        "use super::hook::X;",
    ),
    (
        "shell folders don't know one another",
        "src/shell/kafka/a.rs",
        "use crate::shell::{clock, admin};",
        "use crate::hook::X;",
    ),
    ("modules are named for what they do", "src/lane/mod.rs", "mod helpers {\n}", "mod digest;"),
    ("nothing is left for later", "src/a.rs", concat!("// TO", "DO: more"), "// what is to do: nothing"),
    ("nothing is left for later", "src/a.rs", concat!("todo", "!()"), "to_do()"),
    ("nothing is left for later", "README.md", concat!("see /wo", "rk/x"), "see /worker and network/work"),
    ("nothing is left for later", "config/a.toml", concat!("path = \"sha", "red/x\""), "path = \"share/x\""),
    ("dependencies give a reason", "Cargo.toml", "[dependencies]\na = \"1\"", "[dependencies]\na = \"1\" # counts"),
    (
        "dependencies give a reason",
        "Cargo.toml",
        "[dev-dependencies.a]\nversion = \"1\"",
        "[package]\nname = \"a\"\n[dev-dependencies]\n# ── group ──\nb = { version = \"1\" } # shrinks",
    ),
    ("dependencies give a reason", "Cargo.toml", "[dependencies]\na = { git = \"x#y\" }", "[profile.dev]\ndebug = 1"),
    (
        "exceptions from lints give a reason",
        "src/a.rs",
        "#[allow(dead_code)]\nfn a() {}",
        "#[expect(dead_code, reason = \"later\")]\nfn a() {}",
    ),
    ("exceptions from lints give a reason", "tests/a.rs", "#![allow(dead_code)]", "let s = \"#[allow(dead_code)]\";"),
    ("exceptions from lints give a reason", "src/a.rs", "#[expect(dead_code)]\nfn a() {}", "// #[expect(dead_code)]"),
    (
        "tests wait for the thing, not for the clock",
        "tests/a.rs",
        "thread::sleep(TICK);",
        "// no sleep() here\nwait_for(x);",
    ),
    ("tests wait for the thing, not for the clock", "tests/a/b.rs", "tokio::time::sleep(x).await;", "let sleep = 1;"),
];

fn broken_anywhere(file: &File) -> Vec<String> {
    RULES.iter().flat_map(|rule| broken(rule, file)).collect()
}

fn is_stranger(name: &str) -> bool {
    !TOP.contains(&name) && !name.starts_with('.')
}

// ── the tree ──

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the repository but the lock file and what tools leave behind.
fn tree() -> Vec<File> {
    let mut files = Vec::new();
    for name in names(&root()) {
        let known = TOP.contains(&name.as_str());
        if known && !matches!(name.as_str(), ".git" | "target" | "Cargo.lock" | "proptest-regressions") {
            walk(&root().join(&name), &name, &mut files);
        }
    }
    files
}

fn walk(at: &Path, path: &str, files: &mut Vec<File>) {
    if at.is_dir() {
        for name in names(at) {
            walk(&at.join(&name), &format!("{path}/{name}"), files);
        }
        return;
    }
    let Ok(text) = String::from_utf8(fs::read(at).expect("a file of the repository can be read")) else { return };
    files.push(File::new(path, &text));
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder of the repository can be read");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
