//! What a message says, before it is text or markup: lines, a table, addresses, people's words.
//!
//! Everything that comes in is plain text and is escaped when it becomes markup; addresses that aren't `https` are left out.
//! Markup sets no colours, so that it reads in the dark as well.

use crate::missive::markup::escaped;

/// What a message says, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Line(String),
    Rows(Vec<Row>),
    Links(Vec<Link>),
    Said { author: Option<String>, text: String },
}

/// One of several things that are told together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What has become of it; ends in a colon where text goes on behind it.
    pub state: String,
    pub title: String,
    pub text: String,
    pub link: String,
}

/// An address, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Empty: it speaks for itself.
    pub name: &'static str,
    pub to: String,
}

impl Page {
    /// One that begins with this line.
    pub fn of(first: impl Into<String>) -> Self {
        Self(vec![Part::Line(first.into())])
    }

    pub fn line(&mut self, line: impl Into<String>) {
        self.0.push(Part::Line(line.into()));
    }

    /// Remarks, in one line; none without any.
    pub fn notes(&mut self, notes: impl IntoIterator<Item = String>) {
        let notes: Vec<_> = notes.into_iter().collect();
        if !notes.is_empty() {
            self.line(notes.join(" · "));
        }
    }

    pub fn rows(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.0.push(Part::Rows(rows.into_iter().collect()));
    }

    /// Those that people may open.
    pub fn links(&mut self, links: impl IntoIterator<Item = Link>) {
        let links: Vec<_> = links.into_iter().filter(|link| is_https(&link.to)).collect();
        if !links.is_empty() {
            self.0.push(Part::Links(links));
        }
    }

    /// A person's words, verbatim; whose, where that isn't clear.
    pub fn said(&mut self, author: Option<String>, text: String) {
        self.0.push(Part::Said { author, text });
    }

    /// For a text channel.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for part in &self.0 {
            let gap = match part {
                _ if text.is_empty() => "",
                Part::Said { .. } => "\n\n",
                Part::Line(_) | Part::Rows(_) | Part::Links(_) => "\n",
            };
            let said = match part {
                Part::Line(line) => line.clone(),
                Part::Rows(rows) => lines(rows.iter().map(Row::text)),
                Part::Links(links) => lines(links.iter().map(Link::text)),
                Part::Said { author: Some(author), text } => format!("{author}: {text}"),
                Part::Said { author: None, text } => text.clone(),
            };
            if !said.is_empty() {
                text.push_str(gap);
                text.push_str(&said);
            }
        }
        text
    }

    /// For html and email channels.
    pub fn html(&self) -> String {
        let mut html = String::new();
        let mut paragraph: Vec<String> = Vec::new();
        for (place, part) in self.0.iter().enumerate() {
            match part {
                Part::Line(line) if place == 0 => paragraph.push(format!("<strong>{}</strong>", escaped(line))),
                Part::Line(line) => paragraph.push(escaped(line)),
                Part::Links(links) => {
                    paragraph.push(links.iter().map(Link::html).collect::<Vec<_>>().join(" · "));
                }
                Part::Rows(rows) => {
                    end(&mut html, &mut paragraph);
                    html += &table(rows);
                }
                Part::Said { author, text } => {
                    end(&mut html, &mut paragraph);
                    let author = author.as_ref().map(|author| format!("<strong>{}:</strong> ", escaped(author)));
                    paragraph.push(author.unwrap_or_default() + &escaped(text).replace('\n', "<br>"));
                }
            }
        }
        end(&mut html, &mut paragraph);
        html
    }
}

impl Row {
    fn text(&self) -> String {
        let said = match (self.title.is_empty(), self.text.is_empty()) {
            (_, true) => self.title.clone(),
            (true, false) => self.text.clone(),
            (false, false) => format!("{}: {}", self.title, self.text),
        };
        if self.state.is_empty() { said } else { format!("{} {said}", self.state) }
    }

    /// Without its address, for where it is all that is told.
    pub fn alone(&self) -> String {
        self.text()
    }

    fn html(&self) -> String {
        let title = escaped(&self.title);
        let title =
            if is_https(&self.link) { format!("<a href=\"{}\">{title}</a>", escaped(&self.link)) } else { title };
        let state = escaped(self.state.trim_end_matches(':').trim_end_matches('•'));
        format!("<tr><td>{state}</td><td>{title}</td><td>{}</td></tr>", escaped(&self.text))
    }
}

impl Link {
    fn text(&self) -> String {
        if self.name.is_empty() { self.to.clone() } else { format!("{} {}", self.name, self.to) }
    }

    fn html(&self) -> String {
        let to = escaped(&self.to);
        let name = if self.name.is_empty() { &to } else { self.name };
        format!("<a href=\"{to}\">{name}</a>")
    }
}

fn is_https(link: &str) -> bool {
    link.starts_with("https://")
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn table(rows: &[Row]) -> String {
    let rows: String = rows.iter().map(Row::html).collect();
    if rows.is_empty() { rows } else { format!("<table>{rows}</table>") }
}

fn end(html: &mut String, paragraph: &mut Vec<String>) {
    if !paragraph.is_empty() {
        *html += &format!("<p>{}</p>", paragraph.join("<br>"));
        paragraph.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::of("2 firing: <pay> & co");
        page.line("since noon");
        let row = |title: &str, link: &str| Row {
            state: "🟢 resolved:".to_owned(),
            title: title.to_owned(),
            text: "\"x\" < 1".to_owned(),
            link: link.to_owned(),
        };
        page.rows([row("a", "https://a/?b=1&c=2"), row("b", "javascript:alert(1)")]);
        page.line("and 3 more");
        page.links([
            Link { name: "Graph", to: "https://g".to_owned() },
            Link { name: "Silence", to: "http://internal".to_owned() },
        ]);
        page
    }

    #[test]
    fn text_is_plain_and_line_by_line() {
        let wanted = "2 firing: <pay> & co\nsince noon\n🟢 resolved: a: \"x\" < 1\n🟢 resolved: b: \"x\" < 1\n\
            and 3 more\nGraph https://g";
        assert_eq!(page().text(), wanted);
    }

    #[test]
    fn markup_says_the_same_escaped_with_a_table_and_https_addresses_alone() {
        let wanted = "<p><strong>2 firing: &lt;pay&gt; &amp; co</strong><br>since noon</p><table>\
            <tr><td>🟢 resolved</td><td><a href=\"https://a/?b=1&amp;c=2\">a</a></td><td>&quot;x&quot; &lt; 1</td></tr>\
            <tr><td>🟢 resolved</td><td>b</td><td>&quot;x&quot; &lt; 1</td></tr></table>\
            <p>and 3 more<br><a href=\"https://g\">Graph</a></p>";
        assert_eq!(page().html(), wanted);
    }

    #[test]
    fn peoples_words_stand_apart_and_keep_their_lines() {
        let mut page = Page::default();
        page.said(Some("Ann".to_owned()), "1 < 2\nyes".to_owned());
        page.said(None, "hm".to_owned());
        assert_eq!(page.text(), "Ann: 1 < 2\nyes\n\nhm");
        assert_eq!(page.html(), "<p><strong>Ann:</strong> 1 &lt; 2<br>yes</p><p>hm</p>");
    }
}
