//! What the node brings along: its own policy.json, its version, and what it cannot express.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use policy::model::{Mode, OnUnsupported};
use serde_json::json;

use super::{REJECTED, STRANGER, UNSIGNED};
use crate::case::{Case, With as _, policy};
use crate::world::World;

const NODES_OWN: &str = "the node's own policy.json is a layer that only CRI-O has";

pub(super) async fn cases(world: &World) -> Result<Vec<Case>> {
    let [a, b, _] = &world.signers;
    let scope = world.scope("node");
    let unsigned = world.image("node/unsigned", "v1").await?;
    let by_a = world.signed("node/app", "v1", &[a]).await?;
    let by_both = world.signed("node/both", "v1", &[a, b]).await?;
    let wants_a = policy("p", &[&scope]).by(&a.pem);
    let mut cases = base_layer(world, &wants_a, &by_a, &by_both);

    let host = world.registry.host();
    let shared = |what| Case::new(what, &by_a).policy(&wants_a);
    cases.extend([
        shared("another file already looks for attachments there")
            .beside(&scope, "use-sigstore-attachments: true"),
        shared("another file looks for no attachments there")
            .beside(&scope, "use-sigstore-attachments: false")
            .refused(UNSIGNED)
            .differs("ForeignOwner is reported: what another file says is not touched"),
        shared("another file looks for no attachments above")
            .beside(&host, "use-sigstore-attachments: false"),
    ]);

    let audit = {
        let mut audit = wants_a.clone();
        audit.requirement.mode = Mode::Audit;
        audit
    };
    let any_of_two = policy("p", &[&scope]).by(&a.pem).by(&b.pem);
    let strict = {
        let mut strict = any_of_two.clone();
        strict.on_unsupported = OnUnsupported::Reject;
        strict
    };
    let needs_version = "this version knows no list of keys, and the verifier does";
    cases.extend([
        Case::new("a policy in audit mode denies nothing", &unsigned).policy(&audit),
        Case::new("beside an audit the default action holds", &unsigned)
            .policy(&audit)
            .reject()
            .refused(REJECTED),
        Case::new("what a version cannot express is left out", &unsigned)
            .policy(&any_of_two)
            .version(31)
            .differs(needs_version),
        Case::new("what a version cannot express is refused on demand", &by_a)
            .policy(&strict)
            .version(31)
            .refused(REJECTED)
            .differs(needs_version),
        Case::new("what a version can express is verified", &by_a)
            .policy(&strict)
            .version(32),
        Case::new("one key is known to old versions", &unsigned)
            .policy(&wants_a)
            .version(25)
            .refused(UNSIGNED),
    ]);
    Ok(cases)
}

fn base_layer(
    world: &World,
    wants_a: &policy::model::PolicyDraft,
    by_a: &e2e::Image,
    by_both: &e2e::Image,
) -> Vec<Case> {
    let [_, b, _] = &world.signers;
    let scope = world.scope("node");
    let accept = json!([{"type": "insecureAcceptAnything"}]);
    let rejects = json!({
        "default": accept,
        "transports": {"docker": {&scope: [{"type": "reject"}]}},
    })
    .to_string();
    let closed = json!({"default": [{"type": "reject"}]}).to_string();
    let key = json!([{
        "type": "sigstoreSigned",
        "keyData": STANDARD.encode(&b.pem),
        "signedIdentity": {"type": "matchRepository"},
    }]);
    let wants_b = json!({
        "default": accept,
        "transports": {"docker": {world.registry.host(): key}},
    })
    .to_string();
    vec![
        Case::new("the node refuses what our policy would pass", by_a)
            .policy(wants_a)
            .base(&rejects)
            .refused(REJECTED)
            .differs(NODES_OWN),
        Case::new("the node's default is reject and stays so", by_a)
            .policy(wants_a)
            .base(&closed)
            .refused(REJECTED)
            .differs(NODES_OWN),
        Case::new("an exemption does not open what the node closes", by_a)
            .exempt(&scope)
            .reject()
            .base(&rejects)
            .refused(REJECTED)
            .differs(NODES_OWN),
        Case::new("the node's own key counts beside ours", by_a)
            .policy(wants_a)
            .base(&wants_b)
            .refused(STRANGER)
            .differs(NODES_OWN),
        Case::new("signed by the node's own key and by ours", by_both)
            .policy(wants_a)
            .base(&wants_b),
        Case::new("a namespace's file has the node's layer too", by_a)
            .policy(&wants_a.clone().namespaced("team"))
            .namespace("team")
            .base(&rejects)
            .refused(REJECTED)
            .differs(NODES_OWN),
    ]
}
