//! Notices as events of the API server.

use crds::API_VERSION;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::index::{Notice, Subject};
use crate::writer::FIELD_MANAGER;

/// The controller that tells, as events have it.
const CONTROLLER: &str = "nodeseal.dev/operator";
/// The most characters of an instance's name.
const INSTANCE: usize = 128;

/// Creates the event. One that exists was told before, by this process or by the one that led before
/// it.
pub(crate) async fn tell(
    client: Client,
    identity: &str,
    notice: &Notice,
) -> Result<(), kube::Error> {
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let api = Api::<Event>::namespaced(client, notice.namespace());
    match api.create(&params, &event(identity, notice)).await {
        // The namespace of a tenant's policy may be gone by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        answer => answer.map(drop),
    }
}

fn event(identity: &str, notice: &Notice) -> Event {
    let node = match &notice.subject {
        Subject::Node(name) => notice.node_uid.clone().map(|uid| ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(name.clone()),
            uid: Some(uid),
            ..ObjectReference::default()
        }),
        Subject::Policy(_) | Subject::Config | Subject::TrustRoot(_) => None,
    };
    Event {
        metadata: ObjectMeta {
            name: Some(notice.name.clone()),
            namespace: Some(notice.namespace().to_owned()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(notice.time)),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(identity.chars().take(INSTANCE).collect()),
        regarding: Some(ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some(notice.object_kind().to_owned()),
            name: Some(notice.object_name().to_owned()),
            namespace: notice.object_namespace().map(str::to_owned),
            uid: Some(notice.uid.clone()),
            ..ObjectReference::default()
        }),
        related: node,
        type_: Some(notice.kind.severity().to_owned()),
        reason: Some(notice.kind.as_str().to_owned()),
        action: Some(notice.kind.action().to_owned()),
        note: Some(notice.note.clone()),
        ..Event::default()
    }
}
