use serde_json::json;

use crate::output::Paint;
use crate::status::testing::{GOOD_NODE, World};
use crate::status::text;
use crate::status::view::detail;

#[test]
fn a_policy_is_told_with_its_conditions_its_failing_nodes_and_its_runtimes() {
    let failed = "NodesFailed: 1 of 3 nodes failed";
    let status = json!({ "status": {
        "digest": "sha256:00",
        "nodes": { "failed": 12, "unsupported": 1 },
        "failing": [{ "node": "n-2", "reason": "ReloadFailed", "message": "crio said no" }],
    }});
    let unsupported = json!({ "status": {
        "runtime": { "name": "cri-o", "version": "1.31.0", "enforcement": "Partial" },
        "unsupported": { "count": 2, "first": [
            { "policy": "p", "reason": "NotExpressible" },
            { "policy": "p", "reason": "AuditUnsupported" },
            { "policy": "p", "namespace": "team", "reason": "Other" },
        ]},
    }});
    let world = World::default()
        .policy(
            "p",
            "1/3",
            &[
                "Accepted True Valid: the spec is valid",
                &format!("Ready False {failed}"),
            ],
            &status,
        )
        .good_node("n-1")
        .node(
            "n-2",
            2,
            1,
            &["Applied False ReloadFailed: crio said no"],
            &json!({}),
        )
        .node("n-3", 1, 1, GOOD_NODE, &unsupported);
    let (id, object) = world.get("p");
    let detail = detail(&world.0, &id, object);
    assert!(!detail.ready);
    let expected = "\
p  NOT READY  1/3 nodes, Enforce
covers registry.example.com/team

CONDITION  STATUS  REASON       MESSAGE
Accepted   True    Valid        the spec is valid
Ready      False   NodesFailed  1 of 3 nodes failed

FAILING NODE  REASON        MESSAGE
n-2           ReloadFailed  crio said no
… and 11 more nodes that failed

RUNTIME           NODES  READY  CANNOT ENFORCE IT
containerd 2.2.1  2      1      -
cri-o 1.31.0      1      1      NotExpressible on 1";
    assert_eq!(text::detail(&detail, Paint::plain()).join("\n"), expected);
    let json = serde_json::to_value(&detail).unwrap();
    assert_eq!(json["ready"], false);
    assert_eq!(json["policy"], "p");
    assert_eq!(json["runtimes"][1]["cannot"]["NotExpressible"], 1);
    assert_eq!(json["conditions"][0]["type"], "Accepted");
}

#[test]
fn a_policy_that_the_operator_has_not_seen_says_so() {
    let unseen = json!({ "status": null });
    let world = World::default().policy("team/own", "0/0", &[], &unseen);
    let (id, object) = world.get("team/own");
    let detail = detail(&world.0, &id, object);
    assert!(!detail.ready && !detail.observed);
    let text = text::detail(&detail, Paint::plain()).join("\n");
    assert!(
        text.starts_with("team/own  on its way  - nodes, Enforce\n"),
        "{text}"
    );
    assert!(
        text.contains("NotSeen: the operator has not answered"),
        "{text}"
    );
}
