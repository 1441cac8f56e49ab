//! Any text as a template: judged, and rendered with a sample, as text and as markup.
//!
//! A panic is a finding, and so is a template that takes more time or memory than its fuel, which the fuzzer's own limits see.
#![no_main]

use libfuzzer_sys::fuzz_target;
use missived::lane::telling::Telling;
use missived::lane::templates::{Output, SOURCE_BYTES_MAX};

fuzz_target!(|source: &str| {
    for output in [Output::Plain, Output::Markup] {
        if let Ok(template) = Telling::template(source, output) {
            assert!(source.len() <= SOURCE_BYTES_MAX);
            assert!(template.fields().iter().all(|field| source.contains(&**field)));
        }
    }
});
