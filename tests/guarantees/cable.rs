//! A cable between the daemon and the stand-in for Missive that can be cut: connections end, new ones are refused.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::wait::moment;

/// How often the cable looks for a connection, and whether it has been cut.
const LOOK: Duration = Duration::from_millis(5);

pub struct Cable {
    near: SocketAddr,
    far: SocketAddr,
    cut: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Cable {
    pub fn to(far: SocketAddr) -> Self {
        let listener = listener();
        let near = listener.local_addr().expect("an address");
        let mut cable = Self { near, far, cut: Arc::default(), thread: None };
        cable.carry(listener);
        cable
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.near)
    }

    /// What is on the wire is lost, and nobody is reached any more.
    pub fn cut(&mut self) {
        self.cut.store(true, Ordering::Release);
        self.thread.take().expect("it was whole").join().expect("the cable doesn't panic");
    }

    pub fn mend(&mut self) {
        self.cut.store(false, Ordering::Release);
        self.carry(TcpListener::bind(self.near).expect("the same port"));
    }

    fn carry(&mut self, listener: TcpListener) {
        let (far, cut) = (self.far, Arc::clone(&self.cut));
        listener.set_nonblocking(true).expect("a listener that doesn't block");
        self.thread = Some(std::thread::spawn(move || {
            let mut open = Vec::new();
            while !cut.load(Ordering::Acquire) {
                match listener.accept() {
                    Ok((near, _)) => open.extend(join(near, far)),
                    Err(_) => moment(LOOK),
                }
            }
            // both fail only where the other side was faster
            open.iter().for_each(|stream: &TcpStream| drop(stream.shutdown(Shutdown::Both)));
        }));
    }
}

/// On a port that the system gives to nobody else while the cable is cut.
fn listener() -> TcpListener {
    let port = || 10_000 + u16::try_from(getrandom::u64().expect("randomness") % 5_000).expect("a small number");
    let bound = (0..50).find_map(|_| TcpListener::bind(("127.0.0.1", port())).ok());
    bound.expect("one of fifty ports is free")
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.cut.store(true, Ordering::Release);
    }
}

/// Carries bytes both ways until one side ends; gives the streams back, to be cut.
fn join(near: TcpStream, far: SocketAddr) -> Vec<TcpStream> {
    let joined = TcpStream::connect(far).and_then(|far| {
        near.set_nonblocking(false)?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        carry_one_way(near.try_clone()?, far.try_clone()?);
        carry_one_way(far.try_clone()?, near.try_clone()?);
        Ok(vec![near, far])
    });
    joined.unwrap_or_default()
}

fn carry_one_way(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
