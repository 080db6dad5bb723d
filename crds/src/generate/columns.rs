//! The columns that `kubectl get` shows of each kind.

use serde_json::{Value, json};

/// A column: its name, its type, its path, and whether it is shown with `-o wide` only.
type Column = (&'static str, &'static str, &'static str, bool);

const READY: &str = ".status.conditions[?(@.type==\"Ready\")].status";
const REASON: &str = ".status.conditions[?(@.type==\"Ready\")].reason";
const AGE: Column = ("Age", "date", ".metadata.creationTimestamp", false);

/// Of either kind of policy.
const POLICY: [Column; 9] = [
    ("Ready", "string", READY, false),
    ("Nodes", "string", ".status.nodes.summary", false),
    ("Mode", "string", ".spec.mode", false),
    ("Reason", "string", REASON, false),
    AGE,
    ("Failed", "integer", ".status.nodes.failed", true),
    ("Unsupported", "integer", ".status.nodes.unsupported", true),
    ("Unreachable", "integer", ".status.nodes.unreachable", true),
    ("Digest", "string", ".status.digest", true),
];

const CONFIG: [Column; 4] = [
    ("Enforcement", "string", ".spec.enforcement", false),
    ("Default", "string", ".spec.defaultAction", false),
    ("Paused", "boolean", ".spec.rollout.paused", false),
    AGE,
];

// A column of type `date` shows an age, and of a time to come only that it is invalid.
const TRUST_ROOT: [Column; 7] = [
    ("Ready", "string", READY, false),
    ("Reason", "string", REASON, false),
    ("Refreshed", "date", ".status.lastRefresh", false),
    ("Expires", "string", ".status.earliestExpiry", false),
    AGE,
    ("Logs", "integer", ".status.transparencyLogs", true),
    ("Digest", "string", ".status.digest", true),
];

const BUNDLE: [Column; 2] = [("Format", "integer", ".spec.format", false), AGE];

const NODE: [Column; 8] = [
    ("Runtime", "string", ".status.runtime.name", false),
    ("Version", "string", ".status.runtime.version", false),
    ("Desired", "string", ".spec.bundle", false),
    ("Applied", "string", ".status.appliedBundle", false),
    (
        "Enforcing",
        "string",
        ".status.conditions[?(@.type==\"Enforcing\")].status",
        false,
    ),
    ("Ready", "string", READY, false),
    ("Reason", "string", REASON, false),
    AGE,
];

/// The columns of a kind, as its definition has them.
pub(super) fn of(kind: &str) -> Value {
    let table: &[Column] = match kind {
        "EnforcementConfig" => &CONFIG,
        "TrustRoot" => &TRUST_ROOT,
        "PolicyBundle" => &BUNDLE,
        "NodeImagePolicy" => &NODE,
        _ => &POLICY,
    };
    let column = |(name, kind, path, wide): &Column| {
        let mut column = json!({ "name": name, "type": kind, "jsonPath": path });
        if *wide {
            column["priority"] = json!(1);
        }
        column
    };
    table.iter().map(column).collect()
}
