//! By how many of its authorities a policy's image is signed.
//!
//! A threshold counts signers, so neither a signature nor a signer may count for two authorities.
//! Whatever shares a signature, a key or a name is one signer; then as many authorities as possible
//! get a signer of their own (a maximum matching, so that the order in which signatures are found
//! decides nothing).

use std::collections::{BTreeMap, BTreeSet};

use policy::digest::Digest;

use crate::sigstore::San;

/// What tells signers apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// The SHA-256 of a signature.
    Signature(Digest),
    /// The SHA-256 of a public key.
    Key(Digest),
    /// A URI, with the identity provider that vouches for it: a path means something there alone. A
    /// company's certificate names no provider.
    Uri(Option<String>, String),
    /// An e-mail address, a host name or a user name, in lower case: whoever vouches for it, and in
    /// whatever certificate, it is the same person or machine.
    Name(String),
}

impl Mark {
    /// What a name in a certificate tells, which `issuer` vouches for; nothing for a kind of name that
    /// nobody can compare.
    pub(super) fn of(name: &San, issuer: Option<&str>) -> Option<Self> {
        match name {
            San::Uri(uri) => Some(Self::Uri(issuer.map(str::to_owned), uri.clone())),
            San::Email(name) | San::Dns(name) | San::UserName(name) => {
                Some(Self::Name(name.to_lowercase()))
            }
            San::Other => None,
        }
    }
}

/// That a candidate is by an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    /// All that the signer is known by.
    pub(super) marks: BTreeSet<Mark>,
    /// Until when that holds, in Unix seconds, where it depends on the time of verification.
    pub(super) valid_until: Option<i64>,
}

/// Authorities, by index, each with until when its signature holds.
pub(super) type Ends = BTreeMap<usize, Option<i64>>;

/// All proofs of one policy.
#[derive(Debug, Default)]
pub(super) struct Signatures(Vec<(usize, Proof)>);

impl Signatures {
    /// Takes in that the authority with this index has signed.
    pub(super) fn add(&mut self, authority: usize, proof: Proof) {
        self.0.push((authority, proof));
    }

    /// The authorities that count, each with until when.
    pub(super) fn counted(&self) -> Ends {
        let signers = self.signers();
        let authorities: BTreeSet<usize> = self.0.iter().map(|(authority, _)| *authority).collect();
        let mut taken = BTreeMap::new();
        for authority in authorities {
            assign(authority, &signers, &mut taken, &mut BTreeSet::new());
        }
        let until = |(signer, authority): (usize, usize)| {
            let ends = signers.get(signer).and_then(|ends| ends.get(&authority));
            (authority, ends.copied().flatten())
        };
        taken.into_iter().map(until).collect()
    }

    /// Each signer's authorities, with the longest time that one of its signatures holds there.
    fn signers(&self) -> Vec<Ends> {
        let mut signers: Vec<(BTreeSet<&Mark>, Ends)> = Vec::new();
        for (authority, proof) in &self.0 {
            let mut marks: BTreeSet<&Mark> = proof.marks.iter().collect();
            let mut ends = BTreeMap::from([(*authority, proof.valid_until)]);
            let (same, others): (Vec<_>, Vec<_>) = signers
                .into_iter()
                .partition(|(known, _)| !known.is_disjoint(&marks));
            signers = others;
            for (other, its) in same {
                marks.extend(other);
                for (authority, end) in its {
                    let known = ends.entry(authority).or_insert(end);
                    *known = longest(*known, end);
                }
            }
            signers.push((marks, ends));
        }
        signers.into_iter().map(|(_, ends)| ends).collect()
    }
}

/// The later end; none is later than any.
fn longest(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    Some(a?.max(b?))
}

