//! How much of a namespace is compiled at once.
//!
//! A regular expression may take a millisecond to compile, and a policy may have hundreds. The index
//! does one thing after the other, so a tenant who changes many such policies all the time would keep
//! everybody else waiting: of each namespace only so many are compiled in one round, and of all
//! together only so many, the rest in the next ones. Until then what was in force stays so.

use std::collections::BTreeMap;

use super::objects::PolicyObject;

/// The most regular expressions that are compiled of one namespace in one round, but for those of a
/// single policy, which is compiled as a whole.
const MAX_EXPRESSIONS: usize = 32;

/// The most that are compiled of all namespaces in one round, but for those of a single policy, which
/// has 512 at most.
const MAX_IN_ALL: usize = 512;

/// What was compiled in a round, in the order of namespaces.
#[derive(Debug, Default)]
pub(crate) struct Budget<'a> {
    expressions: BTreeMap<&'a str, usize>,
    in_all: usize,
    /// Those before this one had their turn in the rounds before.
    from: String,
    /// The first that there was no room for.
    left: Option<&'a str>,
}

impl<'a> Budget<'a> {
    /// A round that begins with this namespace.
    pub(crate) fn from(namespace: String) -> Self {
        Self {
            from: namespace,
            ..Self::default()
        }
    }

    /// The namespace that the next round begins with.
    pub(crate) fn next(self) -> String {
        self.left.unwrap_or_default().to_owned()
    }

    /// Whether to compile this policy in this round. Policies without regular expressions, and those
    /// of the cluster, wait for nothing.
    pub(crate) fn admits(&mut self, object: &'a PolicyObject) -> bool {
        let count = expressions(object);
        let Some(namespace) = object.id.namespace().filter(|_| count > 0) else {
            return true;
        };
        if *namespace < *self.from {
            return false;
        }
        let spent = self.expressions.entry(namespace).or_default();
        if *spent > 0 && *spent + count > MAX_EXPRESSIONS {
            return false;
        }
        if self.in_all > 0 && self.in_all + count > MAX_IN_ALL {
            self.left.get_or_insert(namespace);
            return false;
        }
        *spent += count;
        self.in_all += count;
        true
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
