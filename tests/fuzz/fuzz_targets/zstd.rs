//! Any bytes as a zstd body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use missived::event::{Compression, Format, Kind, Path, Place, Pointers, Typed};

#[path = "any.rs"]
mod any;

fuzz_target!(|data: &[u8]| {
    let at = |pointer: &str| Some(Place::at(Path::parse(pointer).expect("a pointer")));
    let pointers = Pointers {
        each: Path::parse("/items"),
        title: at("/title"),
        text: at("/text").map(|place| Place { typed: Typed::Html, ..place }),
        time: at("/at"),
        author: at("/by/name"),
        ..Pointers::new(Kind::Thread, Place::at(Path::parse("/id").expect("a pointer")))
    };
    let format = Format::Json(Box::new(pointers));
    any::decode(&format, Compression::Zstd, &[], data);
});
