//! What happens to nodes, and how it ends.

use super::*;

impl Model {
    /// An agent does what it is asked for.
    fn answer(&mut self, place: usize) {
        let machine = &self.machines[place];
        let (Some(assigned), true) = (machine.assigned.clone(), machine.reachable) else {
            return;
        };
        let core = self.core(&assigned).to_owned();
        let word = match machine.temper {
            Temper::Silent => return,
            Temper::Sick => Word::Failed,
            _ if self.bad.contains(&core) => Word::Failed,
            Temper::Waits => Word::Waits,
            Temper::Well => Word::Ready,
        };
        note!(self, ("{}: {word:?} {assigned}", machine.name));
        let flight = if word == Word::Waits {
            None
        } else {
            self.flights.remove(&machine.name)
        };
        let name = machine.name.clone();
        let moved_core = |flight: &Flight| {
            let from = flight.from.as_ref().map(|from| self.core(from));
            flight.steady && from != Some(core.as_str())
        };
        let speaks = word == Word::Failed && flight.as_ref().is_some_and(moved_core);
        if word == Word::Ready {
            self.evidence.entry(core).or_default().remove(&name);
        } else if speaks {
            self.evidence.entry(core).or_default().insert(name);
        }
        let now = self.now;
        let machine = &mut self.machines[place];
        let ready = word == Word::Ready;
        machine.broke = if ready {
            None
        } else {
            machine.broke.or(Some(now))
        };
        machine.word = Some((word, machine.generation));
    }

    /// Something happens.
    fn fate(&mut self) {
        let place = self.random.below(self.machines.len());
        match self.random.below(24) {
            0..=9 => self.answer(place),
            10..=12 => {
                let span = self.random.below(400);
                self.now += seconds(i64::try_from(span).unwrap());
            }
            13 | 14 => {
                let (core, tenant) = (self.random.below(4), self.random.below(2));
                let bundle = format!("b{core}.{tenant}");
                note!(self, ("desired: {bundle}"));
                let class = self.random.below(3);
                for (n, desired) in self.desired.iter_mut().enumerate() {
                    if class == 2 || class == n {
                        desired.clone_from(&bundle);
                    }
                }
            }
            15 => {
                let reachable = !self.machines[place].reachable;
                let name = self.machines[place].name.clone();
                note!(self, ("{name}: reachable {reachable}"));
                self.machines[place].reachable = reachable;
                // It is not among those that stayed reachable.
                if let Some(flight) = self.flights.get_mut(&name) {
                    flight.counted = false;
                }
            }
            16 => self.join(false, false),
            17 if self.machines.len() > 2 => {
                let gone = self.machines.remove(place).name;
                note!(self, ("{gone}: left"));
                self.flights.remove(&gone);
                for nodes in self.evidence.values_mut() {
                    nodes.remove(&gone);
                }
            }
            18 => {
                // Its labels change.
                self.machines[place].class = self.random.below(2);
                note!(self, ("{}: relabelled", self.machines[place].name));
            }
            19 => {
                // A reboot: its agent speaks again of what it finds.
                self.machines[place].broke = None;
                self.answer(place);
            }
            20 => self.machines[place].temper = Temper::Well,
            21 => self.settings.paused = !self.settings.paused,
            22 if self.random.one_in(4) => {
                self.settings.disabled = !self.settings.disabled;
                note!(self, ("disabled {}", self.settings.disabled));
                self.evidence.clear();
            }
            22 => self.settings.frozen = self.random.one_in(4),
            23 => {
                note!(self, ("retry"));
                self.settings.retry = Some(self.random.next().to_string());
                self.evidence.clear();
            }
            _ => {}
        }
    }

    pub(super) fn run(&mut self) {
        for _ in 0..self.random.below(80) {
            self.fate();
            // Sometimes nobody leads.
            if !self.random.one_in(3) {
                self.ask();
            }
        }
        self.end();
    }

    /// The faults stop: everything comes to an end.
    fn end(&mut self) {
        self.settings.frozen = false;
        for machine in &mut self.machines {
            machine.reachable = true;
            machine.created = self.now - seconds(2 * GRACE);
        }
        for flight in self.flights.values_mut() {
            flight.counted = false;
        }
        note!(self, ("the faults stop"));
        let mut quiet = 0;
        for round in 0.. {
            assert!(round < 200, "it never ends: {:#?}", self.log);
            let writes = self.ask();
            for place in 0..self.machines.len() {
                self.answer(place);
            }
            quiet = if writes == 0 { quiet + 1 } else { 0 };
            self.now += seconds(if writes == 0 { DEADLINE / 2 } else { 61 });
            if quiet > 5 {
                break;
            }
        }
        if self.settings.paused && !self.settings.disabled {
            return;
        }
        let halted = |core: &str| self.bad.contains(core);
        let blocked = self
            .machines
            .iter()
            .any(|m| m.temper != Temper::Well || m.canary);
        for machine in &self.machines {
            let desired = &self.desired[machine.class];
            if self.settings.disabled || (!blocked && !halted(self.core(desired))) {
                assert!(
                    machine.assigned.as_ref() == Some(desired) || self.is_held(machine),
                    "{} is behind: {:#?}",
                    machine.name,
                    self.log
                );
            }
        }
    }

    /// Whether somebody's failure holds the node back.
    fn is_held(&self, machine: &Machine) -> bool {
        let desired = &self.desired[machine.class];
        let marks = self.machines.iter().filter(|m| {
            let record = m
                .record
                .as_deref()
                .zip(m.assigned.as_deref())
                .and_then(|(text, bundle)| Record::parse(text, bundle));
            let mark = record.and_then(|record| record.failed);
            mark.is_some_and(|mark| mark.target == *desired || mark.target == self.core(desired))
        });
        marks.count() >= self.most_failures()
    }
}
