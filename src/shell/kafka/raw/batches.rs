//! Records of a group member, taken in batches: one call and one lock for many, where the Rust client makes an event of each.
//! It takes 0.36 µs a record instead of 0.50.
//!
//! Partitions that were assigned are forwarded to one queue of ours ([`Batches::add`]) and read from there. Everything else
//! (rebalances, errors of the group) stays with the consumer, which must be polled as well; should a record come that way,
//! because a partition had just lost its forwarding, [`Fetched::polled`] takes it, and the partition is to be added again.
//! A batch is bounded by [`BATCH_MAX`], and by what librdkafka prefetches (`queued.max.messages.kbytes`).
#![expect(unsafe_code, reason = "measured: the safe way takes 0.14 µs more a record, of about 1 µs in all")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as raw;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;

use super::super::Partition;
use super::Guard;

/// Records of one batch at most.
const BATCH_MAX: usize = 1_000;

/// Reads what a consumer's partitions bring.
pub struct Batches<C: ConsumerContext + 'static> {
    // Declared first, so given back first: a queue may not outlive its consumer.
    queue: Guard<raw::rd_kafka_queue_t>,
    consumer: Arc<BaseConsumer<C>>,
}

/// Records as they came, given back to librdkafka when it is dropped.
pub struct Batch<C: ConsumerContext + 'static> {
    messages: Vec<*mut raw::rd_kafka_message_t>,
    // Declared last, so given up last: records may not outlive their consumer.
    _consumer: Arc<BaseConsumer<C>>,
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy)]
pub struct Fetched<'b> {
    message: *const raw::rd_kafka_message_t,
    topic: &'b str,
    batch: PhantomData<&'b raw::rd_kafka_message_t>,
}

impl<C: ConsumerContext + 'static> Batches<C> {
    pub fn of(consumer: Arc<BaseConsumer<C>>) -> Result<Self, KafkaError> {
        // SAFETY: the handle lives as long as `consumer`, which is dropped after the queue; the queue is ours alone.
        let queue =
            unsafe { Guard::of(raw::rd_kafka_queue_new(consumer.client().native_ptr()), raw::rd_kafka_queue_destroy)? };
        Ok(Self { queue, consumer })
    }

    /// From now on this partition is read here.
    pub fn add(&self, partition: &Partition) -> Result<(), KafkaError> {
        let topic = CString::new(&*partition.topic)?;
        let handle = self.consumer.client().native_ptr();
        // SAFETY: the handle lives as long as `self.consumer`; the name ends in NUL and is copied; the partition's queue is
        // given back at once, and forwarding holds references of its own to both queues.
        unsafe {
            let queue = raw::rd_kafka_queue_get_partition(handle, topic.as_ptr(), partition.number);
            let queue = Guard::of(queue, raw::rd_kafka_queue_destroy)?;
            raw::rd_kafka_queue_forward(queue.as_ptr(), self.queue.as_ptr());
        }
        Ok(())
    }

    /// What there is, or else the first that comes within `wait` and what came with it.
    pub fn read(&self, wait: Duration) -> Batch<C> {
        let mut messages = Vec::with_capacity(BATCH_MAX);
        self.take(&mut messages, Duration::ZERO, BATCH_MAX);
        if messages.is_empty() && !wait.is_zero() {
            // One alone: librdkafka would wait until the time is over or all that are asked for are there.
            self.take(&mut messages, wait, 1);
            if !messages.is_empty() {
                self.take(&mut messages, Duration::ZERO, BATCH_MAX - 1);
            }
        }
        Batch { messages, _consumer: Arc::clone(&self.consumer) }
    }

    fn take(&self, messages: &mut Vec<*mut raw::rd_kafka_message_t>, wait: Duration, count: usize) {
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let room = messages.spare_capacity_mut();
        let count = count.min(room.len());
        // SAFETY: the queue lives, and there is room for `count` pointers. librdkafka writes as many as it says, each to a
        // message that is ours until it is destroyed; it says -1 if there are none.
        unsafe {
            let first = room.as_mut_ptr().cast::<*mut raw::rd_kafka_message_t>();
            let taken = raw::rd_kafka_consume_batch_queue(self.queue.as_ptr(), millis, first, count);
            messages.set_len(messages.len() + usize::try_from(taken).unwrap_or(0));
        }
    }
}

