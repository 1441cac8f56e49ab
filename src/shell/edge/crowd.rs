//! Who is connected, and who goes when room is needed.
//!
//! A connection is *unproven* until something on it has been proven, and again when that has been answered. When all seats
//! are taken, or all of one address, the connection that has been unproven longest gives up its seat: idle ones, slow heads,
//! slow bodies. So whoever only holds connections open can't keep out anybody who says something. Without an unproven one
//! nobody is cut, and the newcomer is turned away.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use super::origin::{Network, Origin};

/// Connections that are told 503 at the same time; more are cut without a word.
const SHED_MAX: usize = 64;

/// All connections of one listener.
#[derive(Debug)]
pub(super) struct Crowd {
    state: Mutex<State>,
    total_max: usize,
    per_address_max: usize,
    /// Those who are turned away with a word.
    pub(super) turned_away: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    guests: HashMap<u64, Guest>,
    /// Turn in which each became unproven → who.
    unproven: BTreeMap<u64, u64>,
    by_address: HashMap<Network, usize>,
}

#[derive(Debug)]
struct Guest {
    address: Option<Network>,
    unproven_since: Option<u64>,
    /// Dropped: the connection is to be cut.
    _cut: oneshot::Sender<std::convert::Infallible>,
}

/// Where a newcomer's seat came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    MadeByCutting,
}

/// What becomes of a newcomer.
#[derive(Debug)]
pub(super) enum Entry {
    Seated { seat: Seat, cut: Cut, room: Room },
    Full,
}

/// Ends when the connection is to be cut.
pub(super) type Cut = oneshot::Receiver<std::convert::Infallible>;

/// A connection's place; given up on drop.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    id: u64,
}

impl Crowd {
    pub(super) fn new(total_max: usize, per_address_max: usize) -> Self {
        let turned_away = Arc::new(Semaphore::new(SHED_MAX));
        Self { state: Mutex::default(), total_max, per_address_max, turned_away }
    }

    pub(super) fn enter(crowd: &Arc<Self>, origin: Origin) -> Entry {
        let mut state = crowd.lock();
        let address = origin.network();
        let room = match state.make_room(address, crowd.total_max, crowd.per_address_max) {
            Some(room) => room,
            None => return Entry::Full,
        };
        let (sender, cut) = oneshot::channel();
        let id = state.seat(address, sender);
        Entry::Seated { seat: Seat { crowd: Arc::clone(crowd), id }, cut, room }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn make_room(&mut self, address: Option<Network>, total_max: usize, per_address_max: usize) -> Option<Room> {
        let of_address = address.and_then(|address| self.by_address.get(&address)).copied().unwrap_or(0);
        let leaver = if of_address >= per_address_max {
            self.unproven.values().copied().find(|id| self.guests[id].address == address)
        } else if self.guests.len() >= total_max {
            self.unproven.values().copied().next()
        } else {
            return Some(Room::Free);
        };
        self.leave(leaver?);
        Some(Room::MadeByCutting)
    }

    fn seat(&mut self, address: Option<Network>, cut: oneshot::Sender<std::convert::Infallible>) -> u64 {
        let id = self.turn();
        self.guests.insert(id, Guest { address, unproven_since: Some(id), _cut: cut });
        self.unproven.insert(id, id);
        if let Some(address) = address {
            *self.by_address.entry(address).or_default() += 1;
        }
        id
    }

    fn leave(&mut self, id: u64) {
        let Some(guest) = self.guests.remove(&id) else { return };
        if let Some(turn) = guest.unproven_since {
            self.unproven.remove(&turn);
        }
        let Some(address) = guest.address else { return };
        let Some(count) = self.by_address.get_mut(&address) else { return };
        *count -= 1;
        if *count == 0 {
            self.by_address.remove(&address);
        }
    }

    fn turn(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Seat {
    /// Something has been proven: this connection is not cut for others now.
    pub(super) fn proven(&self) {
        let mut state = self.crowd.lock();
        let Some(guest) = state.guests.get_mut(&self.id) else { return };
        if let Some(turn) = guest.unproven_since.take() {
            state.unproven.remove(&turn);
        }
    }

    /// It has been answered: what comes next must be proven anew.
    pub(super) fn unproven(&self) {
        let mut state = self.crowd.lock();
        let turn = state.turn();
        let Some(guest) = state.guests.get_mut(&self.id) else { return };
        if let Some(before) = guest.unproven_since.replace(turn) {
            state.unproven.remove(&before);
        }
        state.unproven.insert(turn, self.id);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.lock().leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn from(last: u8) -> Origin {
        Origin::of_peer(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), &[])
    }

    fn enter(crowd: &Arc<Crowd>, last: u8) -> (Seat, Cut, Room) {
        match Crowd::enter(crowd, from(last)) {
            Entry::Seated { seat, cut, room } => (seat, cut, room),
            Entry::Full => panic!("no room for {last}"),
        }
    }

    fn is_cut(cut: &mut Cut) -> bool {
        matches!(cut.try_recv(), Err(oneshot::error::TryRecvError::Closed))
    }

    #[test]
    fn the_longest_unproven_goes_first_and_a_proven_one_never() {
        let crowd = Arc::new(Crowd::new(3, 3));
        let mut guests: Vec<_> = (0..3).map(|number| enter(&crowd, number)).collect();
        guests[0].0.proven();
        guests[1].0.unproven();
        let fourth = enter(&crowd, 3);
        assert_eq!(fourth.2, Room::MadeByCutting);
        let cut: Vec<bool> = guests.iter_mut().map(|(_, cut, _)| is_cut(cut)).collect();
        assert_eq!(cut, [false, false, true]);
        guests[1].0.proven();
        fourth.0.proven();
        assert!(matches!(Crowd::enter(&crowd, from(4)), Entry::Full), "all are proven");
        guests[0].0.unproven();
        assert_eq!(enter(&crowd, 4).2, Room::MadeByCutting);
    }

    #[test]
    fn an_address_over_its_share_makes_room_among_its_own() {
        let crowd = Arc::new(Crowd::new(10, 2));
        let mut other = enter(&crowd, 1);
        let mut first = enter(&crowd, 2);
        let mut second = enter(&crowd, 2);
        let third = enter(&crowd, 2);
        assert_eq!(
            (third.2, is_cut(&mut other.1), is_cut(&mut first.1), is_cut(&mut second.1)),
            (Room::MadeByCutting, false, true, false)
        );
        second.0.proven();
        third.0.proven();
        assert!(matches!(Crowd::enter(&crowd, from(2)), Entry::Full));
        drop(third);
        assert_eq!(enter(&crowd, 2).2, Room::Free);
    }

    #[test]
    fn whoever_leaves_leaves_nothing_behind() {
        let crowd = Arc::new(Crowd::new(4, 4));
        let guests: Vec<_> = (0..9).map(|number| enter(&crowd, number % 2)).collect();
        guests[8].0.proven();
        drop(guests);
        let state = crowd.lock();
        assert_eq!((state.guests.len(), state.unproven.len(), state.by_address.len()), (0, 0, 0));
    }
}
