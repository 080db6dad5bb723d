//! Random schedules on a small model of nodes and their agents.
//!
//! The model keeps its own books: who is in change, and what speaks against what. Every step of
//! every schedule is checked against them.

use std::collections::{BTreeMap, BTreeSet};

use crds::types::Share;
use jiff::{SignedDuration, Timestamp};

use super::*;

macro_rules! note {
    ($model:ident, ($($words:tt)*)) => {
        if $model.tells {
            $model.log.push(format!($($words)*));
        }
    };
}

mod fate;
mod random;

use self::random::Random;

/// Schedules of an ordinary run, and of a full one.
const SCHEDULES: u64 = 5_000;
const FULL: u64 = 100_000;
const DEADLINE: i64 = 600;
const GRACE: i64 = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    /// It does what it is told.
    Well,
    /// It fails whatever it is given.
    Sick,
    /// Its agent says nothing.
    Silent,
    /// It waits for somebody.
    Waits,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Ready,
    Failed,
    Waits,
}

#[derive(Debug, Clone)]
struct Machine {
    name: String,
    canary: bool,
    reachable: bool,
    created: Timestamp,
    class: usize,
    temper: Temper,
    assigned: Option<String>,
    /// The annotation, as text: what a new process reads.
    record: Option<String>,
    /// How often its bundle changed.
    generation: u64,
    /// What its agent said last, and about which generation; nothing where it never spoke.
    word: Option<(Word, u64)>,
    broke: Option<Timestamp>,
}

/// What the model knows of a node in change.
#[derive(Debug, Clone)]
struct Flight {
    since: Timestamp,
    began: Timestamp,
    steady: bool,
    from: Option<String>,
    /// Whether it was an ordinary move of a node that stayed reachable since.
    counted: bool,
}

struct Model {
    random: Random,
    now: Timestamp,
    machines: Vec<Machine>,
    /// What nodes of each class shall run.
    desired: Vec<String>,
    bundles: BTreeMap<String, String>,
    /// Cores that nobody can run.
    bad: BTreeSet<String>,
    settings: Settings,
    flights: BTreeMap<String, Flight>,
    /// By core, the nodes that speak against it.
    evidence: BTreeMap<String, BTreeSet<String>>,
    joined: usize,
    log: Vec<String>,
    /// Whether there is a log: a schedule that fails is run again with one.
    tells: bool,
}

fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

impl Model {
    fn new(seed: u64, tells: bool) -> Self {
        let mut random = Random(seed);
        let share = |random: &mut Random| match random.below(3) {
            0 => Share::Count(i32::try_from(random.below(4)).unwrap()),
            1 => Share::Percent("10%".to_owned()),
            _ => Share::Percent("40%".to_owned()),
        };
        let settings = Settings {
            max_unavailable: share(&mut random),
            max_failures: share(&mut random),
            deadline: seconds(DEADLINE),
            grace: seconds(GRACE),
            paused: false,
            frozen: false,
            disabled: false,
            retry: None,
        };
        let mut bundles = BTreeMap::new();
        for core in 0..4 {
            for tenant in 0..2 {
                bundles.insert(format!("b{core}.{tenant}"), format!("core{core}"));
            }
        }
        let mut bad = BTreeSet::new();
        for core in 1..4 {
            if random.one_in(3) {
                bad.insert(format!("core{core}"));
            }
        }
        let mut model = Self {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            machines: Vec::new(),
            desired: vec!["b0.0".to_owned(), "b0.0".to_owned()],
            bundles,
            bad,
            settings,
            flights: BTreeMap::new(),
            evidence: BTreeMap::new(),
            joined: 0,
            log: Vec::new(),
            tells,
            random,
        };
        let canaries = model.random.one_in(2);
        for _ in 0..3 + model.random.below(8) {
            let canary = canaries && model.random.one_in(4);
            model.join(canary, true);
        }
        model
    }

    fn join(&mut self, canary: bool, old: bool) {
        self.joined += 1;
        let temper = match self.random.below(16) {
            0 => Temper::Sick,
            1 => Temper::Silent,
            2 => Temper::Waits,
            _ => Temper::Well,
        };
        let age = if old { 2 * GRACE } else { 0 };
        self.machines.push(Machine {
            name: format!("n{:02}", self.joined),
            canary,
            reachable: true,
            created: self.now - seconds(age),
            class: self.random.below(2),
            temper,
            assigned: None,
            record: None,
            generation: 0,
            word: None,
            broke: None,
        });
    }

    fn core(&self, bundle: &str) -> &str {
        &self.bundles[bundle]
    }

    fn young(&self, machine: &Machine) -> bool {
        self.now < machine.created + seconds(GRACE)
    }

