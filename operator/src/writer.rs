//! Writes, one at a time for each object.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crds::API_VERSION;
use crds::types::{
    ClusterImageSignaturePolicy, EnforcementConfig, ImageSignaturePolicy, NodeImagePolicy,
    PolicyBundle, PolicyBundleSpec, PolicyStatus, TrustRoot,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DeserializeGuard;
use kube::{Api, Client};
use policy::model::PolicyId;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::index::{Change, Event, STATE_KEY, Write};
use crate::rollout::Record;
use crate::tuf::State;
use crate::{read, rollout, taint, tell};

/// Who writes, as `managedFields` has it.
pub(crate) const FIELD_MANAGER: &str = "nodeseal-operator";
/// How long one write may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The API server refused it, or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// Nobody answered.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
}

/// The API server has too much to do, or nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overload {
    /// For how long it asks to be left alone, if it does.
    pub(crate) asked: Option<Duration>,
}

impl WriteError {
    /// Whether it is too much, and not this very write: other errors of the server may be about one
    /// object, such as one that has grown so large that there is no room for its status.
    pub(crate) fn overload(&self) -> Option<Overload> {
        let asked = match self {
            Self::Api(kube::Error::Api(status)) => {
                if !matches!(status.code, 429 | 503 | 504) {
                    return None;
                }
                let details = status.details.as_ref();
                let asked = details.map_or(0, |details| details.retry_after_seconds);
                (asked > 0).then(|| Duration::from_secs(asked.into()))
            }
            // What never reached it, or was never answered.
            Self::Api(kube::Error::Service(_) | kube::Error::HyperError(_)) | Self::Deadline => {
                None
            }
            Self::Api(_) => return None,
        };
        Some(Overload { asked })
    }
}

/// Writes, and says what the API server made of the object. `identity` is what events say of who
/// tells.
pub(crate) async fn write(
    client: Client,
    identity: &str,
    write: &Write,
) -> Result<Option<Event>, WriteError> {
    let end = Instant::now() + DEADLINE;
    match before(end, attempt(client, identity, write)).await {
        Some(answer) => Ok(answer?),
        None => Err(WriteError::Deadline),
    }
}

/// What comes of `work` until then. After that it is not touched once more: a process that was stopped
/// meanwhile must not send what it was about to, another one leads by then.
async fn before<T>(end: Instant, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut alarm = pin!(tokio::time::sleep_until(end));
    poll_fn(|context| {
        if Instant::now() >= end {
            return Poll::Ready(None);
        }
        match work.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => alarm.as_mut().poll(context).map(|()| None),
        }
    })
    .await
}

async fn attempt(
    client: Client,
    identity: &str,
    write: &Write,
) -> Result<Option<Event>, kube::Error> {
    match write {
        Write::CreateBundle { name, spec } => create_bundle(client, name, spec).await,
        Write::SetBundle {
            node,
            uid,
            bundle,
            record,
            version,
        } => {
            let patch = Patch::Apply(node_policy(node, uid, bundle, record.as_ref(), *version));
            let api = Api::<DeserializeGuard<NodeImagePolicy>>::all(client);
            let answer = api.patch(node, &apply(), &patch).await?;
            let object = read::node_policy(answer);
            Ok(Some(Event::NodePolicy(Change::Apply(object))))
        }
        Write::Taint { node, uid, taints } => {
            let object = gone_is_fine(taint::taint(client, node, uid, *taints).await)?.flatten();
            Ok(object.map(|node| Event::Node(Change::Apply(read::node(node)))))
        }
        Write::PolicyStatus { id, status, .. } => policy_status(client, id, status).await,
        Write::TrustRootStatus { name, status } => {
            let patch = Patch::Apply(json!({
                "apiVersion": API_VERSION,
                "kind": "TrustRoot",
                "metadata": { "name": name },
                "status": status,
            }));
            let api = Api::<DeserializeGuard<TrustRoot>>::all(client);
            let answer = api.patch_status(name, &apply(), &patch).await;
            let object = gone_is_fine(answer)?.map(read::trust_root);
            Ok(object.map(|object| Event::TrustRoot(Change::Apply(object))))
        }
        Write::ConfigStatus { status } => {
            let patch = Patch::Apply(json!({
                "apiVersion": API_VERSION,
                "kind": "EnforcementConfig",
                "metadata": { "name": "default" },
                "status": status,
            }));
            let api = Api::<DeserializeGuard<EnforcementConfig>>::all(client);
            let answer = api.patch_status("default", &apply(), &patch).await;
            let object = gone_is_fine(answer)?.map(read::config);
            Ok(object.map(|object| Event::Config(Change::Apply(object))))
        }
        Write::DeleteBundle { name, uid } => {
            let params = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: Some(uid.clone()),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            };
            let api = Api::<PolicyBundle>::all(client);
            gone_is_fine(api.delete(name, &params).await)?;
            Ok(None)
        }
        Write::TufState {
            name,
            uid,
            namespace,
            config_map,
            state,
        } => {
            let owner = json!({
                "apiVersion": API_VERSION, "kind": "TrustRoot", "name": name, "uid": uid,
            });
            let api = Api::<ConfigMap>::namespaced(client, namespace);
            keep(&api, config_map, &owner, state).await?;
            Ok(None)
        }
        Write::Notice(notice) => {
            tell::tell(client, identity, notice).await?;
            Ok(None)
        }
    }
}

