//! `ConfigMaps` and Secrets, one by one and by name.
//!
//! A `ConfigMap` is watched. A Secret is read with `get`, again and again, because that is the one
//! right that a namespace gives; and only the keys that a policy names leave this module.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crds::convert::Holder;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::index::{Event, Fetched, Found, STATE_PREFIX, Source};
use crate::tuf::MAX_STATE;

/// The most bytes of one value, which is what the schema admits where it stands in an object.
const MAX_VALUE: usize = 256 * 1024;
/// How long one read may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The keys of a source that matter now. One that changes does not end a read that is under way: who
/// names another key all the time must not keep the source from ever being read.
type Wanted = watch::Receiver<BTreeSet<String>>;

/// One task for each source.
pub(crate) struct Fetchers {
    client: Client,
    events: mpsc::Sender<Event>,
    /// Between two reads of a Secret.
    refresh: Duration,
    /// The operator's own namespace.
    namespace: String,
    tasks: BTreeMap<Source, (watch::Sender<BTreeSet<String>>, JoinHandle<()>)>,
}

impl Fetchers {
    pub(crate) fn new(
        client: Client,
        events: mpsc::Sender<Event>,
        refresh: Duration,
        namespace: String,
    ) -> Self {
        Self {
            client,
            events,
            refresh,
            namespace,
            tasks: BTreeMap::new(),
        }
    }

    /// Reads these sources from now on, and no others.
    pub(crate) fn update(&mut self, wanted: BTreeMap<Source, BTreeSet<String>>) {
        self.tasks.retain(|source, (_, task)| {
            let keep = wanted.contains_key(source);
            if !keep {
                task.abort();
            }
            keep
        });
        for (source, keys) in wanted {
            if let Some((known, _)) = self.tasks.get(&source) {
                known.send_if_modified(|known| {
                    let other = *known != keys;
                    *known = keys;
                    other
                });
            } else {
                let (known, wanted) = watch::channel(keys);
                let task = self.spawn(source.clone(), wanted);
                self.tasks.insert(source, (known, task));
            }
        }
    }

    fn spawn(&self, source: Source, keys: Wanted) -> JoinHandle<()> {
        let (client, events) = (self.client.clone(), self.events.clone());
        match source.holder {
            Holder::ConfigMap => {
                let most = most(&source, &self.namespace);
                tokio::spawn(follow(client, source, keys, events, most))
            }
            Holder::Secret => tokio::spawn(poll(client, source, keys, events, self.refresh)),
        }
    }
}

impl Drop for Fetchers {
    fn drop(&mut self) {
        for (_, task) in self.tasks.values() {
            task.abort();
        }
    }
}

/// The most bytes of one value of a source. What is kept of TUF repositories is as long as it may
/// become: what could not be read back would be forgotten.
fn most(source: &Source, own_namespace: &str) -> usize {
    let kept = source.namespace == own_namespace && source.name.starts_with(STATE_PREFIX);
    if kept { MAX_STATE } else { MAX_VALUE }
}

async fn follow(
    client: Client,
    source: Source,
    mut keys: Wanted,
    events: mpsc::Sender<Event>,
    most: usize,
) {
    let api = Api::<ConfigMap>::namespaced(client, &source.namespace);
    loop {
        let stream = watcher::watch_object(api.clone(), &source.name).default_backoff();
        let mut stream = std::pin::pin!(stream);
        let first = tokio::time::timeout(DEADLINE, stream.next()).await;
        let mut item = if let Ok(item) = first {
            item
        } else {
            let event = Event::Source(source.clone(), no_answer());
            if events.send(event).await.is_err() {
                return;
            }
            stream.next().await
        };
        loop {
            let fetched = match item {
                Some(Ok(Some(object))) => of_config_map(object, &keys.borrow_and_update(), most),
                Some(Ok(None)) => Fetched::Missing,
                Some(Err(error)) => watch_failed(&error),
                None => return,
            };
            let event = Event::Source(source.clone(), fetched);
            if events.send(event).await.is_err() {
                return;
            }
            tokio::select! {
                next = stream.next() => item = next,
                changed = keys.changed() => match changed {
                    // It is read again for those.
                    Ok(()) => break,
                    Err(_) => return,
                },
            }
        }
    }
}

fn no_answer() -> Fetched {
    Fetched::Unreadable(format!("no answer within {} s", DEADLINE.as_secs()))
}

fn watch_failed(error: &watcher::Error) -> Fetched {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => failed(error),
        WatchError(status) if status.code == 403 => Fetched::Forbidden,
        other => Fetched::Unreadable(other.to_string()),
    }
}