    /// New, and never ready.
    fn joining(&self, machine: &Machine, record: Option<&Record>) -> bool {
        self.young(machine)
            && !Self::is_ready(machine)
            && record
                .is_none_or(|r| r.weight != Weight::Full && r.failed.is_none() && r.from.is_none())
    }

    fn is_ready(machine: &Machine) -> bool {
        let word = machine.word.as_ref();
        word.is_some_and(|(word, about)| *word == Word::Ready && *about == machine.generation)
    }

    fn limit(&self) -> usize {
        let reachable = self.machines.iter().filter(|m| m.reachable).count();
        self.settings.max_unavailable.of(reachable).unwrap().max(1)
    }

    fn most_failures(&self) -> usize {
        let reachable = self.machines.iter().filter(|m| m.reachable).count();
        self.settings.max_failures.of(reachable).unwrap().max(1)
    }

    /// Asks once, checks the answer, and makes it so. How many writes there were.
    fn ask(&mut self) -> usize {
        let writes = self.ask_once();
        let again = self.ask_once();
        assert_eq!(again, 0, "asked again it has more to say: {:#?}", self.log);
        writes
    }

    fn ask_once(&mut self) -> usize {
        self.land_the_late();
        let machines = self.machines.clone();
        let records: Vec<Option<Record>> = machines
            .iter()
            .map(|m| Record::parse(m.record.as_deref()?, m.assigned.as_deref()?))
            .collect();
        let bundles_owned = self.bundles.clone();
        let desired = self.desired.clone();
        let bundles: Bundles<'_> = bundles_owned
            .iter()
            .map(|(name, core)| (name.as_str(), core.as_str()))
            .collect();
        let nodes: Vec<Node<'_>> = machines
            .iter()
            .zip(&records)
            .map(|(m, record)| Node {
                name: &m.name,
                canary: m.canary,
                reachable: m.reachable,
                young: self.young(m),
                desired: Some(&desired[m.class]),
                assigned: m.assigned.as_deref(),
                record: record.as_ref(),
                said: match &m.word {
                    None => Said::Never,
                    Some((_, about)) if *about != m.generation => Said::Nothing,
                    Some((Word::Ready, _)) => Said::Ready,
                    Some((Word::Failed, _)) => Said::Failed("WriteFailed"),
                    Some((Word::Waits, _)) => Said::Waits("Pending"),
                },
                broke: m.broke,
            })
            .collect();
        let settings = self.settings.clone();
        let outcome = step(&nodes, &bundles, &settings, self.now);
        let at = self.now.as_second() - 1_800_000_000;
        note!(
            self,
            (
                "{at}: {} of {} in change, canary {}, halted {:?}",
                outcome.changing,
                outcome.limit,
                outcome.canary,
                outcome.halted
            )
        );
        let begun = self.check(&machines, &records, &outcome);
        for assignment in &outcome.assignments {
            let place = machines.iter().position(|m| m.name == assignment.node);
            self.perform(place.unwrap(), records[place.unwrap()].as_ref(), assignment);
        }
        if begun > 0 && !settings.disabled {
            let (flying, limit) = (self.flying(), self.limit());
            assert!(flying <= limit, "{flying} of {limit}: {:#?}", self.log);
        }
        if settings.disabled {
            for machine in &self.machines {
                let desired = &self.desired[machine.class];
                assert_eq!(machine.assigned.as_ref(), Some(desired), "the stop");
            }
        }
        outcome.assignments.len()
    }

    /// Checks an answer before it is carried out; how many nodes begin to change by it.
    fn check(
        &self,
        machines: &[Machine],
        records: &[Option<Record>],
        outcome: &Outcome<'_>,
    ) -> usize {
        let (mut begun, mut moved) = (0, 0);
        for assignment in &outcome.assignments {
            let place = machines.iter().position(|m| m.name == assignment.node);
            let (machine, record) = (&machines[place.unwrap()], &records[place.unwrap()]);
            let told = if self.tells {
                format!("{assignment:?}\n{:#?}", self.log)
            } else {
                String::new()
            };
            assert!(self.bundles.contains_key(assignment.bundle), "{told}");
            let changes = machine.assigned.as_deref() != Some(assignment.bundle);
            if self.settings.disabled {
                continue;
            }
            assert!(machine.reachable, "unreachable: {told}");
            if self.joining(machine, record.as_ref()) {
                continue;
            }
            let stands = self.settings.paused || self.settings.frozen;
            assert!(!(stands && changes), "it stands still: {told}");
            if !changes {
                continue;
            }
            begun += usize::from(!self.flights.contains_key(&machine.name));
            let to = self.core(assignment.bundle);
            let moves_core = machine
                .assigned
                .as_ref()
                .is_none_or(|assigned| self.core(assigned) != to);
            let goes_back = assignment.bundle != self.desired[machine.class];
            if goes_back {
                let from = record.as_ref().and_then(|r| r.from.as_deref());
                assert_eq!(from, Some(assignment.bundle), "{told}");
            }
            moved += usize::from(!goes_back);
            if !moves_core || goes_back {
                continue;
            }
            // Of a node that went away before it held anybody back nobody knows that it failed.
            let known = |name: &&String| {
                let mut all = machines
                    .iter()
                    .zip(records)
                    .filter(|(m, _)| m.name == **name);
                all.any(|(m, r)| m.reachable || r.as_ref().is_some_and(|r| r.failed.is_some()))
            };
            let against = self.evidence.get(to).into_iter().flatten();
            let against = against.filter(known).count();
            assert!(against < self.most_failures(), "halted: {told}");
            if !machine.canary {
                self.check_canaries(machines, records, &told);
            }
        }
        assert!(moved <= self.limit(), "{moved} at once: {outcome:#?}");
        begun
    }

