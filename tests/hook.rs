//! The hook endpoint over real sockets, with librdkafka's in-process cluster as Kafka.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "hook/scene.rs"]
mod scene;

#[path = "hook/metrics.rs"]
mod counted;
#[path = "hook/crowds.rs"]
mod crowds;
#[path = "hook/hostile.rs"]
mod hostile;
#[path = "hook/quotas.rs"]
mod quotas;
#[path = "hook/refusals.rs"]
mod refusals;
#[path = "hook/secrets.rs"]
mod secrets;
#[path = "hook/tls.rs"]
mod tls;
#[path = "hook/webhooks.rs"]
mod webhooks;
