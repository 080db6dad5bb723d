//! Our own engine and the library that CRI-O verifies with give one verdict on everything that is
//! drawn: policies, a node's own policy.json, images and signatures.
//!
//! Authorities are keys with and without log, keyless identities and company certificates; what is
//! drawn around signatures includes wrong issuers, addresses, logs and authorities, missing, borrowed
//! and forged log entries, and expired certificates.
//!
//! Where ours is stricter, [`without_stricter`] says why; it is never laxer.
//!
//! `NODESEAL_FULL` draws a hundred times as many. A case that fails is printed small; it becomes a
//! folder of `tests/golden` and a case of `tests/tests/judge`.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

mod draw;
mod ground;
mod sigstore;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;

use anyhow::Result;
use e2e::judge::Verdict;
use proptest::prop_assert_eq;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::draw::{Case, Certificate, DrawnSignature, Maker};
use crate::ground::Ground;

/// The case without what ours refuses by design and CRI-O's library takes, if it has any of that:
/// keyless certificates with two names. Fulcio's have one; of several, some would be compared and
/// some not. (A company's certificate is checked at the current time by both; where a policy has
/// `transparencyLog` for it, nothing is written for CRI-O.)
fn without_stricter(case: &Case) -> Option<Case> {
    let is_plain = |signature: &DrawnSignature| {
        !matches!(signature.maker, Maker::Keyless(_, _, Certificate::TwoNames))
    };
    let mut plain = case.clone();
    plain.signatures.retain(is_plain);
    (plain.signatures.len() < case.signatures.len()).then_some(plain)
}

const CASES: u32 = 1_000;

#[test]
fn both_engines_give_one_verdict_on_whatever_is_drawn() -> Result<()> {
    let ground = RefCell::new(Ground::new()?);
    let cases = if env::var_os("NODESEAL_FULL").is_some() {
        100 * CASES
    } else {
        CASES
    };
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let counted = RefCell::new((0_u32, 0_u32));
    let kinds = RefCell::new(BTreeMap::new());
    let stricter = RefCell::new(0_u32);
    let outcome = runner.run(&draw::case(), |case| {
        let answer = ground.borrow_mut().ask(&case);
        let answer = answer.map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
        let allowed = match &answer.crio {
            Verdict::Allowed => true,
            Verdict::Refused(_) => false,
            Verdict::Invalid(why) => {
                return Err(TestCaseError::fail(format!(
                    "CRI-O takes no file of ours: {why}"
                )));
            }
        };
        let mut counted = counted.borrow_mut();
        counted.0 += 1;
        counted.1 += u32::from(allowed);
        for kind in &answer.kinds {
            let mut kinds = kinds.borrow_mut();
            let (allowing, refusing) = kinds.entry(*kind).or_insert((0_u32, 0_u32));
            *(if allowed { allowing } else { refusing }) += 1;
        }
        if allowed == answer.ours {
            Ok(())
        } else if allowed && let Some(plain) = without_stricter(&case) {
            // Then that alone must be what makes the difference.
            *stricter.borrow_mut() += 1;
            let answer = ground.borrow_mut().ask(&plain);
            let answer = answer.map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
            let allowed = answer.crio == Verdict::Allowed;
            prop_assert_eq!(allowed, answer.ours, "{:?}", answer.crio);
            Ok(())
        } else {
            let crio = answer.crio;
            Err(TestCaseError::fail(format!(
                "CRI-O: {crio:?}; nodeseal allows: {}",
                answer.ours
            )))
        }
    });
    let (all, allowed) = counted.into_inner();
    println!(
        "{all} cases drawn, {allowed} allowed by both, {} refused",
        all - allowed
    );
    println!("ours is stricter in {}", stricter.into_inner());
    outcome?;
    let kinds = kinds.into_inner();
    println!("allowed and refused where a policy wants a: {kinds:?}");
    // Neither answer may be the only one, of no kind of authority.
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    for (kind, (allowed, refused)) in kinds {
        assert!(allowed > 0 && refused > 0, "{kind}: {allowed}, {refused}");
    }
    assert!(allowed > all / 10 && allowed < all - all / 10);
    Ok(())
}
