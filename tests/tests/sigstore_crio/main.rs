//! What the library that CRI-O verifies with makes of Fulcio certificates, Rekor entries, corporate
//! certificates and payloads: the ground that we render policy.json on.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

mod fulcio;
mod hosts;
mod keys;
mod logs;
mod pki;
mod world;

use anyhow::Result;

use crate::world::World;

#[test]
fn fulcio_certificates_get_the_verdicts_that_they_should() -> Result<()> {
    let world = World::new()?;
    let names = fulcio::names(&world)?;
    let cases = [names, fulcio::times(&world)?, fulcio::chains(&world)?];
    world.judge(&cases.concat())
}

#[test]
fn log_entries_get_the_verdicts_that_they_should() -> Result<()> {
    let world = World::new()?;
    world.judge(&[logs::entries(&world)?, logs::keys(&world)?].concat())
}

#[test]
fn corporate_certificates_get_the_verdicts_that_they_should() -> Result<()> {
    let world = World::new()?;
    world.judge(&[pki::names(&world)?, pki::chains(&world)?].concat())
}

#[test]
fn keys_and_payloads_get_the_verdicts_that_they_should() -> Result<()> {
    let world = World::new()?;
    world.judge(&[keys::kinds(&world)?, keys::payloads(&world)?].concat())
}