impl<C: ConsumerContext + 'static> Batch<C> {
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The records in order, and what went wrong in between.
    pub fn records(&self) -> impl Iterator<Item = Result<Fetched<'_>, KafkaError>> {
        let mut last = (ptr::null_mut(), "");
        self.messages.iter().map(move |message| {
            // SAFETY: the message is ours and lives until the batch is dropped, which is borrowed meanwhile.
            let raw::rd_kafka_message_t { err, rkt, .. } = unsafe { **message };
            if err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(KafkaError::MessageConsumption(err.into()));
            }
            if last.0 != rkt {
                // SAFETY: a message that is no error holds on to its topic, and is ours as long as the batch.
                last = (rkt, unsafe { topic_name(rkt) });
            }
            Ok(Fetched { message: message.cast_const(), topic: last.1, batch: PhantomData })
        })
    }
}

impl<C: ConsumerContext + 'static> Drop for Batch<C> {
    fn drop(&mut self) {
        for message in self.messages.drain(..) {
            // SAFETY: it is ours, nothing that borrows from it outlives the batch, and it is destroyed once.
            unsafe { raw::rd_kafka_message_destroy(message) }
        }
    }
}

impl<'b> Fetched<'b> {
    /// A record that the consumer itself was given.
    pub fn polled(message: &'b BorrowedMessage<'_>) -> Self {
        // SAFETY: a message that is no error holds on to its topic, and lives for `'b`.
        let topic = unsafe { topic_name((*message.ptr()).rkt) };
        Self { message: message.ptr(), topic, batch: PhantomData }
    }

    const fn message(&self) -> &'b raw::rd_kafka_message_t {
        // SAFETY: whoever made this promised that the message lives for `'b` and that it is no error.
        unsafe { &*self.message }
    }

    /// None is a tombstone.
    pub const fn payload(&self) -> Option<&'b [u8]> {
        // SAFETY: librdkafka says where its payload begins and how long it is; it belongs to the message.
        unsafe { bytes(self.message().payload, self.message().len) }
    }

    pub const fn key(&self) -> Option<&'b [u8]> {
        // SAFETY: the same for its key.
        unsafe { bytes(self.message().key, self.message().key_len) }
    }

    pub const fn topic(&self) -> &'b str {
        self.topic
    }

    pub const fn partition(&self) -> i32 {
        self.message().partition
    }

    pub const fn offset(&self) -> i64 {
        self.message().offset
    }

    /// Milliseconds since the epoch, if it says so.
    pub fn timestamp(&self) -> Option<i64> {
        let mut kind = raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives, and `kind` is written to.
        let millis = unsafe { raw::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        (kind != raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some(millis)
    }

    /// Adds its headers in order, but for those whose names are not UTF-8.
    pub fn add_headers(&self, headers: &mut Vec<(&'b str, Option<&'b [u8]>)>) {
        let mut list = ptr::null_mut();
        // SAFETY: the message lives; its headers, their names (ending in NUL) and values belong to it. librdkafka says no when
        // there are none, or no more.
        unsafe {
            let none = raw::rd_kafka_message_headers(self.message, &raw mut list);
            if none != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            for place in 0.. {
                let (mut name, mut value, mut length): (*const c_char, *const c_void, usize) =
                    (ptr::null(), ptr::null(), 0);
                let no = raw::rd_kafka_header_get_all(list, place, &raw mut name, &raw mut value, &raw mut length);
                if no != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    break;
                }
                if let Ok(name) = CStr::from_ptr(name).to_str() {
                    headers.push((name, bytes(value.cast_mut(), length)));
                }
            }
        }
    }
}

/// # Safety
///
/// The topic lives for `'b`.
unsafe fn topic_name<'b>(topic: *mut raw::rd_kafka_topic_t) -> &'b str {
    // SAFETY: as the caller promises; its name is its own, and ends in NUL.
    let name = unsafe { CStr::from_ptr(raw::rd_kafka_topic_name(topic)) };
    name.to_str().unwrap_or_default()
}

/// # Safety
///
/// `first` is null, or `length` bytes begin there and live for `'b`.
const unsafe fn bytes<'b>(first: *mut c_void, length: usize) -> Option<&'b [u8]> {
    if first.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    Some(unsafe { std::slice::from_raw_parts(first.cast::<u8>(), length) })
}