async fn poll(
    client: Client,
    source: Source,
    mut keys: Wanted,
    events: mpsc::Sender<Event>,
    refresh: Duration,
) {
    let api = Api::<Secret>::namespaced(client, &source.namespace);
    loop {
        let answer = tokio::time::timeout(DEADLINE, api.get_opt(&source.name)).await;
        let fetched = match answer {
            Ok(Ok(Some(object))) => of_secret(object, &keys.borrow_and_update()),
            Ok(Ok(None)) => Fetched::Missing,
            Ok(Err(error)) => failed(&error),
            Err(_) => no_answer(),
        };
        if events
            .send(Event::Source(source.clone(), fetched))
            .await
            .is_err()
        {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(refresh) => {}
            changed = keys.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

fn failed(error: &kube::Error) -> Fetched {
    match error {
        kube::Error::Api(status) if status.code == 403 => Fetched::Forbidden,
        kube::Error::Api(status) => Fetched::Unreadable(status.message.clone()),
        other => Fetched::Unreadable(other.to_string()),
    }
}

fn of_value(text: &str, most: usize) -> Result<String, String> {
    if text.len() > most {
        let nothing = if most == MAX_VALUE {
            "no key"
        } else {
            "nothing that is kept"
        };
        return Err(format!(
            "its value is longer than {} KiB, and {nothing} is",
            most / 1024
        ));
    }
    Ok(text.to_owned())
}

fn of_config_map(object: ConfigMap, keys: &BTreeSet<String>, most: usize) -> Fetched {
    let (text, binary) = (
        object.data.unwrap_or_default(),
        object.binary_data.unwrap_or_default(),
    );
    let value = |key: &String| match text.get(key) {
        Some(text) => Some(of_value(text, most)),
        None => binary.contains_key(key).then(|| {
            Err("its value is binary, and text is expected: put it into `data`".to_owned())
        }),
    };
    Fetched::Found(Found {
        values: keys.iter().map(|key| (key.clone(), value(key))).collect(),
        known: text.keys().chain(binary.keys()).cloned().collect(),
    })
}

fn of_secret(object: Secret, keys: &BTreeSet<String>) -> Fetched {
    let data = object.data.unwrap_or_default();
    let value = |key: &String| {
        let bytes = data.get(key)?;
        let text = str::from_utf8(&bytes.0);
        Some(match text {
            Ok(text) => of_value(text, MAX_VALUE),
            Err(_) => Err("its value is no UTF-8 text, and keys are PEM".to_owned()),
        })
    };
    Fetched::Found(Found {
        values: keys.iter().map(|key| (key.clone(), value(key))).collect(),
        // Names of other keys are nobody's business who may read a status.
        known: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn a_value_that_is_too_long_is_not_kept() {
        let data = [("k".to_owned(), "k".repeat(MAX_VALUE + 1))];
        let map = ConfigMap {
            data: Some(data.into()),
            ..ConfigMap::default()
        };
        let Fetched::Found(found) = of_config_map(map, &["k".to_owned()].into(), MAX_VALUE) else {
            panic!("it is there");
        };
        let error = found.values["k"].clone().unwrap().unwrap_err();
        assert_eq!(error, "its value is longer than 256 KiB, and no key is");
    }

    #[test]
    fn what_is_kept_of_a_repository_is_read_whole() {
        let source = |namespace: &str, name: &str| Source {
            holder: Holder::ConfigMap,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let read = |source: &Source, length: usize| {
            let map = ConfigMap {
                data: Some([("state".to_owned(), "s".repeat(length))].into()),
                ..ConfigMap::default()
            };
            let keys = ["state".to_owned()].into();
            match of_config_map(map, &keys, most(source, "nodeseal-system")) {
                Fetched::Found(found) => found.values["state"].clone().unwrap(),
                other => panic!("{other:?}"),
            }
        };
        let kept = source("nodeseal-system", "nodeseal-tuf-own");
        assert!(read(&kept, MAX_STATE).is_ok());
        let error = read(&kept, MAX_STATE + 1).unwrap_err();
        assert_eq!(
            error,
            "its value is longer than 900 KiB, and nothing that is kept is"
        );
        for other in [
            source("tenant", "nodeseal-tuf-own"),
            source("nodeseal-system", "keys"),
        ] {
            assert!(read(&other, MAX_VALUE).is_ok());
            assert!(read(&other, MAX_VALUE + 1).is_err(), "{other}");
        }
    }

    #[test]
    fn only_what_a_policy_names_is_taken_from_a_secret() {
        let value = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = [
            ("cosign.key".to_owned(), value("private")),
            ("cosign.pub".to_owned(), value("public")),
        ];
        let secret = Secret {
            data: Some(data.into()),
            ..Secret::default()
        };
        let fetched = of_secret(secret, &["cosign.pub".to_owned()].into());
        let values = [("cosign.pub".to_owned(), Some(Ok("public".to_owned())))];
        let expected = Found {
            values: values.into(),
            known: Vec::new(),
        };
        assert_eq!(fetched, Fetched::Found(expected));
    }
}
