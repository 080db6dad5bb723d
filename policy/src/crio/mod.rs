//! The files of a CRI-O node: policy.json, registries.d and namespace files.

mod budget;
pub mod document;
pub mod features;
pub mod fields;
mod layer;
pub mod locations;
pub mod matching;
pub mod registries_conf;
pub mod registries_d;
pub mod render;
pub mod rules;
pub mod sigstore;
pub mod stale;
mod table;
pub(crate) mod texts;
pub mod transition;

#[cfg(test)]
#[path = "document_tests.rs"]
mod document_tests;
