//! Which policies cover an image.

use anyhow::Result;

use super::{REJECTED, STRANGER, UNSIGNED};
use crate::case::{Case, With as _, policy};
use crate::world::World;

pub(super) async fn cases(world: &World) -> Result<Vec<Case>> {
    let [a, b, _] = &world.signers;
    let scope = |path: &str| world.scope(path);
    let by_a = world.signed("nest/app", "v1", &[a]).await?;
    let inner_by_a = world.signed("nest/inner/app", "v1", &[a]).await?;
    let inner_by_both = world.signed("nest/inner/both", "v1", &[a, b]).await?;
    let unsigned = world.image("nest/sandbox/app", "v1").await?;
    let sibling = world.image("nester", "v1").await?;

    let outer = policy("outer", &[&scope("nest")]).by(&a.pem);
    let inner = policy("inner", &[&scope("nest/inner")]).by(&b.pem);
    let both = |what, image| Case::new(what, image).policy(&outer).policy(&inner);
    let mut cases = vec![
        both(
            "outside the narrower scope only the wider policy counts",
            &by_a,
        ),
        both("inside the narrower scope both policies count", &inner_by_a).refused(STRANGER),
        both("inside the narrower scope both have signed", &inner_by_both),
        both("a name that only begins like a scope", &sibling),
    ];

    let exclude = outer.clone().exclude(&scope("nest/sandbox"));
    let excluded = |what| Case::new(what, &unsigned).policy(&exclude);
    let narrower = policy("narrower", &[&scope("nest/sandbox/app")]).by(&a.pem);
    cases.extend([
        excluded("an exclude takes an image out"),
        excluded("what an exclude takes out gets the default action")
            .reject()
            .refused(REJECTED),
        excluded("another policy covers what an exclude takes out")
            .policy(&narrower)
            .refused(UNSIGNED),
        Case::new("two policies over one scope both count", &by_a)
            .policy(&outer)
            .policy(&policy("second", &[&scope("nest")]).by(&b.pem))
            .refused(STRANGER),
    ]);

    let wildcard = policy("wildcard", &["*.0.0.1"]).by(&a.pem);
    cases.extend([
        Case::new("a wildcard covers a host", &by_a).policy(&wildcard),
        Case::new("a wildcard covers an unsigned image", &unsigned)
            .policy(&wildcard)
            .refused(UNSIGNED),
    ]);

    let tag = policy("tag", &[&format!("{}:v1", scope("nest/sandbox/app"))]).by(&a.pem);
    let other_tag = world.image("nest/sandbox/app", "v2").await?;
    let digest = policy("digest", &[&unsigned.by_digest()]).by(&a.pem);
    let exact = policy("digest", &[&by_a.by_digest()]).by(&a.pem);
    cases.extend([
        Case::new("a tag scope covers its tag", &unsigned)
            .policy(&tag)
            .refused(UNSIGNED),
        Case::new("a tag scope covers no other tag", &other_tag).policy(&tag),
        Case::new("a tag scope covers no digest", &unsigned)
            .by_digest(&unsigned)
            .policy(&tag),
        Case::new("a digest scope covers its digest", &unsigned)
            .by_digest(&unsigned)
            .policy(&digest)
            .refused(UNSIGNED),
        Case::new("a digest scope passes what is signed", &by_a)
            .by_digest(&by_a)
            .policy(&exact)
            .reject(),
        Case::new("a digest scope covers no tag", &unsigned).policy(&digest),
        Case::new("no policy covers it and the default is Reject", &unsigned)
            .policy(&inner)
            .reject()
            .refused(REJECTED),
        Case::new("signed where the default is Reject", &by_a)
            .policy(&outer)
            .reject(),
        Case::new("no policy at all", &unsigned),
        Case::new("no policy at all and the default is Reject", &unsigned)
            .reject()
            .refused(REJECTED),
        Case::new("exempt where the default is Reject", &unsigned)
            .exempt(&scope("nest/sandbox"))
            .reject(),
        Case::new("exempt whatever covers it", &unsigned)
            .policy(&outer)
            .exempt(&scope("nest/sandbox/app")),
        Case::new("an exemption of the wider scope counts too", &inner_by_a)
            .policy(&inner)
            .exempt(&scope("nest")),
    ]);
    Ok(cases)
}
