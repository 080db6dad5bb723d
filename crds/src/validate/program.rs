//! The third layer: what only the program can know, by making a [`Policy`] of the object.

use std::sync::Arc;

use policy::model::{Policy, PolicyId};
use policy::trust::{Parsed, TrustRoot};

use super::report::Report;
use crate::advice::{self, Advice};
use crate::beside::Beside;
use crate::convert::{
    self, FieldProblem, Holder, KeyReference, Keys, Place, RootUnavailable, Unavailable,
};
use crate::keys::lines_before;
use crate::manifest::Document;
use crate::problem::{Layer, Severity};
use crate::types::{OnUnsupported, PolicySpec, TrustRootSpec};

/// What stands in an object's own file and beside it.
struct Files<'a> {
    document: &'a Document,
    beside: &'a Beside,
}

impl Files<'_> {
    fn holder(&self, reference: &KeyReference) -> Option<&crate::keys::Holder> {
        let kind = match reference.holder {
            Holder::ConfigMap => "ConfigMap",
            Holder::Secret => "Secret",
        };
        let keys = &self.beside.keys;
        keys.get(kind, &reference.namespace, &reference.name)
    }
}

impl Keys for Files<'_> {
    const WHERE: &'static str = " in these files";

    fn get(&self, reference: &KeyReference) -> Result<String, Unavailable> {
        let holder = self.holder(reference).ok_or(Unavailable::NoObject)?;
        match holder.entries.get(&reference.key) {
            None => {
                let known = holder.entries.keys().cloned().collect();
                Err(Unavailable::NoKey { known })
            }
            Some(Err(error)) => Err(Unavailable::NotText(error.to_string())),
            Some(Ok(entry)) => Ok(entry.text.clone()),
        }
    }

    fn trust_root(&self, name: &str) -> Result<Arc<TrustRoot>, RootUnavailable> {
        self.beside.trust_roots.get(name)
    }

    fn place(&self, reference: &KeyReference) -> Place {
        let Some(holder) = self.holder(reference) else {
            return Place::default();
        };
        let entry = holder.entries.get(&reference.key);
        let lines = entry.and_then(|entry| entry.as_ref().ok()?.lines_before);
        Place {
            file: Some(holder.file.clone()),
            lines_before: lines.and_then(|lines| usize::try_from(lines).ok()),
        }
    }

    fn place_of_field(&self, field: &str) -> Place {
        let root = &self.document.root;
        let lines = root
            .find(field)
            .and_then(|node| lines_before(root.locate(field), node));
        Place {
            file: None,
            lines_before: lines.and_then(|lines| usize::try_from(lines).ok()),
        }
    }
}

/// Makes the policy; nothing where anything is wrong, which the report then says.
pub(crate) fn policy(
    report: &mut Report<'_>,
    document: &Document,
    beside: &Beside,
    id: PolicyId,
    spec: &PolicySpec,
    on_unsupported: OnUnsupported,
) -> Option<Policy> {
    let files = Files { document, beside };
    let own_id = id.clone();
    let policy = convert::policy(id, spec, on_unsupported, &files);
    let policy = policy.map_err(|problems| add(report, problems)).ok();
    warn(report, &advice::alone(&advice::input(own_id, spec, None)));
    policy
}

/// Reads a trust root; nothing where anything is wrong, which the report then says.
pub(crate) fn trust_root(
    report: &mut Report<'_>,
    document: &Document,
    beside: &Beside,
    spec: &TrustRootSpec,
) -> Option<Parsed> {
    let files = Files { document, beside };
    let parsed = convert::trust_root(spec, &files);
    let parsed = parsed.map_err(|problems| add(report, problems)).ok()?;
    if spec.tuf.is_some() {
        let message = "nothing is fetched here: the trusted_root.json of the public-good instance is used that this program was built with; in a cluster the operator keeps it fresh. For another one put it into trustedRoot.data";
        report.add(
            Layer::Program,
            Severity::Warning,
            "spec.tuf",
            "Embedded",
            message,
        );
    }
    for what in &parsed.filtered {
        let message = format!("left out, and what it signs will not verify: {what}");
        let field = "spec.trustedRoot";
        report.add(Layer::Program, Severity::Warning, field, "LeftOut", message);
    }
    Some(parsed)
}

/// Adds what the conversion found. Where a field below was misread, what it says about the field
/// is a consequence.
pub(crate) fn add(report: &mut Report<'_>, problems: Vec<FieldProblem>) {
    for problem in problems {
        if !report.has_misread_child(&problem.field) {
            let reason = problem.reason.as_str();
            report.error(Layer::Program, &problem.field, reason, problem.message);
        }
    }
}

/// Adds what is valid and may still surprise.
pub(crate) fn warn(report: &mut Report<'_>, all: &[Advice]) {
    for Advice {
        field,
        word,
        message,
    } in all
    {
        let layer = Layer::Program;
        report.add(layer, Severity::Warning, field, word.as_str(), message);
    }
}
