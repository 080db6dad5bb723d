//! One log line for each write: what, for which object, in which turn, how it went.

use std::time::Duration;

use policy::model::PolicyId;

use crate::index::Write;
use crate::metrics::Outcome;
use crate::writer::WriteError;

/// The most characters of an error in a line.
const LONGEST: usize = 1024;

/// The kinds of objects that are written.
pub(crate) const KINDS: [&str; 9] = [
    BUNDLE, NODE, TAINTED, CLUSTER, NAMESPACED, ROOT, CONFIG, EVENT, CONFIG_MAP,
];
const BUNDLE: &str = "PolicyBundle";
const NODE: &str = "NodeImagePolicy";
const TAINTED: &str = "Node";
const CLUSTER: &str = "ClusterImageSignaturePolicy";
const NAMESPACED: &str = "ImageSignaturePolicy";
const ROOT: &str = "TrustRoot";
const CONFIG: &str = "EnforcementConfig";
const EVENT: &str = "Event";
const CONFIG_MAP: &str = "ConfigMap";

/// What a write is about. Never its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About<'a> {
    /// One of [`KINDS`].
    pub(crate) kind: &'static str,
    verb: &'static str,
    name: &'a str,
    namespace: Option<&'a str>,
    node: Option<&'a str>,
    bundle: Option<&'a str>,
    /// Whether it is one of many that come by themselves.
    minor: bool,
}

impl<'a> About<'a> {
    pub(crate) fn of(write: &'a Write) -> Self {
        let plain = |kind, verb, name| Self {
            kind,
            verb,
            name,
            namespace: None,
            node: None,
            bundle: None,
            minor: true,
        };
        match write {
            Write::CreateBundle { name, .. } => Self {
                bundle: Some(name),
                minor: false,
                ..plain(BUNDLE, "create", name)
            },
            Write::DeleteBundle { name, .. } => Self {
                bundle: Some(name),
                minor: false,
                ..plain(BUNDLE, "delete", name)
            },
            Write::SetBundle { node, bundle, .. } => Self {
                node: Some(node),
                bundle: Some(bundle),
                minor: false,
                ..plain(NODE, "apply", node)
            },
            Write::Taint { node, .. } => Self {
                node: Some(node),
                minor: false,
                ..plain(TAINTED, "taint", node)
            },
            Write::PolicyStatus { id, .. } => {
                let kind = match id {
                    PolicyId::Cluster { .. } => CLUSTER,
                    PolicyId::Namespaced { .. } => NAMESPACED,
                };
                Self {
                    namespace: id.namespace(),
                    ..plain(kind, "status", id.name())
                }
            }
            Write::TrustRootStatus { name, .. } => plain(ROOT, "status", name),
            Write::ConfigStatus { .. } => plain(CONFIG, "status", "default"),
            Write::TufState {
                namespace,
                config_map,
                ..
            } => Self {
                namespace: Some(namespace),
                ..plain(CONFIG_MAP, "apply", config_map)
            },
            Write::Notice(notice) => Self {
                namespace: Some(notice.namespace()),
                ..plain(EVENT, "create", &notice.name)
            },
        }
    }

    /// Logs how it went. What nodes are given is told at `info`, statuses and events at `debug`, what
    /// failed at `warn`.
    pub(crate) fn log(
        &self,
        reconcile: u64,
        took: Duration,
        failed: Option<&WriteError>,
    ) -> Outcome {
        let outcome = match failed {
            None => Outcome::Done,
            Some(_) => Outcome::Failed,
        };
        let error = failed.map(|error| error.to_string().chars().take(LONGEST).collect::<String>());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    reconcile,
                    verb = self.verb,
                    kind = self.kind,
                    name = self.name,
                    namespace = self.namespace,
                    node = self.node,
                    bundle = self.bundle,
                    outcome = outcome.as_str(),
                    took_ms,
                    error,
                    $message
                )
            };
        }
        match (failed, self.minor) {
            (Some(_), _) => line!(warn, "a write failed and is tried again"),
            (None, false) => line!(info, "written"),
            (None, true) => line!(debug, "written"),
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use crds::types::PolicyStatus;
    use serde_json::{Value, json};
    use telemetry::log::LogFormat;

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, act: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = format.subscriber("debug".into(), false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, act);
        let bytes = lines.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn set_bundle() -> Write {
        Write::SetBundle {
            node: "node-1".to_owned(),
            uid: "u".to_owned(),
            bundle: "sha256-x".to_owned(),
            record: None,
            version: 1,
        }
    }

    #[test]
    fn a_write_is_one_json_line_with_its_object_its_turn_and_how_it_went() {
        let lines = logged(LogFormat::Json, || {
            let _span = tracing::info_span!("reconcile", id = 7).entered();
            let write = set_bundle();
            let took = Duration::from_millis(12);
            assert_eq!(About::of(&write).log(7, took, None), Outcome::Done);
            let id = PolicyId::Namespaced {
                namespace: "team".to_owned(),
                name: "p".to_owned(),
            };
            let write = Write::PolicyStatus {
                id,
                status: PolicyStatus::default(),
                counts_only: true,
            };
            let outcome = About::of(&write).log(8, took, Some(&WriteError::Deadline));
            assert_eq!(outcome, Outcome::Failed);
        });
        let lines = lines.iter().map(|line| serde_json::from_str(line));
        let lines: Vec<Value> = lines.map(Result::unwrap).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0]["fields"],
            json!({
                "message": "written", "reconcile": 7, "verb": "apply", "kind": "NodeImagePolicy",
                "name": "node-1", "node": "node-1", "bundle": "sha256-x", "outcome": "done",
                "took_ms": 12,
            })
        );
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["span"], json!({ "name": "reconcile", "id": 7 }));
        assert_eq!(
            lines[1]["fields"],
            json!({
                "message": "a write failed and is tried again", "reconcile": 8, "verb": "status",
                "kind": "ImageSignaturePolicy", "name": "p", "namespace": "team",
                "outcome": "failed", "took_ms": 12, "error": "no answer within 10 s",
            })
        );
        assert_eq!(lines[1]["level"], "WARN");
    }

    #[test]
    fn whatever_an_api_server_says_is_one_bounded_line() {
        let said = format!("two\nlines {}", "x".repeat(100_000));
        let status = kube::core::Status::failure(&said, "Invalid").boxed();
        let error = WriteError::Api(kube::Error::Api(status));
        for format in [LogFormat::Json, LogFormat::Text] {
            let lines = logged(format, || {
                let write = set_bundle();
                About::of(&write).log(1, Duration::ZERO, Some(&error));
            });
            assert_eq!(lines.len(), 1, "{format:?}");
            assert!(lines[0].len() < 2 * LONGEST, "{format:?}");
        }
    }

    #[test]
    fn the_content_of_a_bundle_is_in_no_line() {
        let spec = json!({ "format": 1, "data": "c2VjcmV0" });
        let write = Write::CreateBundle {
            name: "sha256-x".to_owned(),
            spec: serde_json::from_value(spec).unwrap(),
        };
        let lines = logged(LogFormat::Json, || {
            About::of(&write).log(1, Duration::ZERO, None);
        });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("sha256-x") && !lines[0].contains("c2VjcmV0"));
    }
}
