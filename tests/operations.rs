//! missived as an operator runs it: under a service manager, reloaded, scraped, asked how it is.
//!
//! The service manager is a notify socket that does what systemd's does: it hears datagrams and says nothing. What is scraped is
//! held against the alerts and the dashboard that are shipped.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "operations/first_day.rs"]
mod first_day;
#[path = "operations/manager.rs"]
mod manager;
#[path = "operations/reload.rs"]
mod reload;
#[path = "end_to_end/scene.rs"]
#[expect(dead_code, reason = "the scene serves several files; this one needs some of it")]
mod scene;
#[path = "operations/scrape.rs"]
mod scrape;
#[path = "operations/service.rs"]
mod service;
#[path = "operations/silence.rs"]
mod silence;
#[expect(dead_code, reason = "the helpers serve all test files; this one needs some of them")]
mod support;
#[path = "operations/waiting.rs"]
mod waiting;
#[path = "operations/watcher.rs"]
mod watcher;
