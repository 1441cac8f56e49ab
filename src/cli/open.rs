//! Opens the inbox page in the browser of whoever asked for it. What doesn't work is said; the address stands above it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Opens the page at this address. Doesn't wait for the browser.
pub fn page(address: SocketAddr) {
    let mut opener = Command::new(OPENER);
    opener.arg(format!("http://{address}/"));
    let started = opener.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = started {
        eprintln!("{OPENER}: {error}: open the address by hand");
    }
}