    fn check_canaries(&self, machines: &[Machine], records: &[Option<Record>], told: &str) {
        for (canary, record) in machines.iter().zip(records) {
            if !canary.canary || !canary.reachable || self.joining(canary, record.as_ref()) {
                continue;
            }
            let desired = self.core(&self.desired[canary.class]);
            let assigned = canary.assigned.as_ref().map(|b| self.core(b));
            let from = record.as_ref().and_then(|r| r.from.as_ref());
            if !Self::is_ready(canary) && from.map(|b| self.core(b)) == Some(desired) {
                // It was ready under that core, and never under another since.
                continue;
            }
            assert_eq!(assigned, Some(desired), "canary {}: {told}", canary.name);
            let flight = self.flights.get(&canary.name);
            let proving = flight.is_some_and(|flight| {
                let waited_for = canary.word.is_some() || self.now < flight.since + seconds(GRACE);
                waited_for && flight.from.as_ref().map(|b| self.core(b)) != Some(desired)
            });
            assert!(!proving, "canary {} is in change: {told}", canary.name);
        }
    }

    fn perform(&mut self, place: usize, before: Option<&Record>, given: &Assignment<'_>) {
        let machine = self.machines[place].clone();
        let joining = self.joining(&machine, before);
        let changes = machine.assigned.as_deref() != Some(given.bundle);
        let renews =
            !changes && before.is_some_and(|r| r.failed.is_some()) && given.record.failed.is_none();
        note!(
            self,
            (
                "{}: {} -> {}{}",
                machine.name,
                machine.assigned.as_deref().unwrap_or("-"),
                given.bundle,
                if given.record.failed.is_some() {
                    " failed"
                } else {
                    ""
                }
            )
        );
        if changes || renews {
            let began = self.flights.get(&machine.name).map(|flight| flight.began);
            let back = given.bundle != self.desired[machine.class];
            self.flights.insert(
                machine.name.clone(),
                Flight {
                    since: self.now,
                    began: began.filter(|_| !back).unwrap_or(self.now),
                    steady: Self::is_ready(&machine) && !self.settings.disabled,
                    from: given.record.from.clone(),
                    counted: machine.reachable && !joining && !self.settings.disabled,
                },
            );
        }
        // A record holds the last failure only.
        let mark = given.record.failed.as_ref();
        for (core, nodes) in &mut self.evidence {
            if mark.is_none_or(|mark| mark.target != *core) {
                nodes.remove(&machine.name);
            }
        }
        let machine = &mut self.machines[place];
        machine.assigned = Some(given.bundle.to_owned());
        machine.generation += u64::from(changes);
        machine.record = Some(given.record.to_text());
    }

    /// Nodes that are waited for no longer.
    fn land_the_late(&mut self) {
        let now = self.now;
        self.flights.retain(|_, flight| {
            now < flight.since + seconds(DEADLINE) && now < flight.began + seconds(2 * DEADLINE)
        });
    }

    /// How many nodes are in change: one that never spoke is waited for within the grace period
    /// only.
    fn flying(&self) -> usize {
        let counts = |(name, flight): &(&String, &Flight)| {
            let machine = self.machines.iter().find(|m| m.name == **name).unwrap();
            let waited_for = machine.word.is_some() || self.now < flight.since + seconds(GRACE);
            flight.counted && waited_for
        };
        self.flights.iter().filter(counts).count()
    }
}

#[test]
fn under_any_schedule_the_limits_hold_and_it_ends() {
    let full = std::env::var("NODESEAL_FULL").is_ok_and(|value| value == "1");
    let schedules = if full { FULL } else { SCHEDULES };
    for seed in 0..schedules {
        let caught = std::panic::catch_unwind(|| Model::new(seed, false).run());
        if caught.is_err() {
            Model::new(seed, true).run();
            panic!("schedule {seed} failed once only");
        }
    }
}
