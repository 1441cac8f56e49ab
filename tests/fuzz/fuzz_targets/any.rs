//! What every target does with its bytes: decode them as one format, and hold what comes out against its bounds.
//!
//! A panic is a finding, and so is an event that is larger than it may be or stands out of order.

use missived::event::{
    Compression, Decoder, EVENTS_PER_RECORD_MAX, Event, Format, Handling, HashKey, KEY_BYTES_MAX, Record, TEXT_BYTES_MAX,
};

/// Decodes `data` as `format`, wrapped as `compression` says.
pub fn decode(format: &Format, compression: Compression, headers: &[(&str, &[u8])], data: &[u8]) {
    let record = Record { payload: Some(data), headers };
    let handling = Handling { compression, opened_bytes_max: 1 << 20, ..Handling::plain() };
    let mut next = 0;
    let check = &mut |event: &Event<'_>| {
        assert!(event.index >= next, "out of order");
        next = event.index + 1;
        assert!(event.conversation.len() <= KEY_BYTES_MAX);
        let mut names = String::new();
        let facts = &event.facts(&mut names);
        assert!(facts.text.len() <= TEXT_BYTES_MAX && facts.link.len() <= 1024);
        let short = [&facts.subject, &facts.title, &facts.severity, &facts.author];
        assert!(short.iter().all(|fact| fact.len() <= 1024));
    };
    let outcome = Decoder::new(HashKey::new([7; 16])).decode_handled(format, &handling, record, check);
    assert!(outcome.unwrap_or(0) <= EVENTS_PER_RECORD_MAX);
}
