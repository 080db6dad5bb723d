use std::collections::BTreeMap;

use serde_json::json;

use super::super::testing::{GOOD_NODE, GOOD_POLICY, World};
use super::super::view::{All, view};
use super::*;

fn shown(world: &World) -> Shown {
    Shown::View(Box::new(view(&world.0, All::default())))
}

#[test]
fn only_what_is_new_is_a_line() {
    let rolling = "RollingOut: 0/1 nodes run it";
    let rolling = [
        format!("Ready False {rolling}"),
        format!("Reconciling True {rolling}"),
    ];
    let rolling: Vec<&str> = rolling.iter().map(String::as_str).collect();
    let world = || World::default().policy("fine", "1/1", GOOD_POLICY, &json!({}));
    let before = shown(&world().policy("p", "0/1", &rolling, &json!({})).node(
        "n-1",
        2,
        1,
        GOOD_NODE,
        &json!({}),
    ));
    let after = shown(
        &world()
            .policy("p", "1/1", GOOD_POLICY, &json!({}))
            .good_node("n-1"),
    );
    assert_eq!(
        news(None, &before),
        [
            "policy p: Ready False RollingOut, 0/1 nodes",
            "policy fine: Ready True Ready, 1/1 nodes",
            "policies 1/2 ready (1 waiting), nodes 0/1 ready (1 waiting)",
        ]
    );
    assert_eq!(news(Some(&before), &before), [""; 0]);
    assert_eq!(
        news(Some(&before), &after),
        [
            "policy p: Ready True Ready, 1/1 nodes",
            "policies 2/2 ready, nodes 1/1 ready",
        ]
    );
}

#[test]
fn a_list_replaces_what_there_was_of_its_kind_only() {
    let world = World::default()
        .policy("p", "1/1", GOOD_POLICY, &json!({}))
        .policy("team/own", "1/1", GOOD_POLICY, &json!({}));
    let mut snapshot = world.0;
    let mut connection = Connection::default();
    let names = |snapshot: &Snapshot| {
        snapshot
            .policies
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    apply(
        &mut snapshot,
        &mut connection,
        Event::ClusterPolicy(Change::Reset(Vec::new())),
    );
    assert_eq!(names(&snapshot), ["team/own"]);
    let id = PolicyId::Cluster {
        name: "q".to_owned(),
    };
    apply(
        &mut snapshot,
        &mut connection,
        Event::ClusterPolicy(Change::Put(id, PolicyObject::default())),
    );
    apply(
        &mut snapshot,
        &mut connection,
        Event::Policy(Change::Reset(Vec::new())),
    );
    assert_eq!(names(&snapshot), ["q"]);
    let config = || ("default".to_owned(), ConfigObject::default());
    apply(
        &mut snapshot,
        &mut connection,
        Event::Config(Change::Reset(vec![config()])),
    );
    assert!(snapshot.config.is_some());
    apply(
        &mut snapshot,
        &mut connection,
        Event::Config(Change::Remove("default".to_owned())),
    );
    assert!(snapshot.config.is_none());
}

#[test]
fn a_connection_is_back_when_all_kinds_are_heard_of_again() {
    let mut map: BTreeMap<String, NodeObject> = BTreeMap::new();
    let mut connection = Connection::default();
    let lost = || Change::Lost(Trouble::Unreachable("gone".to_owned()));
    put(&mut map, &mut connection, 2, lost(), true);
    put(&mut map, &mut connection, 3, lost(), true);
    put(
        &mut map,
        &mut connection,
        2,
        Change::Reset(Vec::new()),
        true,
    );
    let (_, why) = connection.why.clone().unwrap();
    assert!(why.contains("cannot be reached: gone"), "{why}");
    put(
        &mut map,
        &mut connection,
        3,
        Change::Reset(Vec::new()),
        true,
    );
    assert_eq!(connection.why, None);
}
