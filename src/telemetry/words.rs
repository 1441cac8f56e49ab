//! What an operator should hear of messages that are worded otherwise than the config says.

use crate::lane::templates::RenderError;

/// A template failed: people read the default words. `missived_template_faults_total` counts it.
pub fn template_failed(lane: &str, route: &str, key: &str, error: &RenderError, count: u64) {
    tracing::warn!(lane, route, key, %error, count, "a template failed: the default words were sent");
}
