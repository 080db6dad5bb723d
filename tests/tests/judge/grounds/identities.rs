//! Which name a signature must carry.

use anyhow::Result;
use policy::identity::SignedIdentity;

use super::NAME;
use crate::case::{Case, With as _, policy};
use crate::world::World;

const ORIGIN: &str = "registry.example.com/team";

pub(super) async fn cases(world: &World) -> Result<Vec<Case>> {
    let [a, _, _] = &world.signers;
    let scope = world.scope("copy");
    let wants = |identity| policy("p", &[&scope]).by(&a.pem).identity(identity);
    let named = async |repository: &str, name: &str| {
        let image = world.image(&format!("copy/{repository}"), "v1").await?;
        world.sign_as(&image, name, &[a]).await?;
        anyhow::Ok(image)
    };
    let own = |repository: &str| format!("{scope}/{repository}");
    let plain = named("plain", &own("plain")).await?;
    let origin = named("origin", &format!("{ORIGIN}/app")).await?;
    let tagged = named("tagged", &format!("{}:v1", own("tagged"))).await?;
    let other_tag = named("other-tag", &format!("{}:v2", own("other-tag"))).await?;
    let remapped = named("remapped", &format!("{ORIGIN}/remapped:v1")).await?;
    let untagged = named("untagged", &format!("{ORIGIN}/untagged")).await?;

    let exact = wants(SignedIdentity::ExactRepository {
        repository: format!("{ORIGIN}/app"),
    });
    let or_exact = wants(SignedIdentity::MatchRepoDigestOrExact);
    let remap = wants(SignedIdentity::RemapIdentity {
        prefix: scope.clone(),
        signed_prefix: ORIGIN.to_owned(),
    });
    let elsewhere = wants(SignedIdentity::RemapIdentity {
        prefix: world.scope("cop"),
        signed_prefix: ORIGIN.to_owned(),
    });
    let repository = policy("p", &[&scope]).by(&a.pem);
    Ok(vec![
        Case::new("ExactRepository of a copy", &origin).policy(&exact),
        Case::new("ExactRepository refuses the copy's own name", &plain)
            .policy(&exact)
            .refused(NAME),
        Case::new("MatchRepository refuses the original name", &origin)
            .policy(&repository)
            .refused(NAME),
        Case::new(
            "MatchRepository with another tag in the signature",
            &other_tag,
        )
        .policy(&repository),
        Case::new("MatchRepoDigestOrExact with the tag", &tagged).policy(&or_exact),
        Case::new("MatchRepoDigestOrExact with another tag", &other_tag)
            .policy(&or_exact)
            .refused(NAME),
        Case::new(
            "MatchRepoDigestOrExact with another tag by digest",
            &other_tag,
        )
        .by_digest(&other_tag)
        .policy(&or_exact),
        Case::new("MatchRepoDigestOrExact without a tag", &plain)
            .policy(&or_exact)
            .refused(NAME),
        Case::new("MatchRepoDigestOrExact without a tag by digest", &plain)
            .by_digest(&plain)
            .policy(&or_exact)
            .refused(NAME),
        Case::new("RemapIdentity with the tag", &remapped).policy(&remap),
        Case::new("RemapIdentity with the tag by digest", &remapped)
            .by_digest(&remapped)
            .policy(&remap),
        Case::new("RemapIdentity without a tag", &untagged)
            .policy(&remap)
            .refused(NAME),
        Case::new("RemapIdentity refuses the name that is pulled", &tagged)
            .policy(&remap)
            .refused(NAME),
        Case::new("RemapIdentity leaves other names alone", &tagged).policy(&elsewhere),
    ])
}
