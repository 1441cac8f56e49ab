//! Keys of the terminal, one at a time, and the terminal as it was when nobody wants any more of them.
//!
//! Raw mode ends with [`Keys`], also when a panic unwinds. Ctrl-C is a key in raw mode, and means what it always means.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use tokio::sync::mpsc;

/// What somebody wants, as a key says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Storm,
    Restart,
    Quit,
}

/// Wishes that may wait.
const WISHES_MAX: usize = 8;

/// How long a look at the keyboard takes, and so how long the end of it may take.
const LOOK: Duration = Duration::from_millis(100);

/// A terminal in raw mode.
pub struct Keys {
    wishes: mpsc::Receiver<Key>,
    over: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Keys {
    /// Takes the terminal over; `None` where there is none at both ends.
    pub fn take() -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(None);
        }
        let (into, wishes) = mpsc::channel(WISHES_MAX);
        let over = Arc::new(AtomicBool::new(false));
        enable_raw_mode()?;
        // From here on dropping it restores the terminal.
        let mut keys = Self { wishes, over: over.clone(), reader: None };
        keys.reader = Some(thread::Builder::new().name("keys".into()).spawn(move || read(&into, &over))?);
        write!(io::stdout(), "\x1b[?25l")?;
        Ok(Some(keys))
    }

    /// The next wish; for ever, if nobody can have any more.
    pub async fn next(&mut self) -> Key {
        match self.wishes.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(Err(_)) = self.reader.take().map(JoinHandle::join) {
            tracing::error!("the keyboard's thread panicked");
        }
        let restored = disable_raw_mode().and_then(|()| write!(io::stdout(), "\x1b[?25h"));
        if let Err(error) = restored {
            tracing::error!(%error, "the terminal could not be restored");
        }
    }
}

fn read(into: &mpsc::Sender<Key>, over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        match event::poll(LOOK).and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) }) {
            Ok(Some(Event::Key(key))) => {
                if let Some(Err(refused)) = wish(key).map(|wish| into.try_send(wish)) {
                    tracing::debug!(%refused, "too many keys at once");
                }
            }
            Ok(Some(_) | None) => {}
            Err(error) => return tracing::warn!(%error, "the keyboard can't be read"),
        }
    }
}

fn wish(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('s') => Some(Key::Storm),
        KeyCode::Char('k') => Some(Key::Restart),
        KeyCode::Char('q') => Some(Key::Quit),
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_help_says() {
        let plain = KeyModifiers::NONE;
        let rows = [
            ('s', plain, Some(Key::Storm)),
            ('k', plain, Some(Key::Restart)),
            ('q', plain, Some(Key::Quit)),
            ('c', KeyModifiers::CONTROL, Some(Key::Quit)),
            ('c', plain, None),
            ('x', plain, None),
        ];
        for (key, modifiers, wanted) in rows {
            assert_eq!(wish(KeyEvent::new(KeyCode::Char(key), modifiers)), wanted, "{key} {modifiers:?}");
        }
    }
}
