//! The files of a CRI-O node: policy.json, registries.d and namespace files.

pub mod document;
pub mod features;
pub mod fields;
pub mod locations;
pub mod matching;
pub mod registries_conf;
pub mod registries_d;
pub mod render;
pub mod rules;
pub mod sigstore;
pub mod transition;

/// The name of [`registries_conf`] before it read drop-ins.
pub use self::registries_conf as mirrors;

#[cfg(test)]
#[path = "document_tests.rs"]
mod document_tests;
