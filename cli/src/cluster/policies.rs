//! The policies of a cluster, for commands that otherwise read files.
//!
//! Objects are checked as files are, so that both give one answer. What cannot be resolved from here is
//! taken as the nodes have it: a key that the user may not read, a trust root that only the operator
//! fetches, the last valid form of a policy whose newest one is not valid.

mod resolve;

use std::collections::BTreeMap;

use crds::load::{self, Loaded, Source};
use crds::types::{
    ClusterImageSignaturePolicy, EnforcementConfig, ImageSignaturePolicy, NodeImagePolicy,
    PolicyBundle, TrustRoot,
};
use crds::{Problem, Severity};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::{ApiResource, DeserializeGuard, DynamicObject};
use kube::{Api, Client, Resource};
use policy::bundle::Bundle;
use policy::model::PolicyId;
use serde_json::{Value, json};

use super::{DEADLINE, Trouble, list};
pub(crate) use resolve::Given;
use resolve::{Forms, Reference};

/// How many objects are asked for at once.
const AT_ONCE: usize = 8;
/// How many bundles are looked into: nodes have a handful of different ones.
const BUNDLES: usize = 64;
/// What an object of the cluster is called where a file would be named.
const PLACE: &str = "cluster";

/// Reads and checks everything, to answer about a pod of this namespace.
pub(crate) async fn given(client: &Client, namespace: Option<&str>) -> Result<Given, Trouble> {
    let (cluster, own, roots, configs) = futures::try_join!(
        objects::<ClusterImageSignaturePolicy>(client),
        objects::<ImageSignaturePolicy>(client),
        objects::<TrustRoot>(client),
        objects::<EnforcementConfig>(client),
    )?;
    let mut digests = BTreeMap::new();
    for object in cluster.iter().chain(&own) {
        let digest = object["status"]["digest"].as_str();
        digests.extend(digest.map(|digest| (id(object), digest.to_owned())));
    }
    let all: Vec<&Value> = cluster
        .iter()
        .chain(&own)
        .chain(&roots)
        .chain(&configs)
        .collect();
    let references: Vec<Reference> = resolve::references(all.iter().copied());
    let mut sources: Vec<Source> = all.iter().map(|object| source(object)).collect();
    let mut refused = Vec::new();
    let mut reads = futures::stream::iter(references)
        .map(|reference| async move {
            let answer = read(client, &reference).await;
            (reference, answer)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((reference, answer)) = reads.next().await {
        match answer {
            Ok(object) => sources.extend(object.as_ref().map(source)),
            Err(Trouble::Forbidden(why)) => refused.push((reference, why)),
            Err(trouble) => return Err(trouble),
        }
    }
    // In the order of their names, whichever came first.
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    refused.sort();
    let here = |object: &&Value| !resolve::is_elsewhere(&called(object), namespace);
    let needed = resolve::references(all.iter().copied().filter(here));
    refused.retain(|(reference, _)| needed.iter().any(|it| it.is(reference)));
    let mut loaded = load::load(&sources);
    for Problem { line, column, .. } in &mut loaded.problems {
        // Nobody has written the lines that were read.
        (*line, *column) = (0, 0);
    }
    let forms = if needs_forms(&loaded) {
        forms(client).await?
    } else {
        Forms::default()
    };
    Ok(resolve::given(
        loaded, &digests, &refused, &forms, namespace,
    ))
}

/// Whether something is to be looked up in what nodes have.
fn needs_forms(loaded: &Loaded) -> bool {
    loaded.settings.is_none() || loaded.problems_of(Severity::Error).next().is_some()
}

async fn objects<K: Resource<DynamicType = ()>>(client: &Client) -> Result<Vec<Value>, Trouble> {
    let kind = ApiResource::erase::<K>(&());
    let what = format!("{}.{}", kind.plural, kind.group);
    let api = Api::<DynamicObject>::all_with(client.clone(), &kind);
    let (version, name) = (kind.api_version.clone(), kind.kind.clone());
    let keep = |object: DynamicObject| {
        let metadata = object.metadata;
        json!({
            "apiVersion": version,
            "kind": name,
            "metadata": { "name": metadata.name, "namespace": metadata.namespace },
            "spec": object.data["spec"],
            "status": { "digest": object.data["status"]["digest"] },
        })
    };
    list(&api, &what, keep).await
}

fn id(object: &Value) -> PolicyId {
    let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
    let name = text("name").unwrap_or_default();
    match text("namespace") {
        None => PolicyId::Cluster { name },
        Some(namespace) => PolicyId::Namespaced { namespace, name },
    }
}

/// An object as problems name it.
fn called(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    format!("{kind}/{}", id(object))
}

/// An object as a file, with what its author wrote and nothing else.
fn source(object: &Value) -> Source {
    let mut object = object.clone();
    let name = format!("{PLACE}:{}", called(&object));
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|_, value| !value.is_null());
    }
    let text = object.to_string();
    Source { name, text }
}

/// The object with the keys that are referred to; nothing where there is none.
async fn read(client: &Client, reference: &Reference) -> Result<Option<Value>, Trouble> {
    let Reference {
        kind,
        namespace,
        name,
        ..
    } = reference;
    let what = format!("{kind} {namespace}/{name}");
    let data = async {
        let client = client.clone();
        if *kind == "Secret" {
            let api = Api::<Secret>::namespaced(client, namespace);
            Ok(api.get_opt(name).await?.map(|it| json!(it.data)))
        } else {
            let api = Api::<ConfigMap>::namespaced(client, namespace);
            Ok(api.get_opt(name).await?.map(|it| json!(it.data)))
        }
    };
    let answer = tokio::time::timeout(DEADLINE, data).await;
    let answer = answer.map_err(|_| Trouble::late(&what))?;
    let data = answer.map_err(|error: kube::Error| Trouble::of(&what, &error))?;
    Ok(data.map(|mut data| {
        if let Some(entries) = data.as_object_mut() {
            entries.retain(|key, _| reference.keys.contains(key));
        } else {
            data = json!({});
        }
        json!({
            "apiVersion": "v1",
            "kind": kind,
            "metadata": { "name": name, "namespace": namespace },
            "data": data,
        })
    }))
}

/// What nodes have: the bundles that they shall run. Who may not read those does without.
async fn forms(client: &Client) -> Result<Forms, Trouble> {
    let nodes = Api::<DeserializeGuard<NodeImagePolicy>>::all(client.clone());
    let desired = |guard: DeserializeGuard<NodeImagePolicy>| guard.0.ok().map(|it| it.spec.bundle);
    let mut names = match list(&nodes, "nodeimagepolicies.nodeseal.dev", desired).await {
        Ok(names) => names.into_iter().flatten().collect::<Vec<_>>(),
        Err(Trouble::Forbidden(_)) => return Ok(Forms::default()),
        Err(trouble) => return Err(trouble),
    };
    names.sort();
    names.dedup();
    names.truncate(BUNDLES);
    let api = Api::<PolicyBundle>::all(client.clone());
    let mut bundles: Vec<Bundle> = Vec::new();
    for name in &names {
        let answer = tokio::time::timeout(DEADLINE, api.get_opt(name)).await;
        match answer.map_err(|_| Trouble::late(name))? {
            Ok(Some(object)) => bundles.extend(crds::bundle::decode(name, &object.spec).ok()),
            Ok(None) => {}
            Err(error) => match Trouble::of("policybundles.nodeseal.dev", &error) {
                Trouble::Forbidden(_) => break,
                trouble => return Err(trouble),
            },
        }
    }
    Ok(Forms { bundles })
}
