use serde_json::{Value, json};

use crate::output::Paint;
use crate::status::testing::{GOOD_NODE, GOOD_POLICY, World};
use crate::status::text;
use crate::status::view::{All, SHOWN, State, View, view};

fn none() -> Value {
    json!({})
}

fn look(world: &World) -> View {
    view(&world.0, All::default())
}

fn text(world: &World) -> String {
    text::overview(&look(world), Paint::plain()).join("\n")
}

#[test]
fn a_cluster_in_order_is_ready_in_a_few_lines() {
    let world = World::default()
        .policy("p", "2/2", GOOD_POLICY, &none())
        .policy(
            "team-a/own",
            "2/2",
            GOOD_POLICY,
            &json!({ "spec": { "mode": "Audit" } }),
        )
        .good_node("n-1")
        .good_node("n-2")
        .root("sigstore", &["Ready True Ready"])
        .config(&json!({ "defaultAction": "Reject" }));
    assert!(look(&world).ready);
    let expected = "\
ready: policies 2/2 ready, nodes 2/2 ready, trust roots 1/1 ready · enforcement Enabled · default Reject · 10% at once

POLICY      READY  NODES  MODE     REASON
p           True   2/2    Enforce  Ready
team-a/own  True   2/2    Audit    Ready

NODE  RUNTIME     VERSION  DESIRED       APPLIED       READY  REASON
n-1   containerd  2.2.1    111111111111  111111111111  True   Ready
n-2   containerd  2.2.1    111111111111  111111111111  True   Ready

TRUST ROOT  READY  SOURCE  EXPIRES     REASON
sigstore    True   tuf     2027-05-06  Ready";
    assert_eq!(text(&world), expected);
}

