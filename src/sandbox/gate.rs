//! Who may look at the page and turn its knobs: programs, and the page itself. Never another page.
//!
//! The control endpoint asks for no token, so a browser on the same machine is the one danger: any page that is open in it can
//! send requests here. Two things keep those out. A `Host` must be an address, `localhost` or a name without a dot, none of
//! which a stranger can own: so no name can be pointed here afterwards (DNS rebinding). And what a browser says about the
//! asking page (`Origin`, `Sec-Fetch-Site`) must be this very page. Programs send neither, and pass.
//!
//! That a POST is JSON is asked for by [`control`](super::control); answers never carry CORS headers.

use std::net::IpAddr;

use thiserror::Error;

/// What a request says of where it comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caller<'a> {
    pub host: Option<&'a str>,
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`
    pub site: Option<&'a str>,
    pub asks_for: AsksFor,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AsksFor {
    /// The page: anybody may link to it. It can't be framed, and it shows nothing until it has asked for more.
    Page,
    /// Everything else.
    #[default]
    Data,
}

/// Why somebody is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Stranger {
    #[error("this Host is a name that somebody else may own: use the address, or localhost")]
    Host,
    #[error("another page may not ask for this")]
    Site,
}

/// Lets programs and the page itself pass.
pub fn admit(caller: &Caller<'_>) -> Result<(), Stranger> {
    let host = caller.host.filter(|host| is_unowned(host)).ok_or(Stranger::Host)?;
    if caller.asks_for == AsksFor::Page {
        return Ok(());
    }
    let own_site = caller.site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let own_origin = caller.origin.is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
    if own_site && own_origin { Ok(()) } else { Err(Stranger::Site) }
}

/// Whether nobody outside can make this name lead anywhere.
fn is_unowned(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let dotless = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    bare.parse::<IpAddr>().is_ok() || dotless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_the_page_itself_pass_and_other_pages_do_not() {
        const OWN: &str = "127.0.0.1:8100";
        let ask = |host, origin, site| Caller { host, origin, site, asks_for: AsksFor::Data };
        let rows = [
            (ask(Some(OWN), None, None), Ok(()), "curl"),
            (ask(Some("localhost:8100"), None, None), Ok(()), "curl, by name"),
            (ask(Some("[::1]:8100"), None, None), Ok(()), "IPv6"),
            (ask(Some("sandbox:8100"), None, None), Ok(()), "a neighbouring container"),
            (ask(Some(OWN), Some("http://127.0.0.1:8100"), Some("same-origin")), Ok(()), "the page"),
            (ask(Some(OWN), None, Some("none")), Ok(()), "an address that was typed"),
            (ask(None, None, None), Err(Stranger::Host), "no host at all"),
            (ask(Some("evil.example"), None, None), Err(Stranger::Host), "a name that leads here"),
            (ask(Some("127.0.0.1.evil.example:80"), None, None), Err(Stranger::Host), "one that looks like an address"),
            (ask(Some("::1.evil"), None, None), Err(Stranger::Host), "or like another"),
            (ask(Some(OWN), None, Some("cross-site")), Err(Stranger::Site), "an image on another page"),
            (ask(Some(OWN), None, Some("same-site")), Err(Stranger::Site), "a page of another port"),
            (ask(Some(OWN), Some("https://evil.example"), None), Err(Stranger::Site), "a form of an old browser"),
            (ask(Some(OWN), Some("null"), None), Err(Stranger::Site), "a frame without an origin"),
            (ask(Some(OWN), Some("http://127.0.0.1:9999"), None), Err(Stranger::Site), "another port"),
        ];
        for (caller, expected, sentence) in rows {
            assert_eq!(admit(&caller), expected, "{sentence}");
        }
    }

    #[test]
    fn the_page_may_be_linked_to_but_not_under_a_strangers_name() {
        let page = |host| Caller { host: Some(host), site: Some("cross-site"), asks_for: AsksFor::Page, origin: None };
        assert_eq!(admit(&page("127.0.0.1:8100")), Ok(()));
        assert_eq!(admit(&page("evil.example")), Err(Stranger::Host));
    }
}