/// What is applied to point a node at a bundle. The API server refuses it where the object is another
/// version by now: this may be the word of a process that was stopped for long.
fn node_policy(
    node: &str,
    uid: &str,
    bundle: &str,
    record: Option<&Record>,
    version: u64,
) -> Value {
    // What is left out here is removed: the record goes with every write.
    let annotations = record.map(|record| json!({ rollout::ANNOTATION: record.to_text() }));
    let mut metadata = json!({
        "name": node,
        "annotations": annotations.unwrap_or_else(|| json!({})),
        "ownerReferences": [
            { "apiVersion": "v1", "kind": "Node", "name": node, "uid": uid },
        ],
    });
    if version > 0 {
        metadata["resourceVersion"] = version.to_string().into();
    }
    json!({
        "apiVersion": API_VERSION,
        "kind": "NodeImagePolicy",
        "metadata": metadata,
        "spec": { "bundle": bundle },
    })
}

async fn policy_status(
    client: Client,
    id: &PolicyId,
    status: &PolicyStatus,
) -> Result<Option<Event>, kube::Error> {
    let kind = match id {
        PolicyId::Cluster { .. } => "ClusterImageSignaturePolicy",
        PolicyId::Namespaced { .. } => "ImageSignaturePolicy",
    };
    let patch = Patch::Apply(json!({
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": { "name": id.name() },
        "status": status,
    }));
    let (name, params) = (id.name(), apply());
    let Some(namespace) = id.namespace() else {
        let api = Api::<DeserializeGuard<ClusterImageSignaturePolicy>>::all(client);
        let answer = gone_is_fine(api.patch_status(name, &params, &patch).await)?;
        let object = answer.map(read::cluster_policy);
        return Ok(object.map(|object| Event::ClusterPolicy(Change::Apply(object))));
    };
    let api = Api::<DeserializeGuard<ImageSignaturePolicy>>::namespaced(client, namespace);
    let answer = gone_is_fine(api.patch_status(name, &params, &patch).await)?;
    let object = answer.map(read::policy);
    Ok(object.map(|object| Event::Policy(Change::Apply(object))))
}

/// Keeps what is known of a TUF repository. It comes back over the watch.
async fn keep(
    api: &Api<ConfigMap>,
    name: &str,
    owner: &serde_json::Value,
    state: &State,
) -> Result<(), kube::Error> {
    let patch = Patch::Apply(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "ownerReferences": [owner] },
        "data": { STATE_KEY: state.to_text() },
    }));
    api.patch(name, &apply(), &patch).await.map(drop)
}

async fn create_bundle(
    client: Client,
    name: &str,
    spec: &PolicyBundleSpec,
) -> Result<Option<Event>, kube::Error> {
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let api = Api::<PolicyBundle>::all(client);
    let object = PolicyBundle::new(name, spec.clone());
    match api.create(&params, &object).await {
        Ok(object) => {
            let object = read::bundle(DeserializeGuard(Ok(object)));
            Ok(Some(Event::Bundle(Change::Apply(object))))
        }
        // Its name is its content: what exists is what was wanted.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

fn apply() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

/// An object that went away before a write about it is no failure: the watch will say so.
fn gone_is_fine<T>(answer: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_decided_upon_an_older_version_is_not_written() {
        let patch = |version| node_policy("a", "u", "sha256-x", None, version);
        let pointer = "/metadata/resourceVersion";
        assert_eq!(patch(7).pointer(pointer), Some(&json!("7")));
        // There is nothing yet that could be another version.
        assert_eq!(patch(0).pointer(pointer), None);
    }

    #[tokio::test]
    async fn what_was_under_way_when_the_process_was_stopped_is_not_gone_on_with() {
        let now = Instant::now();
        let later = now + Duration::from_hours(1);
        assert_eq!(before(later, async { "sent" }).await, Some("sent"));
        assert_eq!(before(now, async { "sent" }).await, None);
    }

    #[tokio::test]
    async fn who_does_not_answer_is_not_waited_for_without_end() {
        let end = Instant::now() + Duration::from_millis(1);
        assert_eq!(before(end, std::future::pending::<()>()).await, None);
    }

    fn refusal(code: u16, retry: u32) -> WriteError {
        let details = json!({ "retryAfterSeconds": retry });
        let status = json!({ "code": code, "message": "no", "details": details });
        let status: kube::core::Status = serde_json::from_value(status).unwrap();
        WriteError::Api(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn an_api_server_that_has_too_much_to_do_is_told_from_one_that_refuses() {
        let overload = |asked| Some(Overload { asked });
        let seven = Some(Duration::from_secs(7));
        assert_eq!(refusal(429, 7).overload(), overload(seven));
        assert_eq!(refusal(503, 0).overload(), overload(None));
        assert_eq!(refusal(504, 0).overload(), overload(None));
        assert_eq!(WriteError::Deadline.overload(), overload(None));
        for code in [400, 403, 404, 409, 413, 422, 500, 501, 502, 505] {
            assert_eq!(refusal(code, 7).overload(), None, "{code}");
        }
    }
}
