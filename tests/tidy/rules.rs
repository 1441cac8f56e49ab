//! The rules themselves: what each forbids, where, and what to do instead.
//!
//! A rule is a function from a file to its faults, so that a test can try it on a snippet. The tables at the top are the
//! house's decisions; whoever changes one changes its reason.

use std::fmt;

use super::source::{File, identifier, is_root, members, words};

/// One rule: what it is called, which files it reads, and how it finds what breaks it.
pub struct Rule {
    pub name: &'static str,
    pub applies: fn(&File) -> bool,
    pub faults: fn(&File) -> Vec<Fault>,
}

pub const RULES: &[Rule] = &[
    Rule { name: "every file opens with its contract", applies: is_rust, faults: header },
    Rule { name: "the heart is pure", applies: is_pure, faults: impurities },
    Rule { name: "imports point one way", applies: is_source, faults: wrong_way },
    Rule { name: "shell folders don't know one another", applies: is_shell_folder, faults: neighbours },
    Rule { name: "modules are named for what they do", applies: is_rust, faults: drawers },
    Rule { name: "nothing is left for later", applies: |_| true, faults: leftovers },
    Rule { name: "dependencies give a reason", applies: is_manifest, faults: unexplained_dependencies },
    Rule { name: "exceptions from lints give a reason", applies: is_rust, faults: silent_exceptions },
    Rule { name: "tests wait for the thing, not for the clock", applies: is_test, faults: sleeps },
];

/// Modules that do no I/O, read no clock, draw no randomness and log nothing.
const PURE: &[&str] = &["event", "route", "lane", "missive", "hook"];

/// What a pure module may not mention, and what it does instead.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "let the shell or the config read the file"),
    ("std::net", "let the shell open the connection"),
    ("std::thread", "let the shell own the threads"),
    ("std::env", "let the config read the environment"),
    ("Instant::now", "take `now` as an argument"),
    ("SystemTime", "take `now` as an argument, as our own Timestamp"),
    ("tokio", "return an effect; the shell is async"),
    ("rdkafka", "return an effect; the shell speaks Kafka"),
    ("hyper", "return an effect; the shell speaks HTTP"),
    ("tracing", "return a reason; the shell logs"),
    ("metrics::", "return a reason; the shell counts"),
    ("getrandom", "take a seed as an argument"),
    ("println!", "return a value; the shell talks"),
    ("eprintln!", "return a value; the shell talks"),
];

/// Which of our modules a module may import, and why not the others.
const MAY_IMPORT: &[(&str, &[&str], &str)] = &[
    ("event", &[], "an event knows nothing of where it goes"),
    ("missive", &[], "Missive's words stand for themselves"),
    ("route", &["event"], "a route turns events into observations and knows nothing of lanes"),
    ("lane", &["event", "missive"], "a lane folds observations into messages; how they were routed is settled by then"),
    ("hook", &["event", "missive"], "the hook proves and reads; where a reply goes is settled above it"),
    ("config", PURE, "the config builds what the pure modules take; who reads it is above it"),
    ("telemetry", PURE, "telemetry names the pure modules' reasons and never knows the shell"),
    (
        "sandbox",
        &["telemetry"],
        "the stand-in shares no code with the client that it stands against, or a shared mistake hides",
    ),
    (
        "shell",
        &["event", "route", "lane", "missive", "hook", "config", "telemetry"],
        "the shell performs what is decided below it; commands are above it",
    ),
    (
        "cli",
        &["event", "route", "lane", "missive", "hook", "config", "telemetry", "sandbox", "shell"],
        "commands are the top",
    ),
];

/// Folders under `src/shell` of which each minds its own business; `kafka` and `edge` serve them all.
const SHELL_FOLDERS: &[&str] = &["intake", "courier", "hook", "ingest", "admin"];

const DRAWERS: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

#[derive(Debug)]
pub struct Fault {
    line: usize,
    what: String,
    instead: String,
}

impl Fault {
    fn new(line: usize, what: impl fmt::Display, instead: impl fmt::Display) -> Self {
        Self { line, what: what.to_string(), instead: instead.to_string() }
    }
}

pub fn broken(rule: &Rule, file: &File) -> Vec<String> {
    if !(rule.applies)(file) {
        return Vec::new();
    }
    let told =
        |fault: Fault| format!("{}:{}: {}: {} ({})", file.path, fault.line, fault.what, fault.instead, rule.name);
    (rule.faults)(file).into_iter().map(told).collect()
}

