//! From the identities of the API to those of the model.

use std::collections::BTreeMap;

use policy::keyless::{CLAIMS, IdentityDraft, MAX_TEXT, PatternDraft};
use policy::pattern::{Pattern, PatternError, SUBJECTS};
use policy::problem::Reason;

use super::Keys;
use super::signer::Signers;
use crate::types::KeylessIdentity;
use crate::validate::{closest, join, listed, quoted};

impl<K: Keys> Signers<'_, K> {
    pub(super) fn identity(&mut self, field: &str, identity: &KeylessIdentity) -> IdentityDraft {
        let KeylessIdentity {
            issuer,
            issuer_reg_exp,
            subject,
            subject_reg_exp,
            claims,
        } = identity;
        self.claims(&format!("{field}.claims"), claims);
        IdentityDraft {
            issuer: self.pattern(field, "issuer", issuer.as_ref(), issuer_reg_exp.as_ref()),
            subject: self.pattern(field, "subject", subject.as_ref(), subject_reg_exp.as_ref()),
            claims: claims.clone(),
        }
    }

    fn pattern(
        &mut self,
        field: &str,
        name: &str,
        exact: Option<&String>,
        reg_exp: Option<&String>,
    ) -> PatternDraft {
        match (exact, reg_exp) {
            (Some(text), None) => PatternDraft::Exact(text.clone()),
            (None, Some(text)) => {
                self.reg_exp(&format!("{field}.{name}RegExp"), text);
                PatternDraft::RegExp(text.clone())
            }
            _ => {
                let message = format!(
                    "an identity has exactly one of {name} and {name}RegExp: add one, or remove one"
                );
                self.add(field, Reason::Invalid, message);
                self.said.insert(format!("{field}.{name}"));
                PatternDraft::Exact(String::new())
            }
        }
    }

    /// Says where an expression is wrong, which the model does not.
    fn reg_exp(&mut self, field: &str, text: &str) {
        let fits = (1..=MAX_TEXT).contains(&text.len());
        if let (true, Err(PatternError::Syntax(what))) = (fits, Pattern::reg_exp(text, &SUBJECTS)) {
            self.add(field, Reason::InvalidRegExp, syntax(text, &what));
            self.said.insert(field.to_owned());
        }
    }

    /// Reports the names that no certificate has, each at its own place.
    fn claims(&mut self, field: &str, claims: &BTreeMap<String, String>) {
        let known = || CLAIMS.iter().map(|(name, _)| *name);
        for name in claims.keys().filter(|name| !known().any(|k| k == **name)) {
            let advice = match closest(name, known()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("remove it; known are {}", listed(known())),
            };
            let message = format!("{} is no claim of a certificate: {advice}", quoted(name));
            self.add(&join(field, name), Reason::Invalid, message);
            self.said.insert(field.to_owned());
        }
    }
}

/// An identity that the model refuses.
pub(super) fn unread() -> IdentityDraft {
    let nothing = || PatternDraft::Exact(String::new());
    IdentityDraft {
        issuer: nothing(),
        subject: nothing(),
        claims: BTreeMap::new(),
    }
}

/// What is wrong with an expression, and at which character.
fn syntax(text: &str, what: &str) -> String {
    let column = match regex_syntax::parse(text) {
        Err(regex_syntax::Error::Parse(error)) => Some(error.span().start.column),
        Err(regex_syntax::Error::Translate(error)) => Some(error.span().start.column),
        _ => None,
    };
    let place = column.map(|column| format!(" at character {column}"));
    let advice = if what.contains("look-around") {
        "write what may sign, as nothing can be left out of it, or list several identities"
    } else {
        "mend it there; a backslash in front makes a special character stand for itself"
    };
    let place = place.unwrap_or_default();
    format!("no regular expression (RE2 syntax), {what}{place}: {advice}")
}
