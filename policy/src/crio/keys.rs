//! Key authorities as `sigstoreSigned` rules.
//!
//! A list of rules is an AND. OR exists only inside one `keyDatas` (CRI-O 1.32). So k of n
//! authorities with disjoint keys become the conjunction of all (n-k+1)-subsets: 2 of {a, b, c} is
//! (a or b) and (a or c) and (b or c).

use crate::crio::document::Rule;
use crate::crio::fields::Base64;
use crate::crio::matching::{Match, Name, Prefix};
use crate::crio::sigstore::SigstoreSigned;
use crate::identity::SignedIdentity;
use crate::key::PublicKey;
use crate::model::{Authority, Requirement};
use crate::version::Version;

/// The most rules that one policy may become.
pub const MAX_RULES: usize = 64;
/// The first CRI-O with `sigstoreSigned`.
pub const FIRST_KEYS: Version = Version::new(1, 25, 0);
/// The first CRI-O with `keyDatas`.
pub const FIRST_KEY_DATAS: Version = Version::new(1, 32, 0);

/// Why a policy cannot be written as rules of this version's format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotExpressible {
    /// The version knows no sigstore signatures.
    #[error(
        "CRI-O {0} knows no sigstore signatures: upgrade the node to CRI-O {FIRST_KEYS} or later"
    )]
    TooOld(Version),
    /// The version knows no list of keys.
    #[error(
        "CRI-O {0} cannot accept any one of several keys: upgrade the node to CRI-O {FIRST_KEY_DATAS} or later, or give one key and demand every authority"
    )]
    SeveralKeys(Version),
    /// A name in `signedIdentity` that would make CRI-O refuse the whole file.
    #[error("signedIdentity: {0}")]
    Name(String),
    /// More combinations than the file may hold.
    #[error(
        "a threshold of {threshold} of {authorities} authorities needs {rules} combinations of keys, and at most {MAX_RULES} are written for CRI-O: use fewer authorities, or a threshold nearer to their number"
    )]
    TooManyRules {
        /// The policy's threshold.
        threshold: usize,
        /// How many authorities it has.
        authorities: usize,
        /// What it would take.
        rules: usize,
    },
}

/// The rules of one policy, all of which must be met.
pub fn rules(requirement: &Requirement, version: Version) -> Result<Vec<Rule>, NotExpressible> {
    if version < FIRST_KEYS {
        return Err(NotExpressible::TooOld(version));
    }
    let authorities = requirement.authorities();
    let (n, k) = (authorities.len(), requirement.threshold());
    let size = n - k + 1;
    let rules = binomial(n, size);
    if rules > MAX_RULES {
        return Err(NotExpressible::TooManyRules {
            threshold: k,
            authorities: n,
            rules,
        });
    }
    let identity = identity(requirement.signed_identity()).map_err(NotExpressible::Name)?;
    subsets(authorities, size)
        .into_iter()
        .map(|subset| rule(&subset, &identity, version))
        .collect()
}

fn rule(
    authorities: &[&Authority],
    identity: &Match,
    version: Version,
) -> Result<Rule, NotExpressible> {
    let mut keys: Vec<&PublicKey> = authorities.iter().flat_map(|a| a.keys()).collect();
    keys.sort();
    keys.dedup();
    let data = |key: &PublicKey| Base64::of(key.to_pem().as_bytes());
    let mut signed = SigstoreSigned {
        signed_identity: Some(identity.clone()),
        ..SigstoreSigned::default()
    };
    match keys.as_slice() {
        [key] => signed.key_data = Some(data(key)),
        _ if version < FIRST_KEY_DATAS => return Err(NotExpressible::SeveralKeys(version)),
        keys => signed.key_datas = Some(keys.iter().map(|key| data(key)).collect()),
    }
    Ok(Rule::SigstoreSigned(Box::new(signed)))
}

