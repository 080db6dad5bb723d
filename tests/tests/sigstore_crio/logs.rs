//! Entries of Rekor, beside certificates and beside keys.

use anyhow::Result;
use e2e::Key;
use e2e::keys::Kind;
use e2e::sigstore::log::hashedrekord;
use e2e::sigstore::signer::BUNDLE;
use e2e::sigstore::{Entry, Log, Signature, Signer};
use policy::crio::sigstore::SigstoreSigned;

use crate::world::{Case, World, data, rule};

const MISSING: &str = "missing dev.sigstore.cosign/bundle annotation";
const FORGED: &str = "cryptographic signature verification of Rekor SET failed";

/// What stands in an entry, and who says so.
pub(crate) fn entries(world: &World) -> Result<Vec<Case>> {
    let keyless = world.keyless()?;
    let signer = world.releaser()?;
    let case = |what| world.case(what, &keyless);
    // An entry changed after the log had signed it, or before.
    let changed = |what, change: &dyn Fn(&mut Entry), before: bool| -> Result<Case> {
        let case = case(what)?;
        let signature = case.signature(&signer)?;
        let mut entry = world.log.enter(&signature, world.now)?;
        change(&mut entry);
        if before {
            world.log.sign(&mut entry)?;
        }
        Ok(case.with(signature.annotated(BUNDLE, &entry.bundle())))
    };
    // The entry of something else, which the log has signed.
    let of = |what, body: &dyn Fn(&Signature) -> Result<Vec<u8>>| -> Result<Case> {
        let case = case(what)?;
        let signature = case.signature(&signer)?;
        let entry = world.log.enter_body(body(&signature)?, world.now)?;
        Ok(case.with(signature.annotated(BUNDLE, &entry.bundle())))
    };
    let record = |payload: &[u8], signature: &[u8], verifier: &str| {
        Ok(hashedrekord(payload, signature, verifier)
            .to_string()
            .into_bytes())
    };
    let stranger = world.releaser()?;
    Ok(vec![
        case("no entry")?.signed(&signer)?.refused(MISSING),
        case("entry of another log")?
            .logged(&signer, &Log::new()?)?
            .refused(FORGED),
        changed(
            "another time than signed",
            &|entry| entry.integrated_time += 1,
            false,
        )?
        .refused(FORGED),
        changed(
            "another place than signed",
            &|entry| entry.index += 1,
            false,
        )?
        .refused(FORGED),
        changed(
            "another body than signed",
            &|entry| entry.body.push(b' '),
            false,
        )?
        .refused(FORGED),
        changed("no promise", &|entry| entry.timestamp.clear(), false)?.refused(FORGED),
        // The library goes by the key alone.
        changed(
            "name of another log",
            &|entry| entry.log_id = "00".repeat(32),
            true,
        )?,
        of("entry of another signature", &|ours| {
            let theirs = signer.sign_bytes(ours.payload.clone())?;
            record(&ours.payload, &theirs.signature, &ours.verifier)
        })?
        .refused("signature in Rekor SET does not match"),
        of("entry of another payload", &|ours| {
            record(b"another", &ours.signature, &ours.verifier)
        })?
        .refused("payload in Rekor SET does not match"),
        of("entry of another certificate", &|ours| {
            let theirs = stranger.certificate_pem().unwrap_or_default();
            record(&ours.payload, &ours.signature, theirs)
        })?
        .refused("publicKey in Rekor SET does not match"),
        of("entry of another kind", &|ours| {
            let mut body = hashedrekord(&ours.payload, &ours.signature, &ours.verifier);
            body["kind"] = "intoto".into();
            Ok(body.to_string().into_bytes())
        })?
        .refused(r#"invalid kind value: "intoto""#),
        case("two signatures the second right")?
            .signed(&signer)?
            .logged(&signer, &world.log)?,
        case("two signatures none right")?
            .signed(&signer)?
            .logged(&signer, &Log::new()?)?
            .refused("None of the signatures were accepted, reasons: missing dev.sigstore"),
    ])
}

/// Which logs are believed, and signatures by keys that are in one.
pub(crate) fn keys(world: &World) -> Result<Vec<Case>> {
    let keyless = world.keyless()?;
    let believing = |logs: &[&Log]| -> Result<SigstoreSigned> {
        let keys: Result<Vec<_>> = logs
            .iter()
            .map(|log| Ok(data(&log.public_pem()?)))
            .collect();
        Ok(SigstoreSigned {
            rekor_public_key_data: None,
            rekor_public_key_datas: Some(keys?),
            ..keyless.clone()
        })
    };
    let log_of = |kind| Log::with_key(Key::generate(kind)?);
    let (other, edwards, p384) = (Log::new()?, log_of(Kind::Ed25519)?, log_of(Kind::P384)?);
    let releaser = world.releaser()?;
    let case = |what, rule: &SigstoreSigned| world.case(what, rule);

    let (signer, second) = (Signer::generate()?, Signer::generate()?);
    let by_key = SigstoreSigned {
        key_data: Some(data(&signer.public_pem()?)),
        rekor_public_key_data: keyless.rekor_public_key_data.clone(),
        ..rule()
    };
    let by_keys = SigstoreSigned {
        key_data: None,
        key_datas: Some(vec![
            data(&second.public_pem()?),
            data(&signer.public_pem()?),
        ]),
        ..by_key.clone()
    };
    let borrowed = case("key and the entry of another key", &by_key)?;
    let theirs = borrowed.signature(&second)?;
    let entry = world.log.enter(&theirs, world.now)?;
    let signature = borrowed.signature(&signer)?;
    let borrowed = borrowed.with(signature.annotated(BUNDLE, &entry.bundle()));

    Ok(vec![
        case(
            "two logs the second right",
            &believing(&[&other, &world.log])?,
        )?
        .logged(&releaser, &world.log)?,
        case(
            "two logs the first right",
            &believing(&[&world.log, &other])?,
        )?
        .logged(&releaser, &world.log)?,
        case("two logs both wrong", &believing(&[&other, &p384])?)?
            .logged(&releaser, &world.log)?
            .refused(FORGED),
        case("log with an Ed25519 key", &believing(&[&edwards])?)?
            .logged(&releaser, &edwards)?
            .refused("Rekor public key 1 is not using ECDSA"),
        // One such key spoils the whole rule.
        case(
            "log with an Ed25519 key beside",
            &believing(&[&world.log, &edwards])?,
        )?
        .logged(&releaser, &world.log)?
        .refused("Rekor public key 2 is not using ECDSA"),
        case(
            "log with a P-384 key beside",
            &believing(&[&p384, &world.log])?,
        )?
        .logged(&releaser, &world.log)?,
        // It hashes with SHA-256 whatever the key is.
        case("log with a P-384 key", &believing(&[&p384])?)?
            .logged(&releaser, &p384)?
            .refused(FORGED),
        case("key and entry", &by_key)?.logged(&signer, &world.log)?,
        case("key and no entry", &by_key)?
            .signed(&signer)?
            .refused(MISSING),
        case("key and entry of another log", &by_key)?
            .logged(&signer, &other)?
            .refused(FORGED),
        borrowed.refused("publicKey in Rekor SET does not match"),
        case("second of two keys and entry", &by_keys)?.logged(&signer, &world.log)?,
        case("stranger to two keys and entry", &by_keys)?
            .logged(&Signer::generate()?, &world.log)?
            .refused("No public key verified against the RekorSET"),
        case("key of two and no entry", &by_keys)?
            .signed(&signer)?
            .refused(MISSING),
    ])
}
