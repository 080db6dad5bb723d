//! Kinds of keys, formats of signatures, and indexes: where the two engines differ, they do so as
//! documented, and CRI-O is the stricter one.

use anyhow::Result;
use e2e::Image;
use e2e::cosign::Format;
use e2e::keys::Kind;

use super::{STRANGER, UNSIGNED};
use crate::case::{Case, With as _, policy};
use crate::world::{World, signer};

pub(super) async fn cases(world: &World) -> Result<Vec<Case>> {
    let host = world.registry.host();
    let mut cases = Vec::new();
    for (what, kind, refusal) in [
        ("signed with RSA", Kind::Rsa2048, None),
        ("signed with Ed25519", Kind::Ed25519, None),
        ("signed with P-384", Kind::P384, Some(STRANGER)),
        ("signed with P-521", Kind::P521, Some(STRANGER)),
    ] {
        let signer = signer(kind)?;
        let name = what.to_lowercase().replace(' ', "-");
        let image = world.signed(&name, "v1", &[&signer]).await?;
        let case = Case::new(what, &image).policy(&policy("p", &[&host]).by(&signer.pem));
        cases.push(match refusal {
            Some(words) => case
                .refused(words)
                .differs("CRI-O hashes with SHA-256 whatever the curve, cosign as the curve wants"),
            None => case,
        });
    }

    let pair = world.cosign3.generate_key("formats").await?;
    let wants = policy("p", &[&host]).by(&pair.pem);
    let image = world.image("formats/bundle", "v1").await?;
    let by_digest = image.by_digest();
    let sign = world.cosign3.sign(&pair, Format::Bundle, &by_digest);
    sign.await?;
    let case = Case::new("signed as a bundle alone", &image).policy(&wants);
    cases.push(case.refused(UNSIGNED).differs("CRI-O reads no bundles"));

    let sign = |image: &Image, more: &'static [&'static str]| {
        let (cosign, pair, image) = (&world.cosign2, pair.clone(), image.by_digest());
        async move {
            cosign
                .sign_with(&pair, Format::Attachment, &image, more)
                .await
        }
    };
    let index = Image::push_index(&world.registry, "formats/recursive", "v1").await?;
    sign(&index, &["--recursive"]).await?;
    let case = Case::new("an index signed with its manifests", &index);
    cases.push(case.policy(&wants));
    let case = Case::new("an index signed with its manifests by digest", &index);
    cases.push(case.by_digest(&index).policy(&wants));
    let index = Image::push_index(&world.registry, "formats/index", "v1").await?;
    sign(&index, &[]).await?;
    let case = Case::new("an index signed alone", &index).policy(&wants);
    let differs = "CRI-O judges the platform's manifest, the verifier the index";
    cases.push(case.refused(UNSIGNED).differs(differs));
    Ok(cases)
}
