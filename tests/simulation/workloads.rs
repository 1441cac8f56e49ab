//! What will happen in a simulation, workload by workload.
//!
//! Every happening draws from a chance of its own, so that a simulation with fewer of them has the first ones unchanged.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use missived::event::lesson::Learned;
use missived::event::{HashKey, State, Urgency};

use super::happening::{Gesture, Happening, Jump, Place, Snapshot, SourceRecord};
use super::random::Random;
use super::scenario::{HOUR, MINUTE, SECOND, START, Scenario};

/// What chance is drawn for.
#[derive(Clone, Copy)]
enum For {
    Steady = 100,
    Storm,
    Flapping,
    Records,
    Conversations,
    Huge,
    Words,
    Repeats,
    Gestures,
    Jumps,
    Snapshots = 1_000,
}

/// Everything that sources will say, in order of time.
pub fn source_records(scenario: &Scenario, hash: &HashKey) -> Vec<SourceRecord> {
    let mut plan = Plan { scenario, hash, places: BTreeMap::new(), told: Vec::new(), since: HashSet::new(), news: 0 };
    plan.steady();
    plan.storm();
    plan.flapping();
    plan.records();
    plan.conversations();
    plan.huge();
    plan.words();
    plan.snapshots();
    plan.repeat_and_disorder();
    plan.told.sort_by_key(|record| record.at);
    plan.told
}

/// What people do in the inbox meanwhile.
pub fn gestures(scenario: &Scenario) -> Vec<Gesture> {
    let gesture = |number| {
        let random = &mut Random::apart(scenario.dials.seed, For::Gestures as u64 + (number << 16));
        Gesture {
            at: START + random.between(0, scenario.span),
            route: random.pick(&["alerts", "single", "deals", "chat"]),
            key: format!("k{}", random.between(0, 5)),
            about: random.pick(&[
                Learned::Answered,
                Learned::Answered,
                Learned::Muted,
                Learned::Unmuted,
                Learned::Closed,
                Learned::Reopened,
            ]),
        }
    };
    (0..scenario.dials.lessons).map(gesture).collect()
}

/// When the wall clock is set meanwhile, and by how much; back as often as forward.
pub fn jumps(scenario: &Scenario) -> Vec<Jump> {
    let jump = |number| {
        let random = &mut Random::apart(scenario.dials.seed, For::Jumps as u64 + (number << 16));
        let by = i64::try_from(random.spread(1, 2 * HOUR)).expect("hours");
        Jump { at: START + random.between(0, scenario.span), by: if random.chance(500) { by } else { -by } }
    };
    (0..scenario.dials.jumps).map(jump).collect()
}

struct Plan<'a> {
    scenario: &'a Scenario,
    hash: &'a HashKey,
    places: BTreeMap<(&'static str, String), Rc<Place>>,
    told: Vec<SourceRecord>,
    /// Which alert is said to have changed when: no two changes at one instant.
    since: HashSet<(usize, u64, u64)>,
    news: u64,
}

