//! What service accounts asked of the API server, and what it answered.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::ControlPlane;
use crate::folder::Folder;

/// The file of [`POLICY`], which is also what turns the log on.
pub(super) const POLICY_FILE: &str = "audit-policy.yaml";
/// Requests of service accounts, without what was sent.
pub(super) const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
  - level: None
"#;
const LOG_FILE: &str = "audit.log";

/// One request about objects, as the API server has understood it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// Who asked, such as `system:serviceaccount:ns:name`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group; empty for the oldest.
    pub group: String,
    /// The resource, with its subresource as `pods/status`.
    pub resource: String,
    /// The namespace; empty for what has none.
    pub namespace: String,
    /// The object, where one was named, be it by a selector of a list.
    pub name: String,
    /// The HTTP status.
    pub code: u16,
    /// What was answered to a request that failed.
    pub message: String,
}

impl Request {
    /// The verb, group and resource that its user had no right to, if that is why it failed. That
    /// is not always what was asked for: to patch what is not there is to create it.
    #[must_use]
    pub fn forbidden(&self) -> Option<(String, String, String)> {
        if self.code != 403 {
            return None;
        }
        let (_, what) = self.message.split_once(" cannot ")?;
        let (verb, rest) = what.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let (group, _) = rest.split_once('"')?;
        Some((verb.to_owned(), group.to_owned(), resource.to_owned()))
    }
}

/// The flags that turn the log on, where there is a policy for it.
pub(super) fn flags(folder: &Folder) -> Vec<String> {
    let policy = folder.join(POLICY_FILE);
    if !policy.exists() {
        return Vec::new();
    }
    let log = folder.join(LOG_FILE);
    vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
    ]
}

impl ControlPlane {
    /// The file of [`requests_in`], where the control plane was started by [`Self::audited`].
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join(LOG_FILE)
    }

    /// Every request of a service account up to now.
    pub fn requests(&self) -> Result<Vec<Request>> {
        requests_in(&self.audit_log())
    }
}

/// Every request in an audit log, each once. Watches are there from their beginning.
pub fn requests_in(path: &Path) -> Result<Vec<Request>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    // The last line may be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut requests = Vec::new();
    for line in whole.lines() {
        let event: Value = serde_json::from_str(line)?;
        // A watch is told of twice.
        let ended = event["verb"] == "watch" && event["stage"] == "ResponseComplete";
        let failed = event
            .pointer("/responseStatus/code")
            .and_then(Value::as_u64)
            >= Some(400);
        if !event["objectRef"].is_null() && (!ended || failed) {
            requests.push(request(&event));
        }
    }
    Ok(requests)
}

fn request(event: &Value) -> Request {
    let text = |pointer: &str| {
        let found = event.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let code = event.pointer("/responseStatus/code");
    let code = code.and_then(Value::as_u64).unwrap_or_default();
    let (resource, sub) = (text("/objectRef/resource"), text("/objectRef/subresource"));
    Request {
        user: text("/user/username"),
        verb: text("/verb"),
        group: text("/objectRef/apiGroup"),
        resource: if sub.is_empty() {
            resource
        } else {
            format!("{resource}/{sub}")
        },
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        code: u16::try_from(code).unwrap_or_default(),
        message: text("/responseStatus/message"),
    }
}