/// The format's default compares tags, which plain cosign signatures do not carry: so the identity
/// is always written out.
fn identity(identity: &SignedIdentity) -> Result<Match, String> {
    Ok(match identity {
        SignedIdentity::MatchRepository { .. } => Match::MatchRepository {},
        SignedIdentity::MatchRepoDigestOrExact => Match::MatchRepoDigestOrExact {},
        SignedIdentity::ExactRepository { repository } => Match::ExactRepository {
            docker_repository: Name::try_from(repository.clone())?,
        },
        SignedIdentity::RemapIdentity {
            prefix,
            signed_prefix,
        } => Match::RemapIdentity {
            prefix: Prefix::try_from(prefix.clone())?,
            signed_prefix: Prefix::try_from(signed_prefix.clone())?,
        },
    })
}

/// How many subsets of `k` there are in `n`; both are at most 16, so nothing overflows.
fn binomial(n: usize, k: usize) -> usize {
    (0..k).fold(1, |product, i| product * (n - i) / (i + 1))
}

/// All subsets of `size`, in the order of their members.
fn subsets<T>(items: &[T], size: usize) -> Vec<Vec<&T>> {
    if size == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in items.iter().enumerate() {
        for mut rest in subsets(&items[index + 1..], size - 1) {
            rest.insert(0, first);
            all.push(rest);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RequirementDraft;
    use crate::testing::{KEYS, authority, draft};

    const NEW: Version = Version::new(1, 34, 0);

    fn requirement(threshold: u32, keys: &[&str]) -> Requirement {
        let mut draft: RequirementDraft = draft("p", &["a.example"], &[]).requirement;
        draft.threshold = threshold;
        draft.authorities = keys
            .iter()
            .enumerate()
            .map(|(i, key)| authority(&format!("a{i}"), key))
            .collect();
        Requirement::try_from(draft).unwrap()
    }

    /// For each rule how many keys it lists.
    fn shape(requirement: &Requirement, version: Version) -> Result<Vec<usize>, NotExpressible> {
        let keys = |rule: &Rule| match rule {
            Rule::SigstoreSigned(signed) => signed.key_datas.as_ref().map_or(1, Vec::len),
            other => panic!("{other:?}"),
        };
        rules(requirement, version).map(|rules| rules.iter().map(keys).collect())
    }

    #[test]
    fn one_of_two_is_one_rule_with_both_keys() {
        assert_eq!(shape(&requirement(1, &KEYS[..2]), NEW), Ok(vec![2]));
    }

    #[test]
    fn two_of_three_is_the_conjunction_of_all_pairs() {
        assert_eq!(shape(&requirement(2, &KEYS), NEW), Ok(vec![2, 2, 2]));
    }

    #[test]
    fn all_of_three_are_three_rules_that_old_versions_know() {
        assert_eq!(shape(&requirement(3, &KEYS), FIRST_KEYS), Ok(vec![1, 1, 1]));
    }

    #[test]
    fn several_keys_are_not_expressible_before_key_lists() {
        let old = Version::new(1, 31, 9);
        let rotation = format!("{}{}", KEYS[0], KEYS[1]);
        assert_eq!(
            shape(&requirement(1, &[&rotation]), old),
            Err(NotExpressible::SeveralKeys(old))
        );
        assert_eq!(
            shape(&requirement(1, &[&rotation]), FIRST_KEY_DATAS),
            Ok(vec![2])
        );
    }

    #[test]
    fn nothing_is_expressible_before_sigstore_signatures() {
        let old = Version::new(1, 24, 6);
        assert_eq!(
            shape(&requirement(1, &KEYS[..1]), old),
            Err(NotExpressible::TooOld(old))
        );
    }

    #[test]
    fn a_name_that_would_break_the_whole_file_is_not_expressible() {
        let mut draft = draft("p", &["a.example"], &[]).requirement;
        draft.signed_identity = SignedIdentity::ExactRepository {
            repository: "[::1]:5000/app".to_owned(),
        };
        let error = shape(&Requirement::try_from(draft).unwrap(), NEW).unwrap_err();
        assert!(error.to_string().contains("no IPv6"), "{error}");
    }

    #[test]
    fn too_many_combinations_are_refused_with_their_number() {
        // Keys may be shared only where the threshold is 1, so count without building them.
        assert_eq!(binomial(16, 9), 11_440);
        assert_eq!(binomial(3, 2), 3);
        assert_eq!(subsets(&[1, 2, 3, 4], 2).len(), binomial(4, 2));
    }
}