impl Plan<'_> {
    fn random(&self, purpose: For, number: u64) -> Random {
        Random::apart(self.scenario.dials.seed, purpose as u64 + (number << 16))
    }

    fn sometime(&self, random: &mut Random) -> u64 {
        START + random.between(0, self.scenario.span)
    }

    fn urgency(&self, random: &mut Random) -> Urgency {
        self.scenario.urgency.unwrap_or_else(|| random.pick(&Urgency::ALL))
    }

    fn place(&mut self, route: &'static str, key: &str) -> Rc<Place> {
        let number = self.places.len();
        let new = || Rc::new(Place::new(number, route, key.to_owned(), self.hash));
        Rc::clone(self.places.entry((route, key.to_owned())).or_insert_with(new))
    }

    fn happening(
        &mut self,
        random: &mut Random,
        at: u64,
        (route, key): (&'static str, &str),
        entity: u64,
        state: State,
    ) -> Happening {
        let place = self.place(route, key);
        let is_alert = matches!(state, State::Firing | State::Resolved);
        let mut since = at;
        while is_alert && !self.since.insert((place.number, entity, since)) {
            since += 1;
        }
        self.news += 1;
        let said = state == State::Said;
        let padding =
            if said && random.chance(200) { "lorem ".repeat(random.pick(&[10, 30, 100])) } else { String::new() };
        Happening {
            at,
            place,
            entity,
            news: self.news,
            state,
            since: is_alert.then_some(since),
            urgency: self.urgency(random),
            old: random.chance(self.scenario.dials.old_pm),
            author: if said { random.pick(&["ann", "ann", "ann", "bob"]) } else { "" },
            text: format!("<{}>{padding}", self.news).into(),
        }
    }

    fn tell(&mut self, happening: Happening) {
        self.told.push(SourceRecord {
            at: happening.at,
            stamped: None,
            says: vec![Rc::new(happening)],
            snapshot: Snapshot::No,
        });
    }

    fn add(&mut self, random: &mut Random, at: u64, place: (&'static str, &str), entity: u64, state: State) {
        let happening = self.happening(random, at, place, entity, state);
        self.tell(happening);
    }

    /// An alert that fires and, mostly, resolves.
    fn alert(&mut self, random: &mut Random, at: u64, place: (&'static str, &str), entity: u64) {
        let fires = self.happening(random, at, place, entity, State::Firing);
        let urgency = fires.urgency;
        self.tell(fires);
        if random.chance(800) {
            let lasts = random.spread(100, 20 * MINUTE);
            let resolves = self.happening(random, at + lasts, place, entity, State::Resolved);
            self.tell(Happening { urgency, ..resolves });
        }
    }

    fn steady(&mut self) {
        for number in 0..self.scenario.dials.steady {
            let random = &mut self.random(For::Steady, number);
            let at = self.sometime(random);
            let (key, entity) = (format!("k{}", random.between(0, 5)), random.between(0, 8));
            match random.between(0, 3) {
                0 => self.alert(random, at, ("alerts", &key), entity),
                1 => self.alert(random, at, ("single", &key), entity),
                2 => self.add(random, at, ("deals", &key), entity, State::Changed),
                _ => self.add(random, at, ("chat", &key), entity, State::Said),
            }
        }
    }

    fn storm(&mut self) {
        let random = &mut self.random(For::Storm, 0);
        let (begins, lasts) = (self.sometime(random), random.spread(100, MINUTE));
        for group in 0..self.scenario.dials.storm_groups {
            let random = &mut self.random(For::Storm, group + 1);
            let route = random.pick(&["alerts", "single"]);
            for entity in 0..random.spread(1, 4) {
                let at = begins + random.between(0, lasts);
                self.alert(random, at, (route, &format!("g{group}")), entity);
            }
        }
    }

    fn flapping(&mut self) {
        let random = &mut self.random(For::Flapping, 0);
        let (begins, pause, alerts) = (self.sometime(random), random.spread(100, 2 * MINUTE), random.between(1, 3));
        let mut at = begins;
        for flap in 0..self.scenario.dials.flaps {
            let random = &mut self.random(For::Flapping, flap + 1);
            let state = if flap / alerts % 2 == 0 { State::Firing } else { State::Resolved };
            self.add(random, at, ("alerts", "flapping"), flap % alerts, state);
            at += random.between(1, pause);
        }
    }

    fn records(&mut self) {
        let keys = self.random(For::Records, 0).spread(1, 200);
        for number in 0..self.scenario.dials.records {
            let random = &mut self.random(For::Records, number + 1);
            let (at, key) = (self.sometime(random), format!("d{}", random.between(0, keys)));
            self.add(random, at, ("deals", &key), 1, State::Changed);
        }
    }

    fn conversations(&mut self) {
        for number in 0..self.scenario.dials.conversations {
            let random = &mut self.random(For::Conversations, number);
            let (at, key) = (self.sometime(random), format!("c{number}"));
            match random.between(0, 2) {
                0 => self.alert(random, at, ("alerts", &key), 1),
                1 => self.alert(random, at, ("single", &key), 1),
                _ => self.add(random, at, ("deals", &key), 1, State::Changed),
            }
        }
    }

    /// One conversation of very many alerts.
    fn huge(&mut self) {
        let random = &mut self.random(For::Huge, 0);
        let (begins, lasts) = (self.sometime(random), random.spread(SECOND, self.scenario.span));
        for entity in 0..self.scenario.dials.huge {
            let random = &mut self.random(For::Huge, entity + 1);
            let at = begins + random.between(0, lasts);
            self.alert(random, at, ("alerts", "huge"), entity);
        }
    }

    fn words(&mut self) {
        let random = &mut self.random(For::Words, 0);
        let (begins, people) = (self.sometime(random), random.spread(1, 30));
        let lasts = random.spread(SECOND, self.scenario.span);
        for number in 0..self.scenario.dials.words {
            let random = &mut self.random(For::Words, number + 1);
            let at = begins + random.between(0, lasts);
            let key = format!("p{}", random.between(0, people));
            self.add(random, at, ("chat", &key), 1, State::Said);
        }
    }

    /// Groups as Alertmanager tells of them: whenever one member changes, all of them. A member that is silenced is simply
    /// missing from then on, until it comes back as if nothing had been.
    fn snapshots(&mut self) {
        let random = &mut self.random(For::Snapshots, 0);
        let groups = random.between(1, 4);
        let mut at = self.sometime(random);
        let mut known: BTreeMap<u64, Vec<Member>> = BTreeMap::new();
        for number in 0..self.scenario.dials.snapshots {
            let random = &mut self.random(For::Snapshots, number + 1);
            let group = random.between(1, groups);
            // Two of one group are further apart than clocks, so that it is known which one is older.
            at += 2 * SECOND + random.spread(SECOND, 5 * MINUTE) / groups;
            let mut members = known.remove(&group).unwrap_or_default();
            self.change(random, at, group, &mut members);
            let says: Vec<_> = members.iter().filter(|member| !member.silenced).map(|m| Rc::clone(&m.says)).collect();
            if !says.is_empty() {
                let snapshot = if random.chance(100) { Snapshot::Truncated } else { Snapshot::Whole };
                self.told.push(SourceRecord { at, stamped: Some(at), says, snapshot });
            }
            members.retain(|member| member.says.state == State::Firing);
            known.insert(group, members);
        }
    }

    fn change(&mut self, random: &mut Random, at: u64, group: u64, members: &mut Vec<Member>) {
        let key = format!("snapshot{group}");
        for member in members.iter_mut() {
            match random.between(0, 9) {
                0 => member.silenced = !member.silenced,
                1 | 2 => {
                    let says = self.happening(random, at, ("groups", &key), member.says.entity, State::Resolved);
                    member.says = Rc::new(Happening { urgency: member.says.urgency, ..says });
                }
                _ => {}
            }
        }
        for _ in 0..random.between(0, 2) {
            let entity = random.between(0, 30);
            if members.iter().all(|member| member.says.entity != entity) {
                let says = self.happening(random, at, ("groups", &key), entity, State::Firing);
                members.push(Member { says: Rc::new(says), silenced: false });
            }
        }
    }

    fn repeat_and_disorder(&mut self) {
        for number in 0..self.told.len() {
            let random = &mut self.random(For::Repeats, number as u64);
            if random.chance(self.scenario.dials.repeats_pm) {
                for _ in 0..random.spread(1, 5) {
                    let mut copy = self.told[number].clone();
                    copy.at += random.spread(1, 10 * MINUTE);
                    self.told.push(copy);
                }
            }
        }
        for number in 0..self.told.len() {
            let late = self.random(For::Repeats, u64::MAX - number as u64).between(0, self.scenario.dials.disorder_ms);
            self.told[number].at += late;
        }
    }
}

/// One alert of a group, and what is said of it.
struct Member {
    says: Rc<Happening>,
    silenced: bool,
}
