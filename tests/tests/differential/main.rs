//! The verifier and both cosigns on signatures of every kind, whole and tampered with: one verdict.
//!
//! A combination is a kind of key, a format, whether a log entry is demanded, and what was done to
//! the signature. Where a verdict differs, [`differences`] says why, and that the verifier is the
//! stricter one; a difference that is not there fails the test, and so does one that is none.
//!
//! A sample is taken: every tamper with P-256, and the other kinds whole. `NODESEAL_FULL` takes all.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

mod craft;
mod differences;
mod tamper;
mod world;

use std::collections::BTreeMap;
use std::env;

use anyhow::Result;
use e2e::cosign::{Format, Version};
use e2e::keys::Kind;

use crate::tamper::Tamper;
use crate::world::World;

/// All kinds of keys.
const KINDS: [Kind; 7] = [
    Kind::P256,
    Kind::P384,
    Kind::P521,
    Kind::Rsa2048,
    Kind::Rsa3072,
    Kind::Rsa4096,
    Kind::Ed25519,
];

/// One signed image, and what it is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) format: Format,
    /// Whether an entry in a log is demanded.
    pub(crate) logged: bool,
    pub(crate) tamper: Tamper,
}

impl Case {
    /// Whether anybody verifies it at all. The log entry of a signature over a longer hash names
    /// that hash, or Rekor would not take it down; cosign knows only entries that name SHA-256.
    pub(crate) fn is_verifiable(self) -> bool {
        !(self.logged && matches!(self.kind, Kind::P384 | Kind::P521))
    }
}

fn cases(full: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in KINDS {
        // cosign can be given the key of a log of Rekor v1 for attachments alone.
        for (format, logged) in [
            (Format::Attachment, false),
            (Format::Attachment, true),
            (Format::Bundle, false),
        ] {
            if logged && kind == Kind::Ed25519 {
                // Rekor v1 takes down Ed25519ph alone, which nobody verifies attachments with.
                continue;
            }
            let tampers = Tamper::of(format, logged).into_iter();
            let wanted = |tamper: &Tamper| full || kind == Kind::P256 || *tamper == Tamper::None;
            cases.extend(tampers.filter(wanted).map(|tamper| Case {
                kind,
                format,
                logged,
                tamper,
            }));
        }
    }
    cases
}

/// How often which verdicts were given: the verifier's and cosign's.
#[derive(Debug, Default)]
struct Count {
    both_allow: usize,
    both_refuse: usize,
    differ: usize,
}

#[tokio::test]
async fn the_verifier_and_both_cosigns_agree_or_differ_as_listed() -> Result<()> {
    let full = env::var_os("NODESEAL_FULL").is_some();
    let cases = cases(full);
    assert!(
        cases.len() >= if full { 200 } else { 30 },
        "{}",
        cases.len()
    );
    let world = World::start().await?;
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let image = world.image(index, case).await?;
        let ours = world.verifier(&image, case).await?;
        for version in [Version::V2, Version::V3] {
            let theirs = world.cosign(version, &image, case).await?;
            let place = format!(
                "{:?}, {}",
                case.format,
                if case.logged { "log" } else { "no log" }
            );
            let count = counts.entry(format!("{place}, {version:?}")).or_default();
            match (&ours, &theirs) {
                (Ok(()), Ok(())) => count.both_allow += 1,
                (Err(_), Err(_)) => count.both_refuse += 1,
                _ => count.differ += 1,
            }
            let differ = ours.is_ok() != theirs.is_ok();
            let known = differences::stricter(*case);
            let right = match known {
                None => !differ,
                // Never the laxer one.
                Some(_) => differ && ours.is_err(),
            };
            if let Some(why) = known {
                *listed.entry(why).or_default() += 1;
            }
            if !right {
                wrong.push(format!("{case:?}, {version:?}\n  verifier: {ours:?}\n  cosign: {theirs:?}\n  listed: {known:?}"));
            }
        }
        // What nobody has touched is allowed, or the test says nothing.
        let whole = case.tamper == Tamper::None && case.is_verifiable();
        if whole && ours.is_err() {
            wrong.push(format!("{case:?} is whole: {ours:?}"));
        }
    }
    println!("{} combinations", cases.len());
    for (
        place,
        Count {
            both_allow,
            both_refuse,
            differ,
        },
    ) in &counts
    {
        println!("{place}: both allow {both_allow}, both refuse {both_refuse}, differ {differ}");
    }
    for (why, count) in &listed {
        println!("differ {count} times: {why}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(listed.len(), differences::ALL, "{listed:?}");
    Ok(())
}
