//! What rendering gives, for every runtime: files, and what they leave out.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::PolicyId;
use crate::problem::Reason;

/// One file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// All of its content.
    pub bytes: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// Files by their path, relative to the node's root.
pub type FileSet = BTreeMap<String, File>;

/// Something that a node of this runtime will not do as the policies say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The policy's name.
    pub policy: String,
    /// Its namespace, if it is a namespaced one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The authority that it is about, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The field of the policy's `spec`, or below the authority if there is one; empty where the
    /// whole policy is meant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// The stable word.
    pub reason: Reason,
    /// What it means and what to do.
    pub message: String,
}

impl Diagnostic {
    /// `authority NAME, FIELD: MESSAGE`, without what there is none of.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { field, message, .. } = self;
        match (&self.authority, field.as_str()) {
            (Some(name), "") => format!("authority `{name}`: {message}"),
            (Some(name), field) => format!("authority `{name}`, {field}: {message}"),
            (None, "") => message.clone(),
            (None, field) => format!("{field}: {message}"),
        }
    }

    /// About a whole policy.
    #[must_use]
    pub fn of(policy: &PolicyId, reason: Reason, message: String) -> Self {
        Self {
            policy: policy.name().to_owned(),
            namespace: policy.namespace().map(str::to_owned),
            authority: None,
            field: String::new(),
            reason,
            message,
        }
    }
}
