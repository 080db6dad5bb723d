//! What the policies mean for one image, told to people and scripts.
//!
//! ```text
//!  cover   which policies name the image, and by which scope     ─┐
//!  demand  what each of them wants, in plain words                ├─▶ Explanation
//!  node    what a runtime makes of it, and the entry that decides ─┘
//! ```
//!
//! The meaning is told from the policies themselves (`semantics`, "Meaning"), not from any table;
//! tests hold it against [`crate::flatten::Flat::decide`] and against the rules in CRI-O's files.

mod cover;
mod demand;
mod node;
mod outcome;

use serde::Serialize;

use crate::bundle::{Bundle, DefaultAction};
use crate::capability::Runtime;
use crate::flatten::NodeFacts;
use crate::model::PolicyId;
use crate::reference::Reference;
use crate::scope::Scope;

pub use demand::{
    AuthorityDemand, CertificateDemand, Demand, IdentityDemand, KeyDemand, SignerDemand,
};
pub use node::{Compiled, Does, OnRuntime, PolicyOn, packaged_crio};
pub use outcome::{Outcome, Verdict};

/// Everything about one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The image in normal form.
    pub image: String,
    /// The namespace that pulls it; without one no namespaced policy takes part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Every scope that it is looked up by, most specific first.
    pub lookup: Vec<String>,
    /// What the policies mean for it, on a runtime that can express all of them.
    pub verdict: Verdict,
    /// Why it is exempt, if it is: then no policy is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemption: Option<Exemption>,
    /// What happens to images that no enforcing policy covers.
    pub default_action: DefaultAction,
    /// The policies that name it, by id.
    pub policies: Vec<Relevant>,
    /// How many policies do not name it.
    pub unrelated: usize,
    /// What each runtime does.
    pub runtimes: Vec<OnRuntime>,
}

/// Why an image is exempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exemption {
    /// The most specific scope that says so.
    pub scope: Scope,
    /// Who says so.
    pub by: ExemptBy,
}

/// Who exempts an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ExemptBy {
    /// `exemptImages` of the `EnforcementConfig`.
    ExemptImages,
    /// The node: its sandbox image.
    Node,
}

/// A policy one of whose scopes holds the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relevant {
    /// `name`, or `namespace/name`.
    pub id: PolicyId,
    /// What it is to the image.
    pub coverage: Coverage,
    /// The most specific of its scopes that holds the image.
    pub scope: Scope,
    /// The most specific of its excludes that does, where it is excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Scope>,
    /// What it demands.
    pub demand: Demand,
}

/// What a policy is to an image that lies in one of its scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Coverage {
    /// The image must meet it.
    Covers,
    /// It only reports.
    Audit,
    /// One of its excludes took the image out.
    Excluded,
    /// It is for the pods of another namespace.
    OtherNamespace,
}

/// Explains what happens to `image` when a pod of `namespace` has it pulled, on each of these
/// runtimes, and why. CRI-O is taken to have its packages' own policy.json, see [`packaged_crio`].
#[must_use]
pub fn explain(
    bundle: &Bundle,
    node: &NodeFacts,
    image: &Reference,
    namespace: Option<&str>,
    runtimes: &[Runtime],
) -> Explanation {
    let names = cover::names(image);
    let exemption = cover::exemption(bundle, node, &names);
    let policies: Vec<Relevant> = bundle
        .policies()
        .filter_map(|policy| cover::relevant(policy, image, &names, namespace))
        .collect();
    let verdict = outcome::meant(bundle, exemption.as_ref(), &policies);
    let question = node::Question {
        bundle,
        node,
        image,
        namespace,
        exemption: exemption.as_ref(),
        policies: &policies,
    };
    Explanation {
        image: image.to_string(),
        namespace: namespace.map(str::to_owned),
        lookup: image.lookup(),
        verdict,
        runtimes: runtimes
            .iter()
            .map(|&runtime| question.on(runtime))
            .collect(),
        default_action: bundle.settings().default_action,
        unrelated: bundle.policies().count() - policies.len(),
        exemption,
        policies,
    }
}

#[cfg(test)]
mod tests;