/// Gives a signer to an authority, if need be by giving others to those that have one (Kuhn).
fn assign(
    authority: usize,
    signers: &[Ends],
    taken: &mut BTreeMap<usize, usize>,
    tried: &mut BTreeSet<usize>,
) -> bool {
    for (signer, ends) in signers.iter().enumerate() {
        if !ends.contains_key(&authority) || !tried.insert(signer) {
            continue;
        }
        let free = match taken.get(&signer).copied() {
            Some(other) => assign(other, signers, taken, tried),
            None => true,
        };
        if free {
            taken.insert(signer, authority);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Mark {
        Mark::Key(Digest::of(name.as_bytes()))
    }

    fn identity(name: &str) -> Mark {
        Mark::Name(name.into())
    }

    fn counted(proofs: &[(usize, Vec<Mark>)]) -> Vec<usize> {
        let mut signatures = Signatures::default();
        for (authority, marks) in proofs {
            let marks = marks.iter().cloned().collect();
            let valid_until = None;
            signatures.add(*authority, Proof { marks, valid_until });
        }
        signatures.counted().into_keys().collect()
    }

    #[test]
    fn each_signer_counts_once() {
        assert_eq!(counted(&[]), [0; 0]);
        let (a, b) = (key("a"), key("b"));
        let one = |authority, mark: &Mark| (authority, vec![mark.clone()]);
        assert_eq!(counted(&[one(0, &a), one(1, &b)]), [0, 1]);
        assert_eq!(counted(&[one(0, &a), one(0, &b)]), [0]);
        assert_eq!(counted(&[one(0, &a), one(1, &a)]), [0]);
        let same = vec![key("x"), identity("a")];
        let other = vec![key("y"), identity("a")];
        assert_eq!(counted(&[(0, same.clone()), (1, other)]), [0]);
        // Through a third signature, too.
        let (x, y) = (vec![key("x")], vec![identity("a")]);
        assert_eq!(counted(&[(0, x), (1, y), (0, same)]), [0]);
    }

    #[test]
    fn a_name_is_one_whoever_vouches_for_it_and_a_uri_is_not() {
        let of = |name: fn(String) -> San, text: &str, issuer| Mark::of(&name(text.into()), issuer);
        let (one, two) = (Some("https://one.example"), Some("https://two.example"));
        for name in [San::Email, San::Dns, San::UserName] {
            assert_eq!(of(name, "A@b.example", one), of(name, "a@B.example", two));
            assert_eq!(of(name, "a@b.example", None), of(name, "a@b.example", two));
            assert_ne!(of(name, "a@b.example", one), of(name, "c@b.example", one));
        }
        let uri = "https://git.example/a@refs/heads/main";
        assert_ne!(of(San::Uri, uri, one), of(San::Uri, uri, two));
        assert_eq!(of(San::Uri, uri, one), of(San::Uri, uri, one));
        // Otherwise all who have a name of some unknown kind would be one.
        assert_eq!(Mark::of(&San::Other, None), None);
    }

    #[test]
    fn the_order_in_which_signatures_are_found_decides_nothing() {
        // `a` could sign for both, `b` for the first alone.
        let proofs = [
            (0, vec![key("a")]),
            (1, vec![key("a")]),
            (0, vec![key("b")]),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]] {
            let proofs = order.map(|index: usize| proofs[index].clone());
            assert_eq!(counted(&proofs), [0, 1], "{order:?}");
        }
    }

    #[test]
    fn the_signature_that_holds_longest_says_until_when() {
        let proof = |name: &str, valid_until| Proof {
            marks: [key("a"), Mark::Name(name.into())].into(),
            valid_until,
        };
        let mut signatures = Signatures::default();
        signatures.add(0, proof("x", Some(5)));
        assert_eq!(signatures.counted(), [(0, Some(5))].into());
        signatures.add(0, proof("y", Some(7)));
        assert_eq!(signatures.counted(), [(0, Some(7))].into());
        signatures.add(0, proof("z", None));
        assert_eq!(signatures.counted(), [(0, None)].into());
    }
}