#[test]
fn what_lags_stands_first_with_why_and_what_to_do() {
    let rolling = "RollingOut: 1/4 nodes run it";
    let failed = "NodesFailed: 1 of 4 nodes failed: n-3 (ReloadFailed)";
    let world = World::default()
        .policy("a-fine", "4/4", GOOD_POLICY, &none())
        .policy(
            "rolls",
            "1/4",
            &[
                &format!("Ready False {rolling}"),
                &format!("Reconciling True {rolling}"),
            ],
            &none(),
        )
        .policy(
            "fails",
            "3/4",
            &[
                &format!("Ready False {failed}"),
                &format!("Reconciling True {failed}"),
            ],
            &none(),
        )
        .policy(
            "wrong",
            "4/4",
            &[
                "Ready False InvalidScope: write docker.io/library/busybox",
                "Stalled True InvalidScope: write it",
            ],
            &none(),
        )
        .policy(
            "new",
            "0/0",
            &[],
            &json!({ "status": { "observedGeneration": 1 } }),
        )
        .good_node("n-1")
        .node("n-2", 2, 1, GOOD_NODE, &none())
        .node(
            "n-3",
            2,
            1,
            &[
                "Applied False ReloadFailed: crio said no",
                "Ready False ReloadFailed: crio said no",
            ],
            &none(),
        )
        .node(
            "n-4",
            1,
            1,
            &[
                "Applied False Pending: containerd has to be restarted",
                "Enforcing False NotEnforcing: not yet",
                "Ready False Pending: containerd has to be restarted",
            ],
            &none(),
        )
        .config(&json!({ "rollout": { "paused": true, "maxUnavailable": 3 } }));
    let view = look(&world);
    assert!(!view.ready);
    let policies: Vec<_> = view
        .policies
        .items
        .iter()
        .map(|row| (row.policy.as_str(), row.state))
        .collect();
    let expected = [
        ("fails", State::Failed),
        ("wrong", State::Failed),
        ("new", State::Waiting),
        ("rolls", State::Waiting),
        ("a-fine", State::Ready),
    ];
    assert_eq!(policies, expected);
    let expected = "\
NOT READY: policies 1/5 ready (2 failed) (2 waiting), nodes 1/4 ready (1 failed) (2 waiting) · enforcement Enabled · default Allow · 3 at once · rollouts paused
[#######!!!!!!!----------------] 1/4 nodes, 25 %

POLICY  READY    NODES  MODE     REASON
fails   False    3/4    Enforce  NodesFailed
wrong   False    4/4    Enforce  InvalidScope
new     Unknown  0/0    Enforce  NotSeen
rolls   False    1/4    Enforce  RollingOut
a-fine  True     4/4    Enforce  Ready

NODE  RUNTIME     VERSION  DESIRED       APPLIED       READY  REASON
n-3   containerd  2.2.1    222222222222  111111111111  False  ReloadFailed
n-2   containerd  2.2.1    222222222222  111111111111  True   RollingOut
n-4   containerd  2.2.1    111111111111  111111111111  False  Pending
n-1   containerd  2.2.1    111111111111  111111111111  True   Ready

WHAT LAGS
policy fails: NodesFailed: 1 of 4 nodes failed: n-3 (ReloadFailed) → nodeseal status fails
policy wrong: InvalidScope: write docker.io/library/busybox
policy new: NotSeen: the operator has not answered to it yet: see whether it runs, `kubectl -n nodeseal-system get pods`
policy rolls: RollingOut: 1/4 nodes run it → nodeseal status rolls
node n-3: ReloadFailed: crio said no → kubectl describe nodeimagepolicy n-3
node n-4: Pending: containerd has to be restarted → kubectl describe nodeimagepolicy n-4
node n-2: RollingOut: the agent has not applied its bundle yet → nothing to do unless it stays so";
    assert_eq!(text(&world), expected);
}

#[test]
fn the_emergency_stop_is_never_ready() {
    let world = World::default()
        .policy("p", "1/1", GOOD_POLICY, &none())
        .good_node("n-1")
        .config(&json!({ "enforcement": "Disabled" }));
    assert!(!look(&world).ready);
    let text = text(&world);
    assert!(
        text.contains("\nDisabled: the emergency stop is on"),
        "{text}"
    );
}

#[test]
fn a_status_about_an_older_spec_says_nothing_about_this_one() {
    let world = World::default()
        .policy(
            "p",
            "1/1",
            GOOD_POLICY,
            &json!({ "status": { "observedGeneration": 1 } }),
        )
        .good_node("n-1");
    let view = look(&world);
    assert!(!view.ready && view.policies.items[0].reason == "NotSeen");
    let world = World::default().node(
        "n-1",
        1,
        1,
        GOOD_NODE,
        &json!({ "status": { "observedGeneration": 0 } }),
    );
    assert_eq!(look(&world).nodes.items[0].reason, "RollingOut");
}

#[test]
fn a_policy_that_is_in_force_and_stalled_needs_a_person() {
    let stalled = [
        "Ready True Ready",
        "Stalled True ConfigDeleted: apply it again",
    ];
    let world = World::default()
        .policy("p", "1/1", &stalled, &none())
        .good_node("n-1");
    let view = look(&world);
    assert!(!view.ready);
    assert_eq!(view.policies.items[0].reason, "ConfigDeleted");
}

#[test]
fn a_node_whose_runtime_calls_no_verifier_or_whose_agent_is_silent_is_not_ready() {
    let silent = json!({ "status": null });
    let runtime = json!({ "status": { "runtime": { "enforcement": "None", "detail": "containerd 1.7 calls none" } } });
    let world = World::default()
        .node("old", 1, 1, GOOD_NODE, &runtime)
        .node("silent", 1, 1, &[], &silent);
    let view = look(&world);
    let found: Vec<_> = view
        .nodes
        .items
        .iter()
        .map(|row| (row.reason.as_str(), row.state))
        .collect();
    assert_eq!(
        found,
        [
            ("NotEnforcing", State::Failed),
            ("NotReported", State::Waiting)
        ]
    );
    assert_eq!(view.nodes.items[0].message, "containerd 1.7 calls none");
}

#[test]
fn objects_that_cannot_be_read_are_shown_as_such() {
    let world = World::default()
        .policy("p", "1/1", GOOD_POLICY, &json!({ "spec": { "scopes": 7 } }))
        .node("n-1", 1, 1, GOOD_NODE, &json!({ "spec": { "bundle": 7 } }));
    let view = look(&world);
    assert!(!view.ready);
    assert_eq!(view.policies.items[0].reason, "Unreadable");
    assert_eq!(view.nodes.items[0].reason, "Unreadable");
}

#[test]
fn a_large_cluster_is_told_in_a_page_with_the_worst_first() {
    let mut world = World::default();
    for number in 0..5000 {
        let name = format!("n-{number:04}");
        world = match number % 1000 {
            999 => world.node(
                &name,
                1,
                1,
                &["Applied False WriteFailed: disk full"],
                &none(),
            ),
            _ => world.good_node(&name),
        };
    }
    for number in 0..1000 {
        world = world.policy(&format!("p-{number:03}"), "5000/5000", GOOD_POLICY, &none());
    }
    let view = look(&world);
    assert_eq!(view.nodes.items.len(), SHOWN);
    assert_eq!(view.nodes.items[0].node, "n-0999");
    assert_eq!((view.nodes.hidden, view.policies.hidden), (4980, 980));
    assert_eq!((view.nodes.count.failed, view.nodes.count.total), (5, 5000));
    let lag = &view.lagging[0];
    assert_eq!((lag.count, lag.names.len()), (5, 3));
    let lines = text::overview(&view, Paint::plain());
    assert!(lines.len() < 60, "{}", lines.len());
    assert!(
        lines
            .iter()
            .any(|line| line == "… and 4980 more nodes (--nodes shows them)")
    );
    let all = crate::status::view::view(
        &world.0,
        All {
            policies: true,
            nodes: true,
        },
    );
    assert_eq!(
        (all.nodes.items.len(), all.policies.items.len()),
        (5000, 1000)
    );
}

#[test]
fn what_an_agent_writes_moves_no_cursor() {
    let world = World::default().node(
        "n-1",
        1,
        1,
        &["Applied False WriteFailed: \u{1b}[2J\u{1b}[31mall is well"],
        &none(),
    );
    let text = text(&world);
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn notes_tell_of_agents_of_several_versions_and_of_unverified_images() {
    let world = World::default().good_node("n-1").node(
        "n-2",
        1,
        1,
        GOOD_NODE,
        &json!({ "status": { "agentVersion": "0.2.0", "unverified": { "count": 4 } } }),
    );
    let view = look(&world);
    assert!(view.ready);
    assert_eq!(view.notes.len(), 2);
    assert!(
        view.notes[0].starts_with("on 1 nodes there are 4 covered images"),
        "{:?}",
        view.notes
    );
    assert_eq!(
        view.notes[1],
        "nodes have agents of several versions: 0.1.0 on 1, 0.2.0 on 1"
    );
}

#[test]
fn the_document_has_a_fixed_shape() {
    let world = World::default()
        .policy("p", "1/1", GOOD_POLICY, &none())
        .good_node("n-1");
    let json = serde_json::to_value(look(&world)).unwrap();
    assert_eq!(json["ready"], true);
    assert_eq!(
        json["policies"]["items"][0],
        json!({
            "policy": "p", "state": "ready", "status": "True", "nodes": "1/1", "mode": "Enforce",
            "reason": "Ready", "message": "the policy is in force",
            "failed": 0, "unsupported": 0, "unreachable": 0,
        })
    );
    assert_eq!(json["nodes"]["total"], 1);
    assert_eq!(json["nodes"]["hidden"], 0);
    let keys: Vec<&String> = json["nodes"]["items"][0]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        keys,
        [
            "applied",
            "desired",
            "enforcing",
            "message",
            "node",
            "reason",
            "runtime",
            "state",
            "status",
            "version"
        ]
    );
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "configuration",
            "lagging",
            "nodes",
            "notes",
            "policies",
            "ready",
            "trustRoots"
        ]
    );
}
