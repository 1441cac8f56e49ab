//! Arguments to command; everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use missived::cli::{self, Arguments};

fn main() -> ExitCode {
    cli::run(Arguments::parse())
}