// ── what breaks them ──

fn header(file: &File) -> Vec<Fault> {
    if file.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![Fault::new(1, "no header", "open with `//! …`: what it is for, what must hold, what it refuses to do")]
}

fn impurities(file: &File) -> Vec<Fault> {
    let mut faults = Vec::new();
    for &(word, instead) in IMPURE {
        let found = words(&file.code, word).map(|at| Fault::new(file.line(at), format!("`{word}`"), instead));
        faults.extend(found);
    }
    for import in std_groups(&file.code) {
        let full = format!("std::{}", import.name);
        if let Some((word, instead)) = IMPURE.iter().find(|(word, _)| *word == full) {
            faults.push(Fault::new(file.line(import.at), format!("`{word}`"), *instead));
        }
    }
    faults
}

fn wrong_way(file: &File) -> Vec<Fault> {
    let Some(own) = file.module().first().cloned() else { return Vec::new() };
    let Some((_, allowed, why)) = MAY_IMPORT.iter().find(|(module, ..)| *module == own) else { return Vec::new() };
    let mut faults = Vec::new();
    for import in imports(file) {
        let Some(other) = import.path.first().filter(|name| is_ours(name)) else { continue };
        if *other != own && !allowed.contains(&other.as_str()) {
            let instead = format!("{own} may import {allowed:?}: {why}");
            faults.push(Fault::new(import.line, format!("{own} imports {other}"), instead));
        }
    }
    faults
}

fn neighbours(file: &File) -> Vec<Fault> {
    let own = file.module()[1].clone();
    let reaches = |path: &[String]| path.len() > 1 && path[0] == "shell" && path[1] != own && is_shell_room(&path[1]);
    let broken = imports(file).into_iter().filter(|import| reaches(&import.path));
    let fault = |import: Import| {
        let what = format!("shell::{own} imports shell::{}", import.path[1]);
        Fault::new(
            import.line,
            what,
            "join them in src/shell/mod.rs or src/shell/daemon.rs, by a channel or a trait of its own",
        )
    };
    broken.map(fault).collect()
}

fn drawers(file: &File) -> Vec<Fault> {
    let instead = "name it for the concept it holds, or put its parts where they belong";
    let mut faults = Vec::new();
    let parts = file.path.trim_end_matches(".rs").split('/');
    faults
        .extend(parts.filter(|p| DRAWERS.contains(p)).map(|p| Fault::new(1, format!("a module called {p}"), instead)));
    for name in DRAWERS {
        let declared = format!("mod {name}");
        let found = words(&file.code, &declared);
        faults.extend(found.map(|at| Fault::new(file.line(at), format!("a module called {name}"), instead)));
    }
    faults
}

fn leftovers(file: &File) -> Vec<Fault> {
    // put together here, so that this file keeps its own rule
    let words_and_ways = [
        (concat!("TO", "DO"), "do it, or write down as a limit what isn't done"),
        (concat!("FIX", "ME"), "fix it, or write down as a limit what isn't fixed"),
        (concat!("todo", "!("), "do it"),
        (concat!("unimplemented", "!("), "implement it, or make the type say that it can't be asked for"),
        (concat!("/wo", "rk"), "name no place outside the repository"),
        (concat!("sha", "red/"), "name no place outside the repository"),
    ];
    let found = |(word, instead): (&'static str, &'static str)| {
        let at = words(&file.text, word).filter(|at| word != concat!("/wo", "rk") || is_root(&file.text, *at));
        at.map(|at| Fault::new(file.line(at), format!("`{word}`"), instead)).collect::<Vec<_>>()
    };
    words_and_ways.into_iter().flat_map(found).collect()
}

fn unexplained_dependencies(file: &File) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(file.text.lines().map(str::trim)) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').ends_with("dependencies");
            if section.contains("dependencies.") {
                faults.push(Fault::new(
                    number,
                    "a dependency in a table of its own",
                    "write it on one line, with ` # why`",
                ));
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') && !gives_reason(line) {
            faults.push(Fault::new(
                number,
                "a dependency without a reason",
                "add ` # what we need it for` at the end of its line",
            ));
        }
    }
    faults
}

