//! The head of a request, as far as the hook looks at it, in no HTTP library's words.

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    pub protocol: Protocol,
    pub method: &'a str,
    pub path: &'a str,
    pub headers: Headers<'a>,
}

/// The protocol that a request was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http11,
    Other,
}

/// Headers in the order in which they came, with lowercase names.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a>(Vec<(&'a str, &'a [u8])>);

impl<'a> Headers<'a> {
    /// All values of the header with this lowercase name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| *value)
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(headers: I) -> Self {
        Self(headers.into_iter().collect())
    }
}
