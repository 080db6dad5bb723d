//! One key, and what may be wrong with a signature.

use anyhow::{Context as _, Result};
use e2e::cosign::Format;
use e2e::signatures;
use serde_json::{Value, json};

use super::{DIGEST, NAME, STRANGER, UNSIGNED};
use crate::case::{Case, With as _, policy};
use crate::world::World;

const TYPE: &str = "Unrecognized signature type";

pub(super) async fn cases(world: &World) -> Result<Vec<Case>> {
    let [a, b, _] = &world.signers;
    let wants_a = policy("p", &[&world.registry.host()]).by(&a.pem);
    let mut cases = Vec::new();

    for (what, cosign) in [
        ("signed by cosign 2", &world.cosign2),
        ("signed by cosign 3", &world.cosign3),
    ] {
        let pair = cosign.generate_key("release").await?;
        let wants = policy("p", &[&world.registry.host()]).by(&pair.pem);
        let name = what.replace(' ', "-");
        let image = world.cosigned(cosign, &pair, &name).await?;
        cases.push(Case::new(what, &image).policy(&wants));
    }
    let pair = world.cosign3.import_key("a", &a.key).await?;
    let image = world
        .cosigned(&world.cosign3, &pair, "sig/imported")
        .await?;
    let case = Case::new("signed by cosign 3 and pulled by digest", &image);
    cases.push(case.by_digest(&image).policy(&wants_a));
    let case = Case::new(
        "signed by cosign 3 with a key that is not the policy's",
        &image,
    );
    let wants_b = policy("p", &[&world.registry.host()]).by(&b.pem);
    cases.push(case.policy(&wants_b).refused(STRANGER));

    let unsigned = world.image("sig/unsigned", "v1").await?;
    let case = Case::new("unsigned", &unsigned).policy(&wants_a);
    cases.push(case.refused(UNSIGNED));

    let image = world.image("sig/digest", "v1").await?;
    let payload = signatures::payload(&image.repository.full_name(), &unsigned.digest);
    let signature = a.key.sign(&payload)?;
    signatures::attach(&image, &[(payload, signature)]).await?;
    let case = Case::new("signed for another digest", &image).policy(&wants_a);
    cases.push(case.refused(DIGEST));

    let image = world.image("sig/name", "v1").await?;
    world
        .sign_as(&image, "registry.example.com/team/app", &[a])
        .await?;
    let case = Case::new("signed for another repository", &image).policy(&wants_a);
    cases.push(case.refused(NAME));

    let image = world.signed("sig/among", "v1", &[b, a]).await?;
    let case = Case::new("a good signature behind that of a stranger", &image);
    cases.push(case.policy(&wants_a));

    let image = world.image("sig/tampered", "v1").await?;
    let payload = signatures::payload(&image.repository.full_name(), &unsigned.digest);
    let signature = a.key.sign(&payload)?;
    let other = signatures::payload(&image.repository.full_name(), &image.digest);
    signatures::attach(&image, &[(other, signature)]).await?;
    let case = Case::new("a payload that was changed after signing", &image).policy(&wants_a);
    cases.push(case.refused(STRANGER));

    cases.extend(odd_payloads(world, &wants_a).await?);
    Ok(cases)
}

/// What is odd, how the payload becomes so, and what CRI-O says if it refuses it.
type Odd = (&'static str, fn(&mut Value), Option<&'static str>);

/// Payloads that are validly signed and unlike those that cosign makes; it takes them all.
async fn odd_payloads(world: &World, wants: &policy::model::PolicyDraft) -> Result<Vec<Case>> {
    let [a, _, _] = &world.signers;
    let mut cases = Vec::new();
    let odd: [Odd; 5] = [
        (
            "a payload with annotations",
            |payload| {
                payload["optional"] = json!({"commit": "abc", "creator": "ci", "timestamp": 7});
            },
            None,
        ),
        (
            "a payload with an unknown critical field",
            |payload| payload["critical"]["extra"] = json!(1),
            Some("Unknown key"),
        ),
        (
            "a payload without the optional part",
            |payload| {
                payload.as_object_mut().map(|o| o.remove("optional"));
            },
            Some("missing"),
        ),
        (
            "a payload of another type",
            |payload| payload["critical"]["type"] = json!("atomic container signature"),
            Some(TYPE),
        ),
        (
            "a payload without a name",
            |payload| payload["critical"]["identity"]["docker-reference"] = json!(""),
            Some(NAME),
        ),
    ];
    let cosign = &world.cosign2;
    let pair = cosign.import_key("odd", &a.key).await?;
    for (what, change, refusal) in odd {
        let image = world.image(&what.replace(' ', "-"), "v1").await?;
        let payload = signatures::payload(&image.repository.full_name(), &image.digest);
        let mut payload: Value = serde_json::from_slice(&payload)?;
        change(&mut payload);
        let payload = payload.to_string().into_bytes();
        let signature = a.key.sign(&payload)?;
        signatures::attach(&image, &[(payload, signature)]).await?;
        let case = Case::new(what, &image).policy(wants);
        let by_digest = image.by_digest();
        let verified = cosign.verify(&pair.public, Format::Attachment, &by_digest);
        verified
            .await
            .with_context(|| format!("{what}: cosign refuses it"))?;
        cases.push(match refusal {
            // Both engines want a type and a name.
            Some(words) if [TYPE, NAME].contains(&words) => case.refused(words),
            // Signed by the right key, so what the verifier passes is what that key vouches for.
            Some(words) => case
                .refused(words)
                .differs("the verifier reads what it needs of a payload, as cosign does"),
            None => case,
        });
    }
    Ok(cases)
}
