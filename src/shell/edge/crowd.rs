//! Who is connected, and who goes when room is needed.
//!
//! A connection is *unproven* until something on it has been proven, and again when that has been answered. When all seats
//! are taken, or all of one address, the connection that has been unproven longest gives up its seat: idle ones, slow heads,
//! slow bodies. So whoever only holds connections open can't keep out anybody who says something. Without an unproven one
//! nobody is cut, and the newcomer is turned away.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use super::origin::{Network, Origin};

/// Connections that are told 503 at the same time; more are cut without a word.
const SHED_MAX: usize = 64;

/// Stands in the place of a turn while something proven is being answered.
const PROVEN: u64 = 0;

/// All connections of one listener.
#[derive(Debug)]
pub(super) struct Crowd {
    state: Mutex<State>,
    /// The next turn, from 1.
    next: AtomicU64,
    total_max: usize,
    per_address_max: usize,
    /// Those who are turned away with a word.
    pub(super) turned_away: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    guests: HashMap<u64, Guest>,
    /// Everybody, by the turn in which each was last known to have become unproven: put right when somebody has to go.
    queue: BTreeMap<u64, u64>,
    by_address: HashMap<Network, Vec<u64>>,
}

#[derive(Debug)]
struct Guest {
    address: Option<Network>,
    /// Where it stands in the queue.
    queued: u64,
    unproven_since: Arc<AtomicU64>,
    /// Dropped: the connection is to be cut.
    _cut: oneshot::Sender<Infallible>,
    /// Dropped: the connection is to end when it has answered.
    finish: Option<oneshot::Sender<Infallible>>,
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
    Seated { seat: Seat, calls: Calls, room: Room },
    Full,
}

/// Ends when that is what a connection is to do.
pub(super) type Call = oneshot::Receiver<Infallible>;

/// What a connection may be told.
#[derive(Debug)]
pub(super) struct Calls {
    /// To end at once.
    pub cut: Call,
    /// To end when it has answered what it is answering.
    pub finish: Call,
}

/// A connection's place; given up on drop. What is said here costs no lock.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    id: u64,
    unproven_since: Arc<AtomicU64>,
}

impl Crowd {
    pub(super) fn new(total_max: usize, per_address_max: usize) -> Self {
        let turned_away = Arc::new(Semaphore::new(SHED_MAX));
        Self { state: Mutex::default(), next: AtomicU64::new(PROVEN + 1), total_max, per_address_max, turned_away }
    }

    pub(super) fn enter(crowd: &Arc<Self>, origin: Origin) -> Entry {
        let mut state = crowd.lock();
        let Some(room) = crowd.make_room(&mut state, origin.network()) else { return Entry::Full };
        let ((to_cut, cut), (to_finish, finish)) = (oneshot::channel(), oneshot::channel());
        let id = crowd.turn();
        let unproven_since = Arc::new(AtomicU64::new(id));
        let since = Arc::clone(&unproven_since);
        let guest = Guest {
            address: origin.network(),
            queued: id,
            unproven_since: since,
            _cut: to_cut,
            finish: Some(to_finish),
        };
        state.seat(id, guest);
        Entry::Seated {
            seat: Seat { crowd: Arc::clone(crowd), id, unproven_since },
            calls: Calls { cut, finish },
            room,
        }
    }

    /// Everybody is to end when it has answered.
    pub(super) fn dismiss(&self) {
        self.lock().guests.values_mut().for_each(|guest| guest.finish = None);
    }

    fn make_room(&self, state: &mut State, address: Option<Network>) -> Option<Room> {
        let of_address = address.and_then(|address| state.by_address.get(&address));
        let leaver = match of_address.filter(|ids| ids.len() >= self.per_address_max) {
            Some(ids) => state.longest_unproven_of(ids),
            None if state.guests.len() >= self.total_max => state.longest_unproven(|| self.turn()),
            None => return Some(Room::Free),
        };
        state.leave(leaver?);
        Some(Room::MadeByCutting)
    }

