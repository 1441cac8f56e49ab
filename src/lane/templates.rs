//! Templates of routes, in the language of Jinja: pure, bounded, and judged before they are ever used.
//!
//! A [`Template`] is kept as text and compiled when it is rendered, which is once a message; nothing is loaded, and a template
//! sees only the values that it is given. Where those are markup, what strangers wrote is escaped. Fuel bounds both time and
//! memory of a rendering (`FUEL`), [`OUTPUT_BYTES_MAX`] what comes out, [`SOURCE_BYTES_MAX`] what goes in. What stands for
//! nothing is empty when it is rendered, and a fault when it is checked: [`Template::parse`] renders a sample once.

use std::collections::BTreeSet;
use std::io;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use thiserror::Error;

use crate::event::links::encoded;

/// The longest template.
pub const SOURCE_BYTES_MAX: usize = 16 * 1024;

/// What one rendering may cost, in instructions; 64 bytes of memory cost as much as one.
const FUEL: u64 = 100_000;

/// The longest text that a template may render.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Nested expressions and loops.
const NESTING_MAX: usize = 64;

/// What a template renders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// As it stands.
    Plain,
    /// Values are escaped.
    Markup,
}

/// A template that has been judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: Box<str>,
    output: Output,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    #[error("{0} bytes; at most {SOURCE_BYTES_MAX}")]
    TooLong(usize),
    #[error("line {line}: {what}")]
    Broken { line: usize, what: String },
    /// A name that stands for nothing.
    #[error("the name {name:?}")]
    Unknown { name: String },
}

/// Why nothing was rendered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct RenderError {
    pub line: usize,
    pub what: String,
}

impl Template {
    /// Judges a template: its syntax, the names that it begins with, and how it renders `sample`, in which every name that
    /// there is stands for something.
    pub fn parse(source: &str, output: Output, sample: &Value, known: &[&str]) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(TemplateError::TooLong(source.len()));
        }
        let mut environment = environment(output);
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        let template = environment.template_from_str(source).map_err(|error| broken(&error))?;
        let globals: BTreeSet<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
        let undeclared = template.undeclared_variables(false);
        let mut unknown: Vec<_> =
            undeclared.into_iter().filter(|name| !known.contains(&&**name) && !globals.contains(name)).collect();
        unknown.sort();
        if let Some(name) = unknown.into_iter().next() {
            return Err(TemplateError::Unknown { name });
        }
        match template.render_captured_to(sample, &mut Capped::default()) {
            Err(error) if is_the_templates_own(&error) => Err(broken(&error)),
            // What values may do to it shows when there are some.
            Err(_) | Ok(_) => Ok(Self { source: source.into(), output }),
        }
    }

    pub fn render(&self, facts: &Value) -> Result<String, RenderError> {
        let mut rendered = Capped::default();
        let failed = |error: &Error| RenderError { line: error.line().unwrap_or(1), what: what(error) };
        let environment = environment(self.output);
        let template = environment.template_from_str(&self.source).map_err(|error| failed(&error))?;
        template.render_captured_to(facts, &mut rendered).map_err(|error| failed(&error))?;
        String::from_utf8(rendered.0).map_err(|_| RenderError { line: 1, what: "not text".to_owned() })
    }

    /// Fields of events that it names: `fields.x`, or `fields["/a/pointer"]`.
    pub fn fields(&self) -> BTreeSet<Box<str>> {
        let source = &*self.source;
        let places = source.match_indices("fields").map(|(at, word)| &source[at + word.len()..]);
        places.filter_map(field).map(Into::into).collect()
    }
}

fn field(rest: &str) -> Option<&str> {
    let rest = rest.trim_start();
    if let Some(rest) = rest.strip_prefix('.') {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        return Some(&rest[..end]).filter(|name| !name.is_empty());
    }
    let rest = rest.strip_prefix('[')?.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(name, _)| name).filter(|name| !name.is_empty())
}

fn environment<'s>(output: Output) -> Environment<'s> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(NESTING_MAX);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(move |_| match output {
        Output::Plain => AutoEscape::None,
        Output::Markup => AutoEscape::Html,
    });
    environment.add_filter("urlencode", |text: String| encoded(&text));
    environment.add_filter("cut", |text: String, chars_max: usize| text.chars().take(chars_max).collect::<String>());
    environment
}

