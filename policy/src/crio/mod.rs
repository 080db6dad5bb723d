//! The files of a CRI-O node: policy.json, registries.d and namespace files.

pub mod document;
pub mod keys;
pub mod render;
pub mod transition;

#[cfg(test)]
#[path = "document_tests.rs"]
mod document_tests;
