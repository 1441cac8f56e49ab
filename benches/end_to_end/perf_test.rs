//! `kafka-consumer-perf-test`, Kafka's own word on what the broker can give.
//!
//! The class comes from the artefact `kafka-tools`, fetched once with Maven into the cache beside the broker; where that fails
//! the figure is missing, and it is said.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::load::say;

/// The newest one that is published; it works with the clients of the broker's version.
const TOOLS: &str = "4.0.0";
const BROKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker");

/// Events a second while it fetched.
pub fn measure(bootstrap: &str, topic: &str, events: u64) -> Option<f64> {
    let rate = class_path().and_then(|path| read(&path, bootstrap, topic, events));
    rate.inspect_err(|why| say(&format!("no kafka-consumer-perf-test: {why}"))).ok()
}

fn class_path() -> Result<String, String> {
    let jars = PathBuf::from(output(Command::new(BROKER).arg("fetch"))?.trim());
    let tools = jars.with_file_name(format!("kafka-tools-{TOOLS}"));
    if !tools.is_dir() {
        let artifact = format!("-Dartifact=org.apache.kafka:kafka-tools:{TOOLS}");
        let into = format!("-DoutputDirectory={}", tools.display());
        output(Command::new("mvn").args(["-B", "-q", "dependency:copy", &artifact, &into]))?;
    }
    Ok(format!("{}/*:{}/*", jars.display(), tools.display()))
}

fn read(class_path: &str, bootstrap: &str, topic: &str, events: u64) -> Result<f64, String> {
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-cp", class_path, "org.apache.kafka.tools.ConsumerPerformance"]);
    java.args(["--bootstrap-server", bootstrap, "--topic", topic, "--timeout", "30000", "--hide-header"]);
    let said = output(java.args(["--messages", &events.to_string()]))?;
    // … and its last field is messages a second, without the time that joining took
    let line = said.lines().rev().find(|line| line.split(", ").count() == 10);
    line.and_then(|line| line.rsplit(", ").next()?.trim().parse().ok()).ok_or(said)
}

fn output(command: &mut Command) -> Result<String, String> {
    let ended = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    let Output { status, stdout, stderr } = ended;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if status.success() { Ok(text(stdout)) } else { Err(format!("{status}: {}{}", text(stderr), text(stdout))) }
}
