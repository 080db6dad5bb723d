//! The product's taints on a node.
//!
//! `spec.taints` is one atomic list that the kubelet and the node controller write as well. So it is
//! read, changed in the two places that are the product's, and written back only if the node is
//! still as it was read; otherwise the write fails and is tried again.

use k8s_openapi::api::core::v1::Taint;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::index::{EFFECT, NOT_ENFORCING, NOT_READY, Taints};
use crate::node_view::NodeView;
use crate::writer::FIELD_MANAGER;

/// Lets the node have these taints, and says how it is then; nothing where it is another node by
/// now.
pub(crate) async fn taint(
    client: Client,
    name: &str,
    uid: &str,
    taints: Taints,
) -> Result<Option<NodeView>, kube::Error> {
    let api = Api::<NodeView>::all(client);
    let node = api.get(name).await?;
    if node.metadata.uid.as_deref() != Some(uid) {
        return Ok(None);
    }
    let before = &node.spec.taints;
    let after = with(before, taints);
    if after == *before {
        return Ok(Some(node));
    }
    let patch = json!({
        "metadata": { "uid": uid, "resourceVersion": node.metadata.resource_version },
        "spec": { "taints": after },
    });
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch(name, &params, &Patch::Merge(patch))
        .await
        .map(Some)
}

/// All other taints as they are, and of the product's those that are wanted.
fn with(before: &[Taint], wanted: Taints) -> Vec<Taint> {
    let both = [
        (NOT_READY, wanted.not_ready),
        (NOT_ENFORCING, wanted.not_enforcing),
    ];
    let is = |taint: &Taint, key: &str| taint.key == key && taint.effect == EFFECT;
    let unwanted = |taint: &Taint| both.iter().any(|(key, on)| !on && is(taint, key));
    let kept = before.iter().filter(|taint| !unwanted(taint)).cloned();
    let missing = both
        .iter()
        .filter(|(key, on)| *on && !before.iter().any(|taint| is(taint, key)));
    let new = missing.map(|(key, _)| Taint {
        key: (*key).to_owned(),
        effect: EFFECT.to_owned(),
        ..Taint::default()
    });
    kept.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, effect: &str) -> Taint {
        Taint {
            key: key.to_owned(),
            effect: effect.to_owned(),
            value: Some("kept".to_owned()),
            ..Taint::default()
        }
    }

    #[test]
    fn only_the_two_taints_with_their_effect_are_ours() {
        let others = [
            taint("node.kubernetes.io/not-ready", EFFECT),
            taint(NOT_READY, "NoExecute"),
            taint("nodeseal.dev/other", EFFECT),
        ];
        let none = Taints::default();
        let both = Taints {
            not_ready: true,
            not_enforcing: true,
        };
        assert_eq!(with(&others, none), others);
        let tainted = with(&others, both);
        assert_eq!(tainted[..3], others);
        let keys: Vec<&str> = tainted[3..].iter().map(|t| t.key.as_str()).collect();
        assert_eq!(keys, [NOT_READY, NOT_ENFORCING]);
        assert_eq!(with(&tainted, both), tainted);
        assert_eq!(with(&tainted, none), others);

        // One that a kubelet registered with is as good, whatever its value.
        let registered = [taint(NOT_READY, EFFECT), taint("x", EFFECT)];
        assert_eq!(with(&registered, both)[..2], registered);
        let only = Taints {
            not_ready: false,
            not_enforcing: true,
        };
        let keys: Vec<String> = with(&registered, only).into_iter().map(|t| t.key).collect();
        assert_eq!(keys, ["x", NOT_ENFORCING]);
    }
}
