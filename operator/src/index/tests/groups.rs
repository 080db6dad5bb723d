//! Statuses from groups of nodes are those from the nodes one by one.

use policy::aggregate::{Finding, Member, Truth};
use policy::problem::Reason;

use super::world::{World, cluster, selecting, spec};
use crate::index::Runtime;
use crate::index::group::{Alike, View, groups};
use crate::index::select::Classes;

/// Each node by itself.
fn one_by_one(views: Vec<View<'_>>) -> Vec<Alike<'_>> {
    let alone = views.into_iter().map(|view| Alike {
        members: vec![Member {
            name: &view.node.name,
            report: view.report(),
        }],
        like: view,
    });
    alone.collect()
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn disturb(world: &mut World, dice: &mut Dice, name: &str) {
    let mut own = world.node_policies[name].clone();
    let tone = dice.roll(3);
    if let Some(report) = &mut own.report {
        let (reason, message) = match dice.roll(6) {
            0 => ("WriteFailed", format!("words {tone}")),
            1 => ("Pending", "a restart is due".to_owned()),
            2 => ("StaleImages", "images".to_owned()),
            _ => ("Applied", String::new()),
        };
        if reason != "Applied" {
            report.applied = Truth::False;
            report.ready = Truth::False;
            report.applied_finding = Finding::new(reason, message);
        }
        if dice.roll(8) == 0 {
            report.enforcing = Truth::False;
            report.enforcing_finding = Finding::new("Bypassed", format!("seen {tone}"));
        }
    }
    if dice.roll(6) == 0 {
        own.report = None;
    }
    if dice.roll(8) == 0 {
        let why = format!("detail {tone}");
        own.not_enforcing = Some(Finding::new(Reason::NotEnforcing.as_str(), why));
    }
    if dice.roll(6) == 0 {
        let id = cluster(&format!("p-{}", dice.roll(6)));
        own.unsupported
            .insert(id, Finding::new("TooLarge", "by the agent"));
    }
    if dice.roll(6) == 0 {
        own.applied = Some("sha256-gone".to_owned());
    }
    let versions = ["2.2.1", "2.0.0", ""];
    own.runtime = Some(Runtime {
        name: "containerd".to_owned(),
        version: versions[usize::try_from(dice.roll(3)).unwrap_or_default()].to_owned(),
    });
    world.change_node_policy(own);
}

#[test]
fn groups_of_nodes_come_to_the_statuses_that_nodes_come_to_one_by_one() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let mut world = World::new();
        for n in 0..40 {
            let (pool, zone) = (dice.roll(3).to_string(), dice.roll(3).to_string());
            world.join(&format!("n-{n:02}"), &[("pool", &pool), ("zone", &zone)]);
        }
        for n in 0..6 {
            let mut spec = spec(&format!("registry.example/{n}"));
            if dice.roll(2) == 0 {
                spec = selecting(spec, "pool", &dice.roll(3).to_string());
            }
            world.apply_policy(&cluster(&format!("p-{n}")), spec);
        }
        world.settle();
        world.agents_apply();
        world.settle();
        let names: Vec<String> = world.node_policies.keys().cloned().collect();
        for name in &names {
            if dice.roll(2) == 0 {
                disturb(&mut world, &mut dice, name);
            }
        }
        // One is kept in its last valid form, which only nodes that have it keep.
        let broken = selecting(spec("docker.io/busybox"), "pool", "1");
        world.apply_policy(&cluster("p-0"), broken);
        world.apply_policy(&cluster("p-1"), spec("registry.example/changed"));
        world.ask();

        let now = world.now;
        let index = &mut world.index;
        let policies = index.policies().cloned().collect::<Vec<_>>();
        let nodes = index.nodes.iter().cloned().collect::<Vec<_>>();
        let classes = Classes::new(nodes.iter(), policies.iter(), None);
        let selections = index.selections(&classes);
        let plan = index.plan(&classes, &selections, now);
        let together = index.statuses_of(&classes, &selections, &plan, groups, now);
        let alone = index.statuses_of(&classes, &selections, &plan, one_by_one, now);
        assert_eq!(together.len(), 6);
        assert_eq!(together, alone, "seed {seed}");
    }
}
