//! The cases, by what they are about.

mod formats;
mod identities;
mod mirrors;
mod namespaces;
mod nodes;
mod scopes;
mod signatures;
mod thresholds;

use anyhow::Result;

pub(crate) use mirrors::cases as mirrored;

use crate::case::Case;
use crate::world::World;

// What the library says when it refuses.
/// No signature was found where CRI-O looks.
pub(crate) const UNSIGNED: &str = "A signature was required, but no signature exists";
/// By another key.
pub(crate) const STRANGER: &str = "cryptographic signature verification failed";
/// For another name.
pub(crate) const NAME: &str = "Signature for identity";
/// For another digest.
pub(crate) const DIGEST: &str = "Signature for digest";
/// A rule that refuses everything.
pub(crate) const REJECTED: &str = "is rejected by policy";

/// Every case, with its image pushed and signed.
pub(crate) async fn all(world: &World) -> Result<Vec<Case>> {
    let mut cases = signatures::cases(world).await?;
    cases.extend(formats::cases(world).await?);
    cases.extend(scopes::cases(world).await?);
    cases.extend(thresholds::cases(world).await?);
    cases.extend(identities::cases(world).await?);
    cases.extend(namespaces::cases(world).await?);
    cases.extend(nodes::cases(world).await?);
    Ok(cases)
}
