//! The inbox page: plain files, embedded as they are, and the headers that keep them alone.
//!
//! What must hold: the page asks no other host for anything and runs no script but its own files, whatever a message says. So
//! its policy names nothing but itself, and no file of it puts text into markup. The HTML of a message is a document of its own
//! ([`frame`]), shown in a sandboxed frame under a policy that allows it to look and to do nothing; as its origin is nobody's,
//! it couldn't reach the page if it ran. All files together weigh less than 100 KiB.

use super::answer::Answer;

/// One file of the page.
#[derive(Debug)]
struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[File] = &[
    File { path: "/", kind: HTML, text: include_str!("index.html") },
    File { path: "/page/icon.svg", kind: "image/svg+xml", text: include_str!("icon.svg") },
    File { path: "/page/style.css", kind: CSS, text: include_str!("style.css") },
    File { path: "/page/app.js", kind: SCRIPT, text: include_str!("app.js") },
    File { path: "/page/books.js", kind: SCRIPT, text: include_str!("books.js") },
    File { path: "/page/chart.js", kind: SCRIPT, text: include_str!("chart.js") },
    File { path: "/page/controls.js", kind: SCRIPT, text: include_str!("controls.js") },
    File { path: "/page/desk.js", kind: SCRIPT, text: include_str!("desk.js") },
    File { path: "/page/element.js", kind: SCRIPT, text: include_str!("element.js") },
    File { path: "/page/list.js", kind: SCRIPT, text: include_str!("list.js") },
    File { path: "/page/message.js", kind: SCRIPT, text: include_str!("message.js") },
    File { path: "/page/thread.js", kind: SCRIPT, text: include_str!("thread.js") },
    File { path: "/page/write.js", kind: SCRIPT, text: include_str!("write.js") },
];

/// Nothing but the page's own files, and no address that it could be changed to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a message may do: be looked at.
const FRAME_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'self'";

/// The file at this path, if it is one of the page's.
pub fn file(path: &str) -> Option<Answer> {
    let file = FILES.iter().find(|file| file.path == path)?;
    Some(document(file.kind, POLICY, file.text))
}

/// The HTML of a message, as a document that can be looked at.
pub fn frame(html: &str) -> Answer {
    document(HTML, FRAME_POLICY, html)
}

fn document(kind: &str, policy: &str, text: &str) -> Answer {
    let headers = [
        ("content-type", kind),
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    Answer { status: 200, headers, body: text.as_bytes().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_weighs_less_than_100_kib() {
        let bytes: usize = FILES.iter().map(|file| file.text.len()).sum();
        println!("the page weighs {bytes} bytes in {} files", FILES.len());
        assert!(bytes < 100 * 1024, "{bytes} bytes");
    }

    #[test]
    fn no_file_of_the_page_turns_text_into_markup_or_asks_another_host() {
        let forbidden =
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc", "https:", "//fonts"];
        for file in FILES {
            for word in forbidden {
                assert!(!file.text.contains(word), "{} has {word}", file.path);
            }
        }
        let markup = FILES[0].text;
        assert!(!markup.contains("style=") && !markup.contains("onclick"), "the policy would not let it");
    }

    #[test]
    fn every_file_that_the_page_names_is_there() {
        let named = FILES.iter().flat_map(|file| file.text.split(['"', '\'']));
        let own = named.filter(|word| word.starts_with("/page/") || word.starts_with("./"));
        let paths: Vec<String> = own.map(|word| word.replacen("./", "/page/", 1)).collect();
        assert!(paths.len() >= FILES.len() - 1);
        for path in paths {
            assert!(file(&path).is_some(), "{path}");
        }
    }
}
