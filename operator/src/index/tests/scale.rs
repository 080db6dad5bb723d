//! The size that the design promises: 5,000 nodes and 1,000 policies.

use std::time::Instant;

use crds::types::RefusedImage;

use super::world::{World, cluster, kinds, selecting, spec};

#[test]
#[ignore = "a measurement: cargo test --release -p operator -- --ignored --nocapture scale"]
fn five_thousand_nodes_and_a_thousand_policies() {
    let mut world = World::new();
    for n in 0..5000 {
        let pool = format!("pool-{}", n % 10);
        world.join(&format!("node-{n:04}"), &[("pool", &pool)]);
    }
    for n in 0..1000 {
        let mut spec = spec(&format!("registry.example/team-{n}"));
        if n % 2 == 0 {
            spec = selecting(spec, "pool", &format!("pool-{}", n % 10));
        }
        world.apply_policy(&cluster(&format!("p-{n}")), spec);
    }
    let timed = |what: &str, world: &mut World| {
        let began = Instant::now();
        let writes = world.ask();
        println!("{what}: {} writes, {:?}", writes.len(), began.elapsed());
        for write in &writes {
            world.perform(write);
        }
        writes
    };
    let writes = timed("first look", &mut world);
    assert_eq!(writes.len(), 1000 + 6, "even pools differ, odd ones do not");
    assert_eq!(timed("nodes are pointed", &mut world).len(), 5000);
    world.agents_apply();
    timed("all applied", &mut world);
    assert_eq!(timed("steady", &mut world), []);
    world.apply_policy(&cluster("p-1"), spec("registry.example/other"));
    let writes = timed("one policy changed", &mut world);
    assert_eq!(kinds(&writes).iter().filter(|k| *k == "create").count(), 6);
    assert_eq!(timed("nodes are pointed", &mut world).len(), 5000);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status.lines().find(|line| line.starts_with("VmRSS"));
    println!(
        "{} (with the test's own copy of all objects)",
        memory.unwrap_or_default()
    );
}

#[test]
#[ignore = "a measurement: cargo test --release -p operator -- --ignored --nocapture scale"]
fn five_thousand_nodes_that_refuse_ten_images_each() {
    let mut world = World::new();
    for n in 0..5000 {
        world.join(&format!("node-{n:04}"), &[]);
    }
    for n in 0..1000 {
        let scope = format!("registry.example/team-{n}");
        world.apply_policy(&cluster(&format!("p-{n}")), spec(&scope));
    }
    world.settle();
    world.agents_apply();
    world.later();
    let began = Instant::now();
    assert_eq!(world.ask(), []);
    println!("nothing refused: {:?}", began.elapsed());
    let nodes: Vec<String> = world.node_policies.keys().cloned().collect();
    for (n, node) in nodes.iter().enumerate() {
        let mut own = world.node_policies[node].clone();
        own.news.refused = (0..10)
            .map(|m| RefusedImage {
                image: format!("registry.example/team-{}/app-{n}:{m}", (n + m) % 1000),
                reason: "NoSignature".to_owned(),
            })
            .collect();
        world.change_node_policy(own);
    }
    let began = Instant::now();
    let writes = world.later();
    println!(
        "fifty thousand: {} events, {:?}",
        writes.len(),
        began.elapsed()
    );
    assert_eq!(writes.len(), 3 * 60, "60 a minute");
    let began = Instant::now();
    assert_eq!(world.ask(), []);
    println!("nothing new: {:?}", began.elapsed());
}
