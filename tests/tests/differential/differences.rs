//! Where the verifier refuses what cosign allows, and why. There is nothing the other way round.

use crate::Case;
use crate::tamper::Tamper;

/// How many reasons there are. A test run meets each.
pub(crate) const ALL: usize = 5;

/// Why the verifier is stricter than both cosigns about this combination, if it is.
pub(crate) fn stricter(case: Case) -> Option<&'static str> {
    if !case.is_verifiable() {
        return None;
    }
    Some(match case.tamper {
        Tamper::TypeChanged => {
            "cosign does not read `critical.type`: another kind of document that its signer made would count as a signature of the image; CRI-O's library refuses it as well"
        }
        Tamper::NameChanged => {
            "cosign does not compare names: a signature would move to any repository with the same manifest; `signedIdentity` says what is wanted"
        }
        Tamper::NameEmpty => {
            "cosign does not read names: an empty one is no statement that there is none, which a signature without the field would make; CRI-O's library refuses it as well"
        }
        Tamper::StatementType => {
            "cosign does not read a statement's `_type`: what a later version means is not known"
        }
        Tamper::Attestation => {
            "cosign does not read the predicate type that was signed: any attestation that the registry calls a signature counts as one, be it an SBOM or a failed scan"
        }
        _ => return None,
    })
}
