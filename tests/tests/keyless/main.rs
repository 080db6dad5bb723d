//! Signatures without keys, by the real services: what each cosign signs is pulled where the policy
//! names who signed, and nowhere else.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

mod evidence;
mod forged;
mod identities;
mod others;
mod scene;
mod ways;
