//! Which letters are meant: all conditions must hold; of one that is given several times, any.

use clap::{Args, ValueEnum};

use crate::cli::moment::Moment;
use crate::event::Timestamp;
use crate::shell::letters::{About, Letter};

/// Conditions on letters.
#[derive(Clone, Debug, Default, Args)]
pub struct Filter {
    /// Only with this reason (several: any of them).
    #[arg(long, value_name = "REASON")]
    reason: Vec<String>,
    /// Only from this source topic (several: any of them).
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Only records that could not be handled, or only deliveries that Missive refused.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only what failed at or after this time: RFC 3339, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    since: Option<Moment>,
    /// Only what failed before this time.
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    until: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Record,
    Delivery,
}

impl Filter {
    pub fn takes(&self, now: Timestamp, letter: &Letter) -> bool {
        let among = |wanted: &[String], found: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == found);
        let at = letter.at.unwrap_or(Timestamp::EPOCH);
        among(&self.reason, &letter.reason)
            && among(&self.topic, letter.source().map_or("", |source| &source.topic))
            && self.kind.is_none_or(|kind| kind.is_of(letter))
            && self.since.is_none_or(|since| at >= since.before(now))
            && self.until.is_none_or(|until| at < until.before(now))
    }
}

impl Kind {
    const fn is_of(self, letter: &Letter) -> bool {
        match (self, &letter.about) {
            (Self::Record, About::Record { .. }) | (Self::Delivery, About::Delivery { .. }) => true,
            (Self::Record, About::Delivery { .. }) | (Self::Delivery, About::Record { .. }) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rdkafka::message::{OwnedMessage, Timestamp as KafkaTime};

    use super::*;
    use crate::shell::letters::Entry;
    use crate::shell::letters::headers::written;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        filter: Filter,
    }

    fn letter(headers: &[(&str, &str)]) -> Letter {
        let headers = written(headers.iter().copied());
        let record = OwnedMessage::new(None, None, "d".to_owned(), KafkaTime::NotAvailable, 0, 1, Some(headers));
        let Entry::Letter(letter) = Entry::read(&record) else { panic!("a letter") };
        *letter
    }

    fn takes(arguments: &[&str], letter: &Letter) -> bool {
        let parsed = Command::try_parse_from([&["list"], arguments].concat()).expect("arguments");
        parsed.filter.takes(Timestamp::from_millis(1_795_320_720_000), letter)
    }

    #[test]
    fn all_conditions_must_hold_and_of_several_alike_any() {
        let place = [
            ("missived-source-topic", "alerts"),
            ("missived-source-partition", "0"),
            ("missived-source-offset", "1"),
            ("missived-reason", "no_route"),
            ("missived-at", "1795317120000"),
        ];
        let record = letter(&place);
        let delivery =
            letter(&[("missived-kind", "delivery"), ("missived-lane", "default"), ("missived-reason", "refused")]);
        let rows: [(&str, &[&str], bool, bool); 9] = [
            ("no condition", &[], true, true),
            ("one of two reasons", &["--reason", "not_json", "--reason", "no_route"], true, false),
            ("another topic", &["--topic", "deals"], false, false),
            ("its topic and another reason", &["--topic", "alerts", "--reason", "refused"], false, false),
            ("its kind", &["--kind", "delivery"], false, true),
            ("an hour ago is since an hour ago", &["--since", "1h"], true, false),
            ("and not before it", &["--until", "1h"], false, true),
            ("since a moment after it", &["--since", "2026-11-22T03:12:01Z"], false, false),
            ("between", &["--since", "2026-11-22T03:12:00Z", "--until", "2026-11-22T03:12:01Z"], true, false),
        ];
        for (sentence, arguments, of_record, of_delivery) in rows {
            assert_eq!(
                (takes(arguments, &record), takes(arguments, &delivery)),
                (of_record, of_delivery),
                "{sentence}"
            );
        }
    }
}
