//! The stable words.

use std::fmt;

/// What a piece of advice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// An expression fits somebody at any host.
    BroadRegExp,
    /// An expression fits everybody at a host that anybody can join.
    AnyOwner,
    /// A dot in a host fits any character.
    UnescapedDot,
    /// A tag scope: pods that pin a digest lose the tag.
    TagScope,
    /// Signatures have to carry a tag.
    TagInSignature,
    /// The policy's excludes leave nothing of a scope.
    CoversNothing,
    /// No image that the policy covers has the prefix to remap.
    RemapWithoutEffect,
    /// The policy covers the image of the pod sandbox.
    CoversSandboxImage,
    /// The policy covers images that nodes or the control plane start with.
    CoversSystemImages,
    /// The policy covers the product's own images, which are exempt.
    CoversOwnImages,
    /// Everything that the policy covers is exempt.
    AllExempt,
    /// An auditing policy, and the default action refuses what it covers.
    AuditUnderReject,
    /// An exclude, and the default action refuses what it leaves out.
    ExcludeUnderReject,
    /// No one signature satisfies this policy and another one.
    SeveralSignaturesNeeded,
    /// The default action refuses, and nothing is exempt.
    NothingExempt,
    /// An exemption of a place where anybody can push images.
    BroadExemption,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::BroadRegExp,
        Self::AnyOwner,
        Self::UnescapedDot,
        Self::TagScope,
        Self::TagInSignature,
        Self::CoversNothing,
        Self::RemapWithoutEffect,
        Self::CoversSandboxImage,
        Self::CoversSystemImages,
        Self::CoversOwnImages,
        Self::AllExempt,
        Self::AuditUnderReject,
        Self::ExcludeUnderReject,
        Self::SeveralSignaturesNeeded,
        Self::NothingExempt,
        Self::BroadExemption,
    ];

    /// The word as it stands in conditions, in events and in the output of `nodeseal validate`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BroadRegExp => "BroadRegExp",
            Self::AnyOwner => "AnyOwner",
            Self::UnescapedDot => "UnescapedDot",
            Self::TagScope => "TagScope",
            Self::TagInSignature => "TagInSignature",
            Self::CoversNothing => "CoversNothing",
            Self::RemapWithoutEffect => "RemapWithoutEffect",
            Self::CoversSandboxImage => "CoversSandboxImage",
            Self::CoversSystemImages => "CoversSystemImages",
            Self::CoversOwnImages => "CoversOwnImages",
            Self::AllExempt => "AllExempt",
            Self::AuditUnderReject => "AuditUnderReject",
            Self::ExcludeUnderReject => "ExcludeUnderReject",
            Self::SeveralSignaturesNeeded => "SeveralSignaturesNeeded",
            Self::NothingExempt => "NothingExempt",
            Self::BroadExemption => "BroadExemption",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
