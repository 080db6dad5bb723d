//! What is valid and may still not do what its author expects, about objects of the API.
//!
//! What there is to know is decided in [`policy::advice`]; here is where it is said: on the fields of a
//! spec.

use policy::advice::{self, Identity, Input};
use policy::keyless::MAX_IDENTITIES;
use policy::model::{self, PolicyId};
use policy::scope::Scope;

use crate::convert;
use crate::types::{DefaultAction, EnforcementConfigSpec, Mode, NodeSelector, PolicySpec};

pub use policy::advice::{Advice, Around, Word, alone, together};

/// What a policy's spec says, as far as advice is about it. Without a `nodeSelector` it is for all
/// nodes.
#[must_use]
pub fn input(id: PolicyId, spec: &PolicySpec, node_selector: Option<&NodeSelector>) -> Input {
    let selects = node_selector.filter(|selector| **selector != NodeSelector::default());
    Input {
        id,
        mode: match spec.mode {
            Mode::Enforce => model::Mode::Enforce,
            Mode::Audit => model::Mode::Audit,
        },
        scopes: scopes("spec.scopes", &spec.scopes),
        exclude: scopes("spec.exclude", &spec.exclude),
        signed_identity: convert::identity_or_default(spec.signed_identity.as_ref()),
        identities: identities(spec),
        // What cannot be written is no selector that anybody else has.
        nodes: selects.map(|selector| serde_json::to_string(selector).unwrap_or_default()),
    }
}

/// What the configuration alone shows.
#[must_use]
pub fn config(spec: &EnforcementConfigSpec) -> Vec<Advice> {
    let action = match spec.default_action {
        DefaultAction::Allow => policy::settings::DefaultAction::Allow,
        DefaultAction::Reject => policy::settings::DefaultAction::Reject,
    };
    advice::settings(action, &spec.exempt_images)
}

fn scopes(field: &str, texts: &[String]) -> Vec<(String, Scope)> {
    let parsed = texts.iter().enumerate().filter_map(|(index, text)| {
        let scope = Scope::parse(text).ok()?;
        Some((format!("{field}[{index}]"), scope))
    });
    parsed.collect()
}

fn identities(spec: &PolicySpec) -> Vec<Identity> {
    let mut all = Vec::new();
    for (index, authority) in spec.authorities.iter().enumerate() {
        let keyless = authority.keyless.iter();
        let identities = keyless.flat_map(|keyless| &keyless.identities);
        for (at, identity) in identities.take(MAX_IDENTITIES).enumerate() {
            all.push(Identity {
                field: format!("spec.authorities[{index}].keyless.identities[{at}]"),
                issuer_reg_exp: identity.issuer_reg_exp.clone(),
                subject: identity.subject.clone(),
                subject_reg_exp: identity.subject_reg_exp.clone(),
                claims: identity.claims.keys().cloned().collect(),
            });
        }
    }
    all
}
