//! The files of a CRI-O node: policy.json, registries.d and namespace files.

pub mod document;
pub mod fields;
pub mod keys;
pub mod locations;
pub mod matching;
pub mod mirrors;
pub mod render;
pub mod sigstore;
pub mod transition;

#[cfg(test)]
#[path = "document_tests.rs"]
mod document_tests;
