//! Certificates of Fulcio: names in them, chains above them, times.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::keys::Kind;
use e2e::sigstore::signer::{CERTIFICATE, CHAIN};
use e2e::sigstore::{Authority, Leaf, Validity};
use policy::crio::sigstore::SigstoreSigned;
use rcgen::ExtendedKeyUsagePurpose;

use crate::world::{Case, EMAIL, ISSUER, World, trust};

const UNKNOWN: &str = "certificate signed by unknown authority";
const TIME: &str = "certificate has expired or is not yet valid";

/// Who it is. None of these certificates has an SCT: the library asks for none.
pub(crate) fn names(world: &World) -> Result<Vec<Case>> {
    let rule = world.keyless()?;
    let case = |what: &'static str, leaf: Leaf| -> Result<Case> {
        let signer = world.fulcio.issue(&leaf)?;
        world.case(what, &rule)?.logged(&signer, &world.log)
    };
    let leaf = Leaf::new;
    let other = "https://other.example.com";
    Ok(vec![
        case("e-mail and issuer", leaf().email(EMAIL).issuer(ISSUER))?,
        case(
            "another e-mail",
            leaf().email("mallory@example.com").issuer(ISSUER),
        )?
        .refused(r#"Required email "release@example.com" not found (got ["mallory@example.com"])"#),
        case(
            "e-mail in other letters",
            leaf().email("Release@example.com").issuer(ISSUER),
        )?
        .refused("Required email"),
        case(
            "two e-mails one right",
            leaf().email("a@example.com").email(EMAIL).issuer(ISSUER),
        )?,
        case(
            "URI for an e-mail",
            leaf().uri("https://example.com/workflow").issuer(ISSUER),
        )?
        .refused(r#"Required email "release@example.com" not found (got [])"#),
        case(
            "e-mail as URI",
            leaf().uri(&format!("mailto:{EMAIL}")).issuer(ISSUER),
        )?
        .refused("Required email"),
        case("another issuer", leaf().email(EMAIL).issuer(other))?
            .refused(r#"Unexpected Fulcio OIDC issuer "https://other.example.com""#),
        case(
            "issuer with a slash more",
            leaf().email(EMAIL).issuer(&format!("{ISSUER}/")),
        )?
        .refused("Unexpected Fulcio OIDC issuer"),
        case("issuer the old way", leaf().email(EMAIL).issuer_v1(ISSUER))?,
        case("issuer the new way", leaf().email(EMAIL).issuer_v2(ISSUER))?,
        case(
            "issuers that differ",
            leaf().email(EMAIL).issuer_v1(ISSUER).issuer_v2(other),
        )?
        .refused("inconsistent OIDC issuer extension values"),
        case("no issuer", leaf().email(EMAIL))?
            .refused("Fulcio certificate is missing the issuer extension"),
        case(
            "claims beside the issuer",
            leaf()
                .email(EMAIL)
                .issuer(ISSUER)
                .claim(12, "https://example.com/source"),
        )?,
        case(
            "certificate of a server",
            leaf()
                .email(EMAIL)
                .issuer(ISSUER)
                .usages(vec![ExtendedKeyUsagePurpose::ServerAuth]),
        )?
        .refused("certificate specifies an incompatible key usage"),
        case(
            "certificate without extended key usage",
            leaf().email(EMAIL).issuer(ISSUER).usages(Vec::new()),
        )?,
        case(
            "certificate over RSA",
            leaf().email(EMAIL).issuer(ISSUER).key(Kind::Rsa2048),
        )?,
        case(
            "certificate over P-384",
            leaf().email(EMAIL).issuer(ISSUER).key(Kind::P384),
        )?
        .refused("cryptographic signature verification failed"),
    ])
}

/// When. The whole chain must hold at the time of the entry, up to what is trusted.
pub(crate) fn times(world: &World) -> Result<Vec<Case>> {
    let keyless = world.keyless()?;
    let hour = Duration::from_hours(1);
    let old = world.now - 24 * hour;
    let (long, past) = (Validity::long(), Validity::around(old));
    let fresh = Validity::around(world.now);
    // Validities of root, intermediate and certificate; whether the intermediate is trusted too.
    let case = |what, [root, below, leaf]: [Validity; 3], both, at| -> Result<Case> {
        let root = Authority::root_with("root", Kind::P256, root)?;
        let below = root.intermediate_with("below", Kind::P256, below)?;
        let leaf = Leaf::new().email(EMAIL).issuer(ISSUER).valid(leaf);
        let signer = below.issue(&leaf)?;
        let trusted = if both { below.chain_pem() } else { root.pem() };
        let rule = SigstoreSigned {
            fulcio: Some(trust(&trusted)),
            ..keyless.clone()
        };
        let case = world.case(what, &rule)?;
        let signature = case.signature(&signer)?.logged(&world.log, at)?;
        Ok(case.with(signature))
    };
    let (before, after) = (
        Validity::around(world.now - hour),
        Validity::around(world.now + hour),
    );
    let now = world.now;
    Ok(vec![
        case(
            "certificate that has expired since",
            [long, long, past],
            false,
            old,
        )?,
        case(
            "authorities that have expired since",
            [past, past, past],
            false,
            old,
        )?,
        case(
            "certificate that had expired",
            [long, long, before],
            false,
            now,
        )?
        .refused(TIME),
        case("certificate of the future", [long, long, after], false, now)?.refused(TIME),
        case(
            "intermediate that had expired",
            [long, past, fresh],
            false,
            now,
        )?
        .refused(TIME),
        case("root that had expired", [past, long, fresh], false, now)?.refused(TIME),
        case(
            "root that had expired and intermediate trusted",
            [past, long, fresh],
            true,
            now,
        )?,
        case(
            "intermediate that had expired and is trusted",
            [long, past, fresh],
            true,
            now,
        )?
        .refused(TIME),
    ])
}

/// By whom.
pub(crate) fn chains(world: &World) -> Result<Vec<Case>> {
    let keyless = world.keyless()?;
    let trusting = |certificates: &str| SigstoreSigned {
        fulcio: Some(trust(certificates)),
        ..keyless.clone()
    };
    let (root, fulcio) = (world.root.pem(), world.fulcio.pem());
    let stranger = Authority::root("stranger")?;
    let case = |what, rule: &SigstoreSigned| world.case(what, rule);
    let bare = |what, rule: &SigstoreSigned| -> Result<Case> {
        let case = case(what, rule)?;
        let signature = case.signature(&world.releaser()?)?;
        let signature = signature.logged(&world.log, world.now)?;
        Ok(case.with(signature.without(CHAIN)))
    };
    let direct = stranger.issue(&Leaf::new().email(EMAIL).issuer(ISSUER))?;
    let signer = world.releaser()?;

    let without = case("no certificate", &keyless)?;
    let signature = without.signature(&signer)?.logged(&world.log, world.now)?;
    let without = without.with(signature.without(CERTIFICATE));

    let two = case("two certificates", &keyless)?;
    let signature = two.signature(&signer)?;
    let both = signer.certificate_pem().context("a certificate")?.repeat(2);
    let signature = signature.logged(&world.log, world.now)?;
    let two = two.with(signature.annotated(CERTIFICATE, &both));

    let short = case("chain that ends below the root", &keyless)?;
    let signature = short.signature(&signer)?.logged(&world.log, world.now)?;
    let short = short.with(signature.annotated(CHAIN, &fulcio));

    let leaf = Leaf::new().email(EMAIL).issuer(ISSUER);
    let borrowed = case("chain of another authority", &keyless)?;
    let other = stranger.intermediate("fulcio")?.issue(&leaf)?;
    let signature = borrowed.signature(&other)?.logged(&world.log, world.now)?;
    let borrowed = borrowed.with(signature.annotated(CHAIN, &world.fulcio.chain_pem()));

    Ok(vec![
        case("another root", &keyless)?
            .logged(&other, &world.log)?
            .refused(UNKNOWN),
        borrowed.refused(UNKNOWN),
        case("issued by the root itself", &trusting(&stranger.pem()))?
            .logged(&direct, &world.log)?,
        bare("root trusted and no chain", &trusting(&root))?.refused(UNKNOWN),
        bare("intermediate trusted and no chain", &trusting(&fulcio))?,
        bare(
            "whole chain trusted and none attached",
            &trusting(&world.fulcio.chain_pem()),
        )?,
        bare(
            "two roots trusted and no chain",
            &trusting(&format!("{}{root}", stranger.pem())),
        )?
        .refused(UNKNOWN),
        case(
            "two roots trusted the second right",
            &trusting(&format!("{}{root}", stranger.pem())),
        )?
        .logged(&signer, &world.log)?,
        case(
            "intermediate trusted and chain attached",
            &trusting(&fulcio),
        )?
        .logged(&signer, &world.log)?,
        short.refused(UNKNOWN),
        without.refused("missing dev.sigstore.cosign/certificate annotation"),
        two.refused("trailing data"),
        case("trust that is no certificate", &trusting("no certificate"))?
            .logged(&signer, &world.log)?
            .refused("error loading Fulcio CA certificates"),
    ])
}
