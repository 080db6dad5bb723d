//! A sigstore of the tests' own: everything that cosign, Fulcio and Rekor would write, made in this
//! process, and everything that they would not.
//!
//! ```text
//! Authority ─issue(Leaf)─► Signer ─sign(Payload)─► Signature ─► attach ─► a registry
//!                                                     ▲
//!                                          Log ─► Entry, as its bundle
//! ```
//!
//! The fields of what is made are public, so that a test may falsify any of them.

pub mod attachment;
pub mod authority;
pub mod leaf;
pub mod log;
pub mod payload;
pub mod signer;

pub use attachment::{attach, attach_memory};
pub use authority::Authority;
pub use leaf::{Leaf, Validity};
pub use log::{Entry, Log};
pub use payload::Payload;
pub use signer::{Signature, Signer};

use anyhow::{Context as _, Result};
use pem::{EncodeConfig, LineEnding, Pem};

/// PEM as cosign writes it.
fn to_pem(label: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}

/// What one PEM block holds.
fn from_pem(text: &str) -> Result<Vec<u8>> {
    let block = pem::parse(text).context("read PEM")?;
    Ok(block.into_contents())
}
