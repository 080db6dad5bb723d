//! What we write for CRI-O, judged by the library that CRI-O verifies with, on real signatures:
//! each case must get the verdict that the semantics demand, and that of our own verifier.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

mod case;
mod grounds;
mod reader;
mod world;

use anyhow::Result;

use crate::case::{Case, With as _};
use crate::world::{Said, World};

#[tokio::test]
async fn crio_and_the_verifier_give_the_verdicts_that_the_policies_mean() -> Result<()> {
    let mut world = World::new().await?;
    let cases = grounds::all(&world).await?;
    let mut wrong = Vec::new();
    for case in &cases {
        let crio = crio_is_right(&mut world, case, &mut wrong)?;
        let verifier = world.verifier(case).await?;
        println!("  nodeseal: {verifier:?}");
        let same = matches!(crio, Said::Allowed) == matches!(verifier, Said::Allowed);
        if same == case.differs.is_some() {
            let differs = case.differs;
            wrong.push(format!(
                "{}: CRI-O {crio:?}, the verifier {verifier:?}; they may differ: {differs:?}",
                case.what
            ));
        }
    }
    println!("{} cases", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn signatures_are_found_on_mirrors() -> Result<()> {
    let mut world = World::new().await?;
    let mut wrong = Vec::new();
    for case in &grounds::mirrored(&world).await? {
        crio_is_right(&mut world, case, &mut wrong)?;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Why the agent reads what else is in registries.d before it writes there.
#[tokio::test]
async fn a_location_that_two_files_have_fails_every_pull() -> Result<()> {
    let mut world = World::new().await?;
    let image = world.image("twice/app", "v1").await?;
    let policy = case::policy("p", &[&world.scope("elsewhere")]).by(&world.signers[0].pem);
    let scope = world.scope("elsewhere");
    let mut case = Case::new("twice", &image).policy(&policy);
    case = case.beside(&scope, "use-sigstore-attachments: true");
    case.taken.clear();
    let error = world.crio(&case).expect_err("no pull works");
    let error = format!("{error:#}");
    assert!(error.contains("defined both in"), "{error}");
    Ok(())
}

/// CRI-O's verdict, which is noted where it is not what the case wants.
fn crio_is_right(world: &mut World, case: &Case, wrong: &mut Vec<String>) -> Result<Said> {
    let said = world.crio(case)?;
    println!("{}\n  CRI-O: {said:?}", case.what);
    let right = match (&said, case.crio) {
        (Said::Allowed, None) => true,
        (Said::Refused(why), Some(words)) => why.contains(words),
        _ => false,
    };
    if !right {
        let wanted = case.crio.unwrap_or("allowed");
        wrong.push(format!("{}: CRI-O {said:?}, wanted: {wanted}", case.what));
    }
    Ok(said)
}
