//! The breaker: most policies vanished at once, which is seldom what somebody wanted.

use std::collections::BTreeSet;

use policy::digest::Digest;

/// Fewer never count as most.
const LEAST: usize = 3;
/// Hexadecimal digits of the token.
const TOKEN: usize = 12;

/// Policies that nodes enforce and that have no object any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vanished {
    /// Their names.
    pub names: BTreeSet<String>,
    /// How many policies nodes enforce.
    pub of: usize,
    /// What confirms that they are to go.
    pub token: String,
}

/// Whether most cluster policies vanished: at least three, and more than half. `enforced` are the
/// names of the enforcing cluster policies that reachable nodes were given, `holders` tell the bundles
/// apart that have those that are gone: what was confirmed once does not confirm a second time.
#[must_use]
pub fn vanished(
    enforced: &BTreeSet<&str>,
    is_there: impl Fn(&str) -> bool,
    holders: &BTreeSet<&str>,
) -> Option<Vanished> {
    let gone: BTreeSet<&str> = enforced
        .iter()
        .copied()
        .filter(|name| !is_there(name))
        .collect();
    if gone.len() < LEAST || gone.len() * 2 <= enforced.len() {
        return None;
    }
    let text: Vec<&str> = gone.iter().chain(holders).copied().collect();
    let digest = Digest::of(text.join("\n").as_bytes());
    Some(Vanished {
        token: digest.hex().chars().take(TOKEN).collect(),
        of: enforced.len(),
        names: gone.into_iter().map(str::to_owned).collect(),
    })
}
