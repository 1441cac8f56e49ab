//! A preview for people: a table of the events, then each message as it would be posted.
//!
//! What strangers wrote is shown with its control characters escaped, and cut where a column would grow too wide.

use super::play::{Preview, Routed, Sent, Shown};

const HEAD: [&str; 9] = ["EVENT", "STATE", "CLASS", "TITLE", "ROUTE", "WHY", "CHANNEL", "CONVERSATION", "IDENTITY"];

/// The widest column, in characters.
const WIDTH_MAX: usize = 48;

pub(super) fn of(preview: &Preview) -> String {
    let mut text = format!("topic {} → source {} → {}\n\n", preview.topic, preview.source, preview.format);
    let rows: Vec<[String; 9]> = preview.events.iter().flat_map(rows).collect();
    if !rows.is_empty() {
        text += &columns(&rows);
        text.push('\n');
    }
    for refused in &preview.refused {
        let (record, reason) = (refused.record, refused.reason);
        text += &format!("record {record} would be a dead letter: {reason}: {}\n", plain(&refused.error));
    }
    if rows.is_empty() && preview.refused.is_empty() {
        text += "no events\n";
    }
    for (place, sent) in preview.messages.iter().enumerate() {
        text += &message(place, sent);
    }
    if preview.messages.is_empty() && !rows.is_empty() {
        text += "no message: nothing of it opens a conversation\n";
    }
    text
}

fn rows(event: &Shown) -> Vec<[String; 9]> {
    let place = format!("{}.{}", event.record, event.index);
    let row = |routed: Option<&Routed>| {
        let why = routed.map_or("no route takes it: a dead letter".to_owned(), |routed| match &routed.why[..] {
            [] => "takes what is left".to_owned(),
            why => why.join(", "),
        });
        let of = |text: fn(&Routed) -> &str| routed.map_or("-", text).to_owned();
        [
            place.clone(),
            event.state.to_owned(),
            of(|routed| routed.class.as_str()),
            event.title.clone(),
            of(|routed| &routed.route),
            why,
            of(|routed| &routed.channel),
            of(|routed| &routed.conversation),
            event.identity[..12].to_owned(),
        ]
        .map(|cell| cut(&plain(&cell)))
    };
    if event.routes.is_empty() {
        vec![row(None)]
    } else {
        event.routes.iter().map(|routed| row(Some(routed))).collect()
    }
}

fn columns(rows: &[[String; 9]]) -> String {
    let head = HEAD.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    [&head].into_iter().chain(rows).map(line).collect()
}

fn message(place: usize, sent: &Sent) -> String {
    let body = serde_json::to_string_pretty(&sent.request).expect("JSON that was read");
    let after = match sent.after_seconds {
        0 => "at once".to_owned(),
        seconds => format!("after {seconds} s"),
    };
    format!("\nmessage {place}, lane {}, {after}:\n{body}\n", sent.lane)
}

/// Nothing that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().flat_map(|char| if char.is_control() { char.escape_default().collect() } else { vec![char] }).collect()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDTH_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
