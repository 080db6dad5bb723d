//! What an image-signature policy means, as pure functions: no IO, no clock, no environment.
//!
//! ```text
//!  PolicyDraft ───new────▶ Policy ─┐
//!                                   ├─▶ Bundle ──flatten(NodeFacts)──▶ Flat ──render──▶ FileSet
//!                        Settings ──┘                                   │
//!  Reference ───────────────────────────────────────────────────────────┴─decide──▶ Decision
//! ```
//!
//! A [`model::Policy`] can only be made from a draft that passed every check, so the rest of the
//! crate never meets an invalid one. [`flatten::flatten`] turns policies into one table from scope
//! to entry whose most specific hit already holds everything that applies to an image, and
//! [`containerd::render`] writes that table as the files of a node.

pub mod advice;
pub mod aggregate;
pub mod authority;
pub mod bundle;
pub mod capability;
pub mod certificate;
pub mod containerd;
pub mod crio;
pub mod digest;
mod distinct;
pub mod explain;
pub mod files;
pub mod flatten;
pub mod id;
pub mod identity;
pub mod key;
pub mod keyless;
pub mod model;
pub mod paths;
pub mod pattern;
pub mod pem;
pub mod problem;
pub mod reference;
pub mod scope;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod text;
pub mod trust;
pub mod verdicts;
pub mod verifier;
pub mod version;