/// Errors that are there whatever the values are.
fn is_the_templates_own(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UndefinedError
            | ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod
            | ErrorKind::TooManyArguments
            | ErrorKind::MissingArgument
            | ErrorKind::OutOfFuel
            | ErrorKind::TemplateNotFound
            | ErrorKind::WriteFailure
    )
}

fn broken(error: &Error) -> TemplateError {
    TemplateError::Broken { line: error.line().unwrap_or(1), what: what(error) }
}

/// In one line of a bearable length, without values.
fn what(error: &Error) -> String {
    let text = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// Takes what fits and then refuses.
#[derive(Default)]
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other("too much text"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn sample() -> Value {
        context! { title => "a <b>", lines => vec![context! { title => "x", fields => context! { n => "1" } }] }
    }

    fn parse(source: &str) -> Result<Template, TemplateError> {
        Template::parse(source, Output::Plain, &sample(), &["title", "lines"])
    }

    #[test]
    fn what_is_wrong_with_a_template_is_found_before_it_is_used() {
        let rows = [
            ("{{ title", "line 1: syntax error"),
            ("{{ title }}\n{% if %}", "line 2: syntax error"),
            ("{{ titel }}", "the name \"titel\""),
            ("{{ title|uper }}", "line 1: unknown filter"),
            ("{% for line in lines %}{{ line.titel }}{% endfor %}", "line 1: undefined value"),
            ("{{ title is shiny }}", "line 1: unknown test"),
            ("{{ range(10, 20, 30, 40) }}", "line 1: too many arguments"),
            ("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}", "line 1: engine ran out"),
            ("{% include 'x' %}", "line 1: syntax error"),
        ];
        for (source, error) in rows {
            let found = parse(source).expect_err(source).to_string();
            assert!(found.starts_with(error), "{source}: {found}");
        }
        assert_eq!(parse(&"x".repeat(SOURCE_BYTES_MAX + 1)), Err(TemplateError::TooLong(SOURCE_BYTES_MAX + 1)));
    }

    #[test]
    fn markup_is_escaped_and_text_is_not() {
        for (output, rendered) in [(Output::Plain, "a <b>"), (Output::Markup, "a &lt;b&gt;")] {
            let template = Template::parse("{{ title }}", output, &sample(), &["title"]).expect("a template");
            assert_eq!(template.render(&sample()).as_deref(), Ok(rendered));
        }
    }

    #[test]
    fn what_stands_for_nothing_is_empty_and_what_fails_says_where() {
        let source = "[{{ lines[0].fields.n }}{{ lines[9].fields.n|default('-') }}]";
        let template = Template { source: source.into(), output: Output::Plain };
        assert_eq!(template.render(&sample()).as_deref(), Ok("[1-]"));
        let dividing = parse("\n{{ 1 // (title|length - 5) }}").expect("fails with some values only");
        assert_eq!(dividing.render(&sample()).map_err(|error| error.line), Err(2));
    }

    #[test]
    fn the_fields_of_a_template_are_those_that_it_names() {
        let source = "{{ fields.owner }}{{ line.fields.n }}{{ fields['/a/b'] }}{{ fields[ \"c d\" ] }}{{ fields }}";
        let template = Template { source: source.into(), output: Output::Plain };
        assert_eq!(template.fields().iter().map(|field| &**field).collect::<Vec<_>>(), ["/a/b", "c d", "n", "owner"]);
    }

    #[test]
    fn no_template_takes_more_than_its_fuel() {
        let hungry = [
            "{% for a in range(99999) %}{{ title }}{% endfor %}",
            "{{ title * 100000000 }}",
            "{% set x = title %}{% set x = x ~ x %}{% set x = x ~ x %}{% set x = x ~ x %}{% set x = x * 100000 %}{{ x }}",
        ];
        for source in hungry {
            let template = Template { source: source.into(), output: Output::Plain };
            assert!(template.render(&sample()).is_err(), "{source}");
        }
    }
}