    fn turn(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seat(&mut self, id: u64, guest: Guest) {
        self.queue.insert(guest.queued, id);
        if let Some(address) = guest.address {
            self.by_address.entry(address).or_default().push(id);
        }
        self.guests.insert(id, guest);
    }

    fn longest_unproven_of(&self, ids: &[u64]) -> Option<u64> {
        let unproven = ids.iter().map(|id| (self.guests[id].unproven_since.load(Ordering::Relaxed), *id));
        unproven.filter(|(since, _)| *since != PROVEN).min().map(|(_, id)| id)
    }

    /// Whoever has moved on since it was queued is queued anew: no more work than those connections have done.
    fn longest_unproven(&mut self, turn: impl Fn() -> u64) -> Option<u64> {
        let now = turn();
        while let Some((&queued, &id)) = self.queue.first_key_value()
            && queued < now
        {
            let guest = self.guests.get_mut(&id)?;
            let since = guest.unproven_since.load(Ordering::Relaxed);
            if since == queued {
                return Some(id);
            }
            guest.queued = if since == PROVEN { turn() } else { since };
            self.queue.insert(guest.queued, id);
            self.queue.remove(&queued);
        }
        None
    }

    fn leave(&mut self, id: u64) {
        let Some(guest) = self.guests.remove(&id) else { return };
        self.queue.remove(&guest.queued);
        let Some(address) = guest.address else { return };
        let Some(ids) = self.by_address.get_mut(&address) else { return };
        ids.retain(|known| *known != id);
        if ids.is_empty() {
            self.by_address.remove(&address);
        }
    }
}

impl Seat {
    /// Something has been proven: this connection is not cut for others now.
    pub(super) fn proven(&self) {
        self.unproven_since.store(PROVEN, Ordering::Relaxed);
    }

    /// It has been answered: what comes next must be proven anew.
    pub(super) fn unproven(&self) {
        self.unproven_since.store(self.crowd.turn(), Ordering::Relaxed);
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

    fn enter(crowd: &Arc<Crowd>, last: u8) -> (Seat, Call, Room) {
        match Crowd::enter(crowd, from(last)) {
            Entry::Seated { seat, calls, room } => (seat, calls.cut, room),
            Entry::Full => panic!("no room for {last}"),
        }
    }

    fn is_cut(cut: &mut Call) -> bool {
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
    fn whoever_has_waited_longest_is_found_whatever_happened_since_it_came() {
        let crowd = Arc::new(Crowd::new(50, 50));
        let mut guests: Vec<_> = (0..50).map(|number| enter(&crowd, number)).collect();
        // 7 is coprime to 50: everybody has one turn, in an order of its own; every fifth stays proven.
        for number in (0..50).map(|step| step * 7 % 50) {
            guests[number].0.proven();
            if number % 5 != 0 {
                guests[number].0.unproven();
            }
        }
        let order: Vec<usize> = (0..50).map(|step| step * 7 % 50).filter(|number| number % 5 != 0).collect();
        let mut newcomers = Vec::new();
        for number in order {
            let newcomer = enter(&crowd, 100);
            newcomer.0.proven();
            newcomers.push(newcomer);
            assert!(is_cut(&mut guests[number].1), "{number}");
        }
        assert!(matches!(Crowd::enter(&crowd, from(101)), Entry::Full), "all are proven");
        assert_eq!(crowd.lock().queue.len(), 50);
    }

    #[test]
    fn the_dismissed_are_told_and_the_cut_are_not_dismissed() {
        let crowd = Arc::new(Crowd::new(2, 2));
        let Entry::Seated { seat: _seat, mut calls, .. } = Crowd::enter(&crowd, from(1)) else { panic!("no room") };
        crowd.dismiss();
        assert_eq!((is_cut(&mut calls.finish), is_cut(&mut calls.cut)), (true, false));
    }

    #[test]
    fn whoever_leaves_leaves_nothing_behind() {
        let crowd = Arc::new(Crowd::new(4, 4));
        let guests: Vec<_> = (0..9).map(|number| enter(&crowd, number % 2)).collect();
        guests[8].0.proven();
        drop(guests);
        let state = crowd.lock();
        assert_eq!((state.guests.len(), state.queue.len(), state.by_address.len()), (0, 0, 0));
    }
}
