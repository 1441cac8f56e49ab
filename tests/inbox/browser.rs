//! A real browser, driven over the DevTools protocol: Chromium, headless, with a profile of its own that goes with it.
//!
//! It is spoken to through a pipe (`--remote-debugging-pipe`, messages end with a NUL), so there is no port that others could
//! use and no WebSocket to speak. What the page throws is kept, and fails the test that asks ([`Page::assert_quiet`]).
//!
//! Where there is no Chromium a test is skipped, loudly. `MISSIVED_CHROMIUM` names another one.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::kafka::skip;
use crate::support::wait::{Deadline, eventually};

/// For what takes a moment on a busy machine, and never this long.
pub const SOON: Duration = Duration::from_secs(40);

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const FLAGS: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-lcd-text",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
];

/// Answers and events that may wait to be read.
const WAITING_MAX: usize = 100_000;

/// The browser, with one page.
pub struct Page {
    browser: Child,
    commands: RefCell<ChildStdin>,
    answers: Receiver<Value>,
    last_id: Cell<u64>,
    session: String,
    thrown: RefCell<Vec<String>>,
    _profile: TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub scheme: &'static str,
}

impl Page {
    /// `None` after having said that this test is skipped.
    pub fn open() -> Option<Self> {
        let Some(program) = program() else {
            skip("Chromium isn't installed (Debian: chromium)");
            return None;
        };
        let profile = tempfile::Builder::new().prefix("missived-browser").tempdir().expect("a folder");
        // the protocol is spoken on descriptors 3 and 4
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"]).arg(program).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut browser = piped.spawn().expect("a shell");
        let commands = RefCell::new(browser.stdin.take().expect("its input is piped"));
        let answers = listen(browser.stdout.take().expect("its output is piped"));
        let mut page = Self {
            browser,
            commands,
            answers,
            last_id: Cell::new(0),
            session: String::new(),
            thrown: RefCell::default(),
            _profile: profile,
        };
        page.attach();
        Some(page)
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        self.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable"] {
            self.call(domain, json!({}));
        }
    }

    pub fn go(&self, url: &str) {
        let gone = self.call("Page.navigate", json!({"url": url}));
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
    }

    /// The value of an expression, or of what it promises.
    pub fn eval(&self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// The value of an expression as soon as it has one that isn't false, null, 0 or "".
    pub fn until(&self, what: &str, expression: &str) -> Value {
        eventually(SOON, what, || {
            let value = self.eval(expression);
            let nothing = [Value::Null, json!(false), json!(0), json!("")].contains(&value);
            (!nothing).then_some(value)
        })
    }

    /// Presses a key, as a keyboard does.
    pub fn press(&self, key: &str, modifiers: u32) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "ArrowDown" => 40,
            other => panic!("no code is known for {other}"),
        };
        for kind in ["rawKeyDown", "keyUp"] {
            let event =
                json!({"type": kind, "key": key, "code": key, "modifiers": modifiers, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Types a text where the focus is.
    pub fn type_text(&self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    pub fn look(&self, look: Look) {
        let Look { width, height, scheme } = look;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Writes a PNG of what is seen, and gives its size in bytes.
    pub fn shoot(&self, path: &Path) -> usize {
        self.eval("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn(1))))");
        let shot = self.call("Page.captureScreenshot", json!({"format": "png", "optimizeForSpeed": false}));
        let bytes = decode(shot["data"].as_str().expect("a picture"));
        std::fs::write(path, &bytes).expect("the picture is written");
        bytes.len()
    }

    /// Nothing was thrown on the page so far.
    pub fn assert_quiet(&self) {
        self.eval("1");
        assert!(self.thrown.borrow().is_empty(), "the page threw: {:?}", self.thrown.borrow());
    }

    fn call(&self, method: &str, params: Value) -> Value {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.borrow_mut().write_all(&bytes).expect("the browser listens");
        self.answer(id, method)
    }

    fn answer(&self, id: u64, method: &str) -> Value {
        let deadline = Deadline::after(SOON);
        loop {
            let message = self.answers.recv_timeout(deadline.left());
            let message = message.unwrap_or_else(|error| panic!("the browser did not answer {method}: {error}"));
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            if message["method"] == "Runtime.exceptionThrown" {
                self.thrown.borrow_mut().push(message["params"]["exceptionDetails"].to_string());
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // both fail only when it has ended already
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MISSIVED_CHROMIUM") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES.iter().flat_map(|name| places.iter().map(move |place| place.join(name))).find(|file| file.is_file())
}

fn listen(mut output: impl Read + Send + 'static) -> Receiver<Value> {
    let (heard, answers) = sync_channel(WAITING_MAX);
    std::thread::spawn(move || {
        let (mut kept, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
        while let Ok(read @ 1..) = output.read(&mut chunk) {
            kept.extend_from_slice(&chunk[..read]);
            while let Some(end) = kept.iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = kept.drain(..=end).collect();
                let message = serde_json::from_slice(&message[..end]).expect("the browser speaks JSON");
                if heard.send(message).is_err() {
                    return;
                }
            }
        }
    });
    answers
}

fn decode(base64: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = base64.bytes().map_while(digit).collect();
    let group = |four: &[u8]| {
        let bits = four.iter().fold(0_u32, |bits, digit| (bits << 6) | u32::from(*digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
