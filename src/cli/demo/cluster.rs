//! Kafka without Kafka: librdkafka's in-process mock cluster, on a thread of its own.
//!
//! The mock can't be sent between threads, so one thread makes it, keeps it and ends it. Its limits are the demo's: it keeps 5 MB
//! a partition and drops the oldest without a word, forgets nothing by compaction, and fences nobody.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use thiserror::Error;

/// A running mock; it ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    bootstrap: String,
    /// Taken to end the thread, which waits for its other side.
    alive: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why there is no mock.
#[derive(Debug, Error)]
pub enum ClusterError {
    #[error("the mock cluster: {0}")]
    Kafka(#[from] KafkaError),
    #[error("no thread for the mock cluster: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the mock cluster's thread ended")]
    Ended,
}

impl Cluster {
    /// Starts it with these topics and their partitions.
    pub fn start(topics: Vec<(String, i32)>) -> Result<Self, ClusterError> {
        let (alive, until) = sync_channel(0);
        let (started, answer) = sync_channel(1);
        let thread = thread::Builder::new().name("mock-kafka".into()).spawn(move || keep(&topics, &started, &until))?;
        let bootstrap = answer.recv().map_err(|_| ClusterError::Ended)??;
        Ok(Self { bootstrap, alive: Some(alive), thread: Some(thread) })
    }

    /// Where clients find it.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.alive.take();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the mock cluster's thread panicked");
        }
    }
}

fn keep(topics: &[(String, i32)], started: &SyncSender<Result<String, KafkaError>>, until: &Receiver<()>) {
    let cluster = match make(topics) {
        Ok(cluster) => cluster,
        Err(error) => return drop(started.send(Err(error))),
    };
    if started.send(Ok(cluster.bootstrap_servers())).is_ok() {
        // Nothing is ever sent: this returns when the other side is dropped.
        let _ = until.recv();
    }
}

fn make(
    topics: &[(String, i32)],
) -> Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>, KafkaError> {
    let cluster = MockCluster::new(1)?;
    for (name, partitions) in topics {
        cluster.create_topic(name, *partitions, 1)?;
    }
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};

    use super::*;

    #[test]
    fn it_has_the_topics_that_it_was_told() {
        let cluster = Cluster::start(vec![("a".into(), 3)]).expect("a mock cluster");
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().expect("a client");
        let metadata = client.fetch_metadata(Some("a"), Duration::from_secs(10)).expect("metadata");
        assert_eq!(metadata.topics()[0].partitions().len(), 3);
    }
}
