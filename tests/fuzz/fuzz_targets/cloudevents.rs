//! Any bytes as a CloudEvent: structured, and as the data of a binary one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use missived::event::{Compression, Format, Kind};

#[path = "any.rs"]
mod any;

fuzz_target!(|data: &[u8]| {
    let format = Format::CloudEvents { kind: Kind::Thread };
    any::decode(&format, Compression::None, &[], data);
    let (id, content) = data.split_at(data.len().min(16));
    let headers: [(&str, &[u8]); 5] =
        [("ce_specversion", b"1.0"), ("ce_id", id), ("ce_source", b"/fuzz"), ("ce_type", b"t"), ("ce_subject", id)];
    any::decode(&format, Compression::None, &headers, content);
});
