//! A registry that wants an image in: whatever it serves, nothing unsigned is allowed, the answer
//! comes in time and with a reason, and memory stays small.
//!
//! [`flips`] turns over every bit of everything that is served, and pulls through the library. The
//! rest runs the program as containerd does (with `--features test-root`), against a server that
//! does what no HTTP library would let it do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod flips;
mod keyless;
mod meaning;
mod unread;

#[cfg(feature = "test-root")]
mod answers;
#[cfg(feature = "test-root")]
mod bodies;
#[cfg(feature = "test-root")]
mod connections;
#[cfg(feature = "test-root")]
mod floods;
#[cfg(feature = "test-root")]
mod memory;
#[cfg(feature = "test-root")]
mod scene;
#[cfg(feature = "test-root")]
mod wire;

// What the library's own tests sign with is used here as well. It names these by their paths there.
use image_verifier::payload;
use image_verifier::sigstore::TrustMaterial;
#[path = "../../src/sigstore/testing.rs"]
#[allow(dead_code, reason = "each has its own part of this")]
mod testing;
