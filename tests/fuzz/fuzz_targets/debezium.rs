//! Any bytes as a change of a row.
#![no_main]

use libfuzzer_sys::fuzz_target;
use missived::event::{Compression, Format, Path, SnapshotRows, Table};

#[path = "any.rs"]
mod any;

fuzz_target!(|data: &[u8]| {
    let key = [Path::parse("/id").expect("a pointer")].into();
    let table = Table { key, title: Path::parse("/name"), snapshot: SnapshotRows::Tell };
    any::decode(&Format::Debezium(Box::new(table)), Compression::None, &[], data);
});
