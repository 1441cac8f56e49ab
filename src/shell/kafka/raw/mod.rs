//! librdkafka itself, where the Rust client has no way to ask it: ids of topics, and records in batches.
//!
//! All unsafe code of the program is in this folder. Nothing that leaves it points into librdkafka for longer than what it
//! borrows from.

mod batches;
mod topic_ids;

use std::ptr::NonNull;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use batches::{Batches, Fetched};
pub use topic_ids::topic_ids;

/// Something that librdkafka made for us and wants back.
struct Guard<T> {
    pointer: NonNull<T>,
    give_back: unsafe extern "C" fn(*mut T),
}

#[expect(unsafe_code, reason = "what librdkafka made goes back to librdkafka")]
impl<T> Guard<T> {
    /// Takes over what librdkafka made; null is a request that was not answered in time.
    ///
    /// # Safety
    ///
    /// Nobody else gives `pointer` back, and `give_back` is the function for it.
    unsafe fn of(pointer: *mut T, give_back: unsafe extern "C" fn(*mut T)) -> Result<Self, KafkaError> {
        let pointer = NonNull::new(pointer).ok_or(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))?;
        Ok(Self { pointer, give_back })
    }

    const fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

#[expect(unsafe_code, reason = "what librdkafka made goes back to librdkafka")]
impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        // SAFETY: `of` was promised that this is the function for it and that nobody else calls it; drop runs once.
        unsafe { (self.give_back)(self.pointer.as_ptr()) }
    }
}
