//! Images that are pulled from elsewhere than their name says: CRI-O alone, since no other name
//! of the lab's registry reaches it without a mirror.

use anyhow::Result;

use super::{STRANGER, UNSIGNED};
use crate::case::{Case, With as _, policy};
use crate::world::World;

const NAME: &str = "registry.example.com/team";

pub(crate) async fn cases(world: &World) -> Result<Vec<Case>> {
    let [a, b, _] = &world.signers;
    let conf = |prefix: &str| {
        format!(
            "[[registry]]\nprefix = \"{prefix}\"\nlocation = \"{}/nothing\"\ninsecure = true\n[[registry.mirror]]\nlocation = \"{}\"\ninsecure = true\n",
            world.registry.host(),
            world.scope("cache")
        )
    };
    let signed = world.image("cache/signed", "v1").await?;
    world
        .sign_as(&signed, &format!("{NAME}/signed"), &[a])
        .await?;
    let unsigned = world.image("cache/unsigned", "v1").await?;
    let signed_as = format!("{NAME}/signed:v1");
    let unsigned_as = format!("{NAME}/unsigned:v1");
    let exactly = conf(NAME);
    let deep = world.image("cache/team/deep", "v1").await?;
    world.sign_as(&deep, &format!("{NAME}/deep"), &[a]).await?;
    let deep_as = format!("{NAME}/deep:v1");
    let wants = |scope: &str| policy("p", &[scope]).by(&a.pem);
    let wants_b = policy("p", &[NAME]).by(&b.pem);
    Ok(vec![
        Case::new("a scope that is the mirrored prefix", &signed)
            .mirrored(&signed_as, &exactly)
            .policy(&wants(NAME)),
        Case::new("a scope below the mirrored prefix", &signed)
            .mirrored(&signed_as, &exactly)
            .policy(&wants(&format!("{NAME}/signed"))),
        Case::new("a tag scope below the mirrored prefix", &signed)
            .mirrored(&signed_as, &exactly)
            .policy(&wants(&signed_as)),
        Case::new("a scope above the mirrored prefix", &signed)
            .mirrored(&signed_as, &exactly)
            .policy(&wants("registry.example.com")),
        Case::new("a wildcard above the mirrored prefix", &signed)
            .mirrored(&signed_as, &exactly)
            .policy(&wants("*.example.com")),
        Case::new("a mirror of a whole domain", &deep)
            .mirrored(&deep_as, &conf("*.example.com"))
            .policy(&wants(NAME)),
        Case::new("a stranger's signature on a mirror", &signed)
            .mirrored(&signed_as, &exactly)
            .policy(&wants_b)
            .refused(STRANGER),
        Case::new("unsigned on a mirror", &unsigned)
            .mirrored(&unsigned_as, &exactly)
            .policy(&wants(NAME))
            .refused(UNSIGNED),
    ])
}