fn silent_exceptions(file: &File) -> Vec<Fault> {
    let mut faults = Vec::new();
    for form in ["#[allow(", "#![allow("] {
        let found = file.code.match_indices(form);
        faults.extend(found.map(|(at, _)| {
            Fault::new(file.line(at), form, "#[expect(…, reason = \"…\")] goes when it isn't needed any more")
        }));
    }
    for (at, form) in file.code.match_indices("#[expect(").chain(file.code.match_indices("#![expect(")) {
        let attribute = file.code[at..].split(")]").next().unwrap_or_default();
        if !attribute.contains("reason =") {
            faults.push(Fault::new(file.line(at), form, "say why: reason = \"…\""));
        }
    }
    faults
}

fn sleeps(file: &File) -> Vec<Fault> {
    let instead = "wait for the thing itself: support::wait::eventually, or a line of the daemon's output";
    words(&file.code, "sleep(").map(|at| Fault::new(file.line(at), "`sleep(`", instead)).collect()
}

/// A comment behind the value: a `#` outside of quotes.
fn gives_reason(line: &str) -> bool {
    let outside: String = line.split('"').step_by(2).collect();
    outside.split_once('#').is_some_and(|(_, reason)| !reason.trim().is_empty())
}

// ── where they apply ──

fn is_rust(file: &File) -> bool {
    file.path.ends_with(".rs")
}

pub fn is_source(file: &File) -> bool {
    is_rust(file) && file.path.starts_with("src/")
}

fn is_pure(file: &File) -> bool {
    is_source(file) && file.module().first().is_some_and(|module| PURE.contains(&module.as_str()))
}

fn is_shell_folder(file: &File) -> bool {
    let module = file.module();
    is_source(file) && module.len() > 1 && module[0] == "shell" && is_shell_room(&module[1])
        || file.path.starts_with("src/shell/kafka")
}

fn is_shell_room(name: &str) -> bool {
    SHELL_FOLDERS.contains(&name)
}

fn is_test(file: &File) -> bool {
    is_rust(file) && file.path.starts_with("tests/") && !file.path.starts_with("tests/support/")
}

fn is_manifest(file: &File) -> bool {
    file.path == "Cargo.toml"
}

fn is_ours(name: &str) -> bool {
    MAY_IMPORT.iter().any(|(module, ..)| *module == name)
}

/// Where one of our own modules is named: its path from the root of the crate.
struct Import {
    line: usize,
    path: Vec<String>,
}

/// `crate::a::b`, `super::a`, and each member of `crate::{…}` and of `crate::a::{…}`.
fn imports(file: &File) -> Vec<Import> {
    let mut found = Vec::new();
    for at in words(&file.code, "crate::") {
        collect(file, at + "crate::".len(), &[], &mut found);
    }
    for at in words(&file.code, "super::").filter(|at| !file.code[..*at].ends_with("super::")) {
        let rest = &file.code[at..];
        let climbs = rest.split("super::").take_while(|between| between.is_empty()).count();
        // an inline module of tests is one level deeper than its file
        let inline = usize::from(file.code[..at].contains("mod tests {"));
        let module = file.module();
        let Some(level) = (module.len() + inline).checked_sub(climbs) else { continue };
        collect(file, at + climbs * "super::".len(), &module[..level.min(module.len())], &mut found);
    }
    found
}

fn collect(file: &File, at: usize, base: &[String], found: &mut Vec<Import>) {
    let rest = &file.code[at..];
    if let Some(inner) = rest.strip_prefix('{') {
        for offset in members(inner) {
            collect(file, at + 1 + offset, base, found);
        }
        return;
    }
    let name = identifier(rest);
    let path = [base, &[name.to_owned()]].concat();
    let after = &rest[name.len()..];
    if path.len() < 2 && after.starts_with("::") && !name.is_empty() {
        return collect(file, at + name.len() + 2, &path, found);
    }
    found.push(Import { line: file.line(at), path });
}

struct Member<'a> {
    at: usize,
    name: &'a str,
}

/// The members of every `std::{…}`.
fn std_groups(code: &str) -> Vec<Member<'_>> {
    let groups = words(code, "std::{").map(|at| at + "std::{".len());
    let member = |start: usize| {
        members(&code[start..])
            .into_iter()
            .map(move |at| Member { at: start + at, name: identifier(&code[start + at..]) })
    };
    groups.flat_map(member).collect()
}
