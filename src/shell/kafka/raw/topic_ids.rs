//! Kafka's ids of topics: what tells a topic from one of the same name that was deleted before it.
//!
//! librdkafka knows them (`DescribeTopics`), the Rust client doesn't ask for them. It blocks for at most twice its timeout, and
//! returns nothing that points into librdkafka. A topic that doesn't exist, or that we may not describe, is left out; a broker without ids gives
//! [`TopicId::UNKNOWN`]. Left to itself librdkafka would ask the controller, which a mock cluster doesn't have and a cluster may
//! be without for a while; any broker knows.
#![expect(unsafe_code, reason = "the Rust client has no safe way to ask for topic ids")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::bindings as raw;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use super::Guard;
use crate::event::TopicId;

/// The ids of those of `topics` that exist; `topics` holds no name twice.
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<BTreeMap<Box<str>, TopicId>, KafkaError> {
    let Some(broker) = some_broker(client, topics, timeout)? else { return Ok(BTreeMap::new()) };
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: `client` is borrowed, so its handle lives until the end; `pointers` holds as many pointers as is said, each to a
    // string that ends in NUL and lives in `names`; librdkafka copies them, and the options. An error text is written only to
    // `text`, with its NUL within the size that is said. What is created is owned by guards that give it back exactly once, in
    // an order that librdkafka allows: events before their queue.
    unsafe {
        let mut text: [c_char; 256] = [0; 256];
        let api = raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = raw::rd_kafka_AdminOptions_new(client.native_ptr(), api);
        let options = Guard::of(options, raw::rd_kafka_AdminOptions_destroy)?;
        let set = raw::rd_kafka_AdminOptions_set_broker(options.as_ptr(), broker, text.as_mut_ptr(), text.len());
        if set != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::AdminOp(set.into()));
        }
        let queue = Guard::of(raw::rd_kafka_queue_new(client.native_ptr()), raw::rd_kafka_queue_destroy)?;
        let asked = raw::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let asked = Guard::of(asked, raw::rd_kafka_TopicCollection_destroy)?;
        raw::rd_kafka_DescribeTopics(client.native_ptr(), asked.as_ptr(), options.as_ptr(), queue.as_ptr());
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let event = Guard::of(raw::rd_kafka_queue_poll(queue.as_ptr(), millis), raw::rd_kafka_event_destroy)?;
        let error = raw::rd_kafka_event_error(event.as_ptr());
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::AdminOp(error.into()));
        }
        Ok(described(&event))
    }
}

/// A broker that answers; none if nothing is asked.
fn some_broker<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Option<i32>, KafkaError> {
    let Some(topic) = topics.first() else { return Ok(None) };
    let metadata = client.fetch_metadata(Some(topic), timeout)?;
    Ok(metadata.brokers().first().map(|broker| broker.id()))
}

/// # Safety
///
/// `event` owns an event of librdkafka.
unsafe fn described(event: &Guard<raw::rd_kafka_event_t>) -> BTreeMap<Box<str>, TopicId> {
    let mut count = 0;
    // SAFETY: the event lives as long as `event` is borrowed, and all that is read here belongs to it. Of any other kind of
    // event, librdkafka gives no result; of a result, an array of as many descriptions as it says, none of them null; of a
    // description, a name that ends in NUL, an error or null, and an id.
    unsafe {
        let result = raw::rd_kafka_event_DescribeTopics_result(event.as_ptr());
        if result.is_null() {
            return BTreeMap::new();
        }
        let topics = raw::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() {
            return BTreeMap::new();
        }
        let topics = std::slice::from_raw_parts(topics, count);
        topics.iter().filter_map(|topic| id_of(*topic)).collect()
    }
}

/// # Safety
///
/// `topic` is a topic description that lives until this returns.
unsafe fn id_of(topic: *const raw::rd_kafka_TopicDescription_t) -> Option<(Box<str>, TopicId)> {
    // SAFETY: as the caller promises; name, error and id belong to the description.
    unsafe {
        let error = raw::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() && raw::rd_kafka_error_code(error) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let name = CStr::from_ptr(raw::rd_kafka_TopicDescription_name(topic)).to_str().ok()?;
        let id = raw::rd_kafka_TopicDescription_topic_id(topic);
        let most = raw::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
        let least = raw::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
        Some((name.into(), TopicId::from_u128(u128::from(most) << 64 | u128::from(least))))
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn topics_that_exist_have_an_id_each_and_others_are_left_out() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        for topic in ["a", "b"] {
            cluster.create_topic(topic, 2, 1).expect("a topic");
        }
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().expect("a client");
        let ask = |topics: &[&str]| topic_ids(client.client(), topics, Duration::from_secs(10)).expect("an answer");
        let ids = ask(&["a", "gone", "b"]);
        assert_eq!(ids.keys().map(|topic| &**topic).collect::<Vec<_>>(), ["a", "b"]);
        assert!(ids.values().all(|id| id.is_known()) && ids["a"] != ids["b"], "{ids:?}");
        assert_eq!(ask(&["a"])["a"], ids["a"], "it stays the same");
        assert_eq!(ask(&[]).len(), 0);
    }
}
