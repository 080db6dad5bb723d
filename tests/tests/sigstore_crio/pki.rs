//! Certificates of a company's own authority.

use std::time::Duration;

use anyhow::Result;
use e2e::sigstore::signer::{CERTIFICATE, CHAIN};
use e2e::sigstore::{Authority, Leaf, Validity};
use policy::crio::sigstore::{Pki, SigstoreSigned};
use rcgen::ExtendedKeyUsagePurpose;

use crate::world::{Case, EMAIL, World, data, rule};

const HOSTNAME: &str = "build.example.com";
const UNKNOWN: &str = "certificate signed by unknown authority";

/// The rule that wants these names from these roots and intermediates.
fn pki(roots: &str, intermediates: Option<&str>, email: bool, hostname: bool) -> SigstoreSigned {
    SigstoreSigned {
        pki: Some(Pki {
            ca_roots_data: Some(data(roots)),
            ca_intermediates_data: intermediates.map(data),
            subject_email: email.then(|| EMAIL.to_owned()),
            subject_hostname: hostname.then(|| HOSTNAME.to_owned()),
            ..Pki::default()
        }),
        ..rule()
    }
}

/// A corporate certificate without names.
fn leaf() -> Leaf {
    Leaf::new().valid(Validity::long())
}

/// Who it is.
pub(crate) fn names(world: &World) -> Result<Vec<Case>> {
    let root = world.root.pem();
    let (by_email, by_host) = (pki(&root, None, true, false), pki(&root, None, false, true));
    let by_both = pki(&root, None, true, true);
    let case = |what, rule: &SigstoreSigned, leaf: Leaf| -> Result<Case> {
        world.case(what, rule)?.signed(&world.root.issue(&leaf)?)
    };
    Ok(vec![
        case("PKI e-mail", &by_email, leaf().email(EMAIL))?,
        case("PKI host name", &by_host, leaf().dns(HOSTNAME))?,
        case("PKI both", &by_both, leaf().email(EMAIL).dns(HOSTNAME))?,
        case("PKI another e-mail", &by_email, leaf().email("mallory@example.com"))?
            .refused(r#"Required email "release@example.com" not found (got ["mallory@example.com"])"#),
        case("PKI another host name", &by_host, leaf().dns("other.example.com"))?
            .refused("Unexpected subject hostname: x509: certificate is valid for other.example.com, not build.example.com"),
        case("PKI both and another e-mail", &by_both, leaf().email("a@example.com").dns(HOSTNAME))?
            .refused("Required email"),
        case("PKI both and another host name", &by_both, leaf().email(EMAIL).dns("x.example.com"))?
            .refused("Unexpected subject hostname"),
        case("PKI both and no host name", &by_both, leaf().email(EMAIL))?
            .refused("certificate is not valid for any names"),
        case("PKI host name for an e-mail", &by_email, leaf().dns(HOSTNAME))?
            .refused("Required email"),
        // The host name is matched as for TLS.
        case("PKI wildcard", &by_host, leaf().dns("*.example.com"))?,
        case("PKI wildcard elsewhere", &by_host, leaf().dns("*.build.example.com"))?
            .refused("Unexpected subject hostname"),
        case("PKI host name in other letters", &by_host, leaf().dns("Build.Example.com"))?,
        case(
            "PKI server",
            &by_host,
            leaf()
                .dns(HOSTNAME)
                .usages(vec![ExtendedKeyUsagePurpose::ServerAuth]),
        )?
        .refused("certificate specifies an incompatible key usage"),
    ])
}

/// By whom, and when.
pub(crate) fn chains(world: &World) -> Result<Vec<Case>> {
    let (root, below) = (world.root.pem(), world.fulcio.pem());
    let rooted = pki(&root, None, true, false);
    let helped = pki(&root, Some(&below), true, false);
    let direct = world.root.issue(&leaf().email(EMAIL))?;
    let deep = world.fulcio.issue(&leaf().email(EMAIL))?;
    let case = |what, rule: &SigstoreSigned| world.case(what, rule);
    let bare = |what, rule: &SigstoreSigned| -> Result<Case> {
        let case = case(what, rule)?;
        let signature = case.signature(&deep)?;
        Ok(case.with(signature.without(CHAIN)))
    };
    let stranger = Authority::root("stranger")?.issue(&leaf().email(EMAIL))?;
    let yesterday = world.now - Duration::from_hours(24);
    let expired = Leaf::new().valid(Validity::around(yesterday)).email(EMAIL);
    let expired = world.root.issue(&expired)?;
    let known = case("PKI expired since and in a log", &rooted)?;
    let signature = known.signature(&expired)?.logged(&world.log, yesterday)?;
    let known = known.with(signature);

    let without = case("PKI no certificate", &rooted)?;
    let signature = without.signature(&direct)?.without(CERTIFICATE);
    let without = without.with(signature);
    let short = case("PKI chain that ends below the root", &rooted)?;
    let signature = short.signature(&deep)?.annotated(CHAIN, &below);
    let short = short.with(signature);

    Ok(vec![
        case("PKI another root", &rooted)?
            .signed(&stranger)?
            .refused(UNKNOWN),
        case("PKI intermediate attached", &rooted)?.signed(&deep)?,
        bare("PKI intermediate missing", &rooted)?.refused(UNKNOWN),
        bare("PKI intermediate given", &helped)?,
        case("PKI intermediate given and attached", &helped)?.signed(&deep)?,
        bare("PKI intermediate as root", &pki(&below, None, true, false))?,
        short.refused(UNKNOWN),
        case("PKI expired", &rooted)?
            .signed(&expired)?
            .refused("certificate has expired or is not yet valid"),
        // No log can say when it was signed: this is what our own engine does better.
        known.refused("certificate has expired or is not yet valid"),
        case("PKI in a log", &rooted)?.logged(&direct, &world.log)?,
        without.refused("missing dev.sigstore.cosign/certificate annotation"),
        case("PKI two signatures the second right", &rooted)?
            .signed(&stranger)?
            .signed(&direct)?,
    ])
}
