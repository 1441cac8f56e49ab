//! Any bytes as an Alertmanager body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use missived::event::{Compression, Format};

#[path = "any.rs"]
mod any;

fuzz_target!(|data: &[u8]| {
    any::decode(&Format::Alertmanager, Compression::None, &[], data);
});
