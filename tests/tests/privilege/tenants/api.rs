//! What the API server does not let him write.

use anyhow::Result;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;

use super::{OWN, Scene, VICTIM, VICTIMS};
use crate::lab::{NAMESPACE, OPERATOR, pem, policy, refusal};

pub(super) async fn attempts(scene: &mut Scene) -> Result<()> {
    others_policies(scene).await?;
    own_status(scene).await?;
    objects_of_the_cluster(scene).await?;
    events(scene).await?;
    identities(scene).await?;
    more_rights(scene).await
}

async fn others_policies(scene: &mut Scene) -> Result<()> {
    let inline = json!({ "data": pem() });
    let theirs = policy(VICTIM, "p", &["registry.example"], &inline);
    let said = scene.refused("another's policy", &theirs).await;
    let audit = json!({ "spec": { "mode": "Audit" } });
    assert!(scene.patch(VICTIMS, &audit).await.is_err());
    scene.tell("to change a policy of another namespace", said);
    let clusters = policy("", "p", &["registry.example"], &inline);
    let said = scene.refused("a cluster policy", &clusters).await;
    scene.tell("to write a policy of the cluster", said);
    Ok(())
}

/// He may write his policy's spec, and what he writes beside it is nothing.
async fn own_status(scene: &mut Scene) -> Result<()> {
    let mut object = policy(
        OWN,
        "forged",
        &["busybox.example"],
        &json!({ "data": pem() }),
    );
    object["status"] = json!({ "digest": "sha256:forged" });
    let written = scene.write(&object).await?;
    // What the definition has by default, which says that nobody has looked at it.
    let fresh = json!({ "observedGeneration": -1 });
    assert_eq!(written["status"], fresh, "{written}");
    let api = crate::lab::api_of(
        &scene.attacker,
        crds::API_VERSION,
        "ImageSignaturePolicy",
        OWN,
    );
    let patch = kube::api::Patch::Merge(json!({ "status": { "digest": "sha256:forged" } }));
    let answer = api
        .patch_status("forged", &kube::api::PatchParams::default(), &patch)
        .await;
    let said = refusal(answer);
    assert!(said.contains("forbidden"), "{said}");
    scene.tell("to forge the status of his own policy", said);
    Ok(())
}

async fn objects_of_the_cluster(scene: &mut Scene) -> Result<()> {
    let digest = format!("sha256-{}", "0".repeat(64));
    for (attempt, kind, name, spec) in [
        (
            "to give a node another bundle",
            "NodeImagePolicy",
            "a",
            json!({ "bundle": digest }),
        ),
        (
            "to write a bundle",
            "PolicyBundle",
            digest.as_str(),
            json!({ "format": 1, "data": "AAAA" }),
        ),
        (
            "to write a trust root",
            "TrustRoot",
            "sigstore",
            json!({ "trustedRoot": { "data": "{}" } }),
        ),
        (
            "to disable enforcement",
            "EnforcementConfig",
            "default",
            json!({ "enforcement": "Disabled" }),
        ),
    ] {
        let object = json!({
            "apiVersion": crds::API_VERSION, "kind": kind,
            "metadata": { "name": name }, "spec": spec,
        });
        let said = scene.refused(attempt, &object).await;
        assert!(said.contains("forbidden"), "{said}");
        scene.tell(attempt, said);
    }
    let untaint = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "a" }, "spec": { "taints": [] },
    });
    let said = scene.refused("taints", &untaint).await;
    scene.tell("to take the taints off a node", said);
    Ok(())
}

async fn events(scene: &mut Scene) -> Result<()> {
    let event = |namespace: &str| {
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": { "name": "forged", "namespace": namespace },
            "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "action": "Forge",
            "reason": "Forged", "reportingController": "nodeseal.dev/operator",
            "reportingInstance": "x",
            "regarding": {
                "apiVersion": crds::API_VERSION, "kind": "ClusterImageSignaturePolicy", "name": "p",
            },
        })
    };
    // Cluster-scoped objects have their events in `default`.
    for namespace in ["default", VICTIM, NAMESPACE] {
        let said = scene.refused("an event", &event(namespace)).await;
        assert!(said.contains("forbidden"), "{said}");
        if namespace == "default" {
            scene.tell("to forge an event about the cluster's policy", said);
        }
    }
    Ok(())
}

async fn identities(scene: &mut Scene) -> Result<()> {
    let accounts = Api::<ServiceAccount>::namespaced(scene.attacker.clone(), NAMESPACE);
    for account in ["nodeseal-operator", "nodeseal-agent"] {
        let (params, request) = (PostParams::default(), TokenRequest::default());
        let answer = accounts.create_token_request(account, &params, &request);
        let said = refusal(answer.await);
        assert!(said.contains("forbidden"), "{said}");
        if account == "nodeseal-operator" {
            scene.tell("to get a token of the operator's or the agents'", said);
        }
    }
    let path = format!("/apis/{}/nodeimagepolicies", crds::API_VERSION);
    let mut request = kube::core::Request::new(path).list(&ListParams::default())?;
    let headers = request.headers_mut();
    headers.insert("impersonate-user", OPERATOR.parse()?);
    let answer = scene.attacker.request_text(request).await;
    let said = refusal(answer);
    assert!(said.contains("cannot impersonate"), "{said}");
    scene.tell("to impersonate the operator", said);
    Ok(())
}

async fn more_rights(scene: &mut Scene) -> Result<()> {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "more", "namespace": OWN },
        "rules": [{
            "apiGroups": ["nodeseal.dev"], "resources": ["imagesignaturepolicies/status"],
            "verbs": ["patch"],
        }],
    });
    let said = scene.refused("more rights", &role).await;
    assert!(
        said.contains("attempting to grant RBAC permissions"),
        "{said}"
    );
    scene.tell("to give himself the right to statuses", said);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "agent", "namespace": NAMESPACE },
        "spec": {
            "serviceAccountName": "nodeseal-agent",
            "containers": [{ "name": "a", "image": "x" }],
        },
    });
    let said = scene.refused("a pod", &pod).await;
    scene.tell("to run a pod as an agent", said);
    Ok(())
}
