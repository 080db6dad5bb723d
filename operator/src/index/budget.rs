//! How much of a namespace is compiled at once.
//!
//! A regular expression may take a millisecond to compile, and a policy may have hundreds. The index
//! does one thing after the other, so a tenant who changes many such policies all the time would keep
//! everybody else waiting: of each namespace only so many are compiled in one round, the rest in the
//! next ones. Until then what was in force stays so.

use std::collections::BTreeMap;

use super::objects::PolicyObject;

/// The most regular expressions that are compiled of one namespace in one round, but for those of a
/// single policy, which is compiled as a whole.
const MAX_EXPRESSIONS: usize = 32;

/// What was compiled in a round.
#[derive(Debug, Default)]
pub(crate) struct Budget<'a> {
    expressions: BTreeMap<&'a str, usize>,
}

impl<'a> Budget<'a> {
    /// Whether to compile this policy in this round. Policies without regular expressions, and those
    /// of the cluster, wait for nothing.
    pub(crate) fn admits(&mut self, object: &'a PolicyObject) -> bool {
        let count = expressions(object);
        let Some(namespace) = object.id.namespace().filter(|_| count > 0) else {
            return true;
        };
        let spent = self.expressions.entry(namespace).or_default();
        let admits = *spent == 0 || *spent + count <= MAX_EXPRESSIONS;
        if admits {
            *spent += count;
        }
        admits
    }
}

fn expressions(object: &PolicyObject) -> usize {
    let Ok(spec) = &object.spec else { return 0 };
    let keyless = spec.policy.authorities.iter().flat_map(|a| &a.keyless);
    let identities = keyless.flat_map(|keyless| &keyless.identities);
    identities
        .map(|i| usize::from(i.issuer_reg_exp.is_some()) + usize::from(i.subject_reg_exp.is_some()))
        .sum()
}
