//! The size that the design promises: 5,000 nodes and 1,000 policies.

use std::time::Instant;

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
