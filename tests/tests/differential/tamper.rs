//! What is done to signatures.

use e2e::cosign::Format;

/// What is done to a signature. Where the signer could do it, the signature is over the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tamper {
    /// Nothing.
    None,
    /// It is about another image.
    OtherDigest,
    /// It is about no image at all.
    NoDigest,
    /// It is by another key.
    OtherKey,
    /// The payload is another than was signed.
    PayloadChanged,
    /// A bit of the signature is flipped.
    SignatureChanged,
    /// There is no signature beside the payload.
    SignatureRemoved,
    /// The payload is of another type.
    TypeChanged,
    /// The payload names another image.
    NameChanged,
    /// The payload names none.
    NameEmpty,
    /// The signer has added annotations.
    Annotated,
    /// The payload has a member that the format does not know.
    MemberAdded,
    /// A log entry is there that nobody demands, and it is another's.
    EntryUnasked,
    /// There is no log entry.
    EntryRemoved,
    /// The log entry is that of another signature over the same payload.
    EntryOfOtherSignature,
    /// The log entry is that of another payload.
    EntryOfOtherPayload,
    /// The log entry is that of another key.
    EntryOfOtherKey,
    /// The log entry has another time than the log signed.
    EntryTime,
    /// The log entry has another place than the log signed.
    EntryIndex,
    /// The log entry is by another log.
    EntryOfOtherLog,
    /// The log entry has no promise.
    EntryWithoutPromise,
    /// The envelope holds another type.
    EnvelopeType,
    /// The statement is of another version.
    StatementType,
    /// The statement is an attestation.
    Attestation,
    /// The bundle calls itself a version that there is not.
    UnknownVersion,
}

impl Tamper {
    /// What can be done to signatures of this shape.
    pub(crate) fn of(format: Format, logged: bool) -> Vec<Self> {
        let mut all = vec![
            Self::None,
            Self::OtherDigest,
            Self::OtherKey,
            Self::PayloadChanged,
            Self::SignatureChanged,
            Self::SignatureRemoved,
        ];
        if format == Format::Bundle {
            all.extend([
                Self::NoDigest,
                Self::EnvelopeType,
                Self::StatementType,
                Self::Attestation,
                Self::UnknownVersion,
            ]);
            return all;
        }
        all.extend([
            Self::TypeChanged,
            Self::NameChanged,
            Self::NameEmpty,
            Self::Annotated,
            Self::MemberAdded,
        ]);
        if logged {
            all.extend([
                Self::EntryRemoved,
                Self::EntryOfOtherSignature,
                Self::EntryOfOtherPayload,
                Self::EntryOfOtherKey,
                Self::EntryTime,
                Self::EntryIndex,
                Self::EntryOfOtherLog,
                Self::EntryWithoutPromise,
            ]);
        } else {
            all.push(Self::EntryUnasked);
        }
        all
    }
}
