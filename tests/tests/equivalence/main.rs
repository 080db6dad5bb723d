//! Our own engine and the library that CRI-O verifies with give one verdict on everything that is
//! drawn: policies, a node's own policy.json, images and signatures.
//!
//! `NODESEAL_FULL` draws a hundred times as many. A case that fails is printed small; it becomes a
//! folder of `tests/golden` and a case of `tests/tests/judge`.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

mod draw;
mod ground;

use std::cell::RefCell;
use std::env;

use anyhow::Result;
use e2e::judge::Verdict;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::ground::Ground;

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
        if allowed == answer.ours {
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
    outcome?;
    // Neither answer may be the only one.
    assert!(allowed > all / 10 && allowed < all - all / 10);
    Ok(())
}
