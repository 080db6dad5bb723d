//! Which name a signature must carry.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns;

/// Which name a signature must carry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.exactRepository) == (self.type == 'ExactRepository')")
    .message("exactRepository goes with type ExactRepository, which needs it: set both or neither").field_path(".exactRepository"))]
#[x_kube(validation = Rule::new("has(self.remapIdentity) == (self.type == 'RemapIdentity')")
    .message("remapIdentity goes with type RemapIdentity, which needs it: set both or neither").field_path(".remapIdentity"))]
#[x_kube(validation = Rule::new("!has(self.unnamedSignatures) || self.type == 'MatchRepository'")
    .message("unnamedSignatures goes with type MatchRepository only, every other type refuses such signatures: remove it").field_path(".unnamedSignatures"))]
pub struct SignedIdentity {
    /// `MatchRepository` (default): the repository that is pulled, whatever the tag.
    /// `MatchRepoDigestOrExact`: the very `repository:tag`, or for a pull by digest the
    /// repository; the signature must carry a tag, which plain cosign signatures do not.
    /// `ExactRepository`: the one in `exactRepository`. `RemapIdentity`: the name that is pulled
    /// with a prefix replaced as `remapIdentity` says; the signature must carry a tag.
    #[serde(default, rename = "type")]
    pub kind: IdentityType,
    /// With type ExactRepository only, and required then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_repository: Option<ExactRepository>,
    /// With type RemapIdentity only, and required then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remap_identity: Option<RemapIdentity>,
    /// What to do with a signature that names only a digest. (The schema shows the enum's text.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unnamed_signatures: Option<UnnamedSignatures>,
}

/// How the name in a signature is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IdentityType {
    /// The same repository, whatever the tag.
    #[default]
    MatchRepository,
    /// The very tag, or the repository for a pull by digest.
    MatchRepoDigestOrExact,
    /// One given repository.
    ExactRepository,
    /// The name that is pulled, with a prefix replaced.
    RemapIdentity,
}

/// One given repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExactRepository {
    /// The repository that signatures name, `host/path` in canonical form without tag and digest,
    /// at most 512 characters.
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::SCOPE))]
    pub repository: String,
}

/// A prefix of the name that is pulled, and what signatures carry in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemapIdentity {
    /// What images are pulled from: `host` or `host/path` in canonical form without tag and
    /// digest, at most 512 characters. It matches whole path components.
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::SCOPE))]
    pub prefix: String,
    /// What stands in its place in signatures, in the same form.
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::SCOPE))]
    pub signed_prefix: String,
}

/// With type MatchRepository only: `Accept` (default) lets a signature pass that names no repository
/// but only the digest, as the bundles do that cosign 3 makes; `Refuse` demands the name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UnnamedSignatures {
    /// Let it pass.
    #[default]
    Accept,
    /// Refuse it.
    Refuse,
}
