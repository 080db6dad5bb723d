//! containerd's configuration: what it says in all its files, whether pulls over CRI go through
//! image verifiers under it, and what to write so that they do.
//!
//! ```text
//!  Files ──load──▶ Loaded ──effective──▶ Effective ──enforcement──▶ Full | None{why}
//!                 (texts, order)     (values, file and line)              │
//!                                          └──────── drop_in ◀── place ◀──┘
//!                                                    imports_edit, diff
//! ```
//!
//! Each rule names the place in containerd's sources that it was read from, as
//! `path@version:function`. Paths are those of the module `github.com/containerd/containerd/v2`,
//! for 1.7 of `github.com/containerd/containerd`. They were read in 1.7.29, 2.0.7, 2.1.5, 2.1.9,
//! 2.2.1, 2.2.9, 2.3.0, 2.3.4, 2.3.7 and 2.4.2.

mod bypass;
mod drop_in;
mod effective;
mod enforcement;
mod fields;
mod files;
mod glob;
mod imports;
mod imports_removal;
mod layout;
mod load;
mod merge;
mod place;
mod value;

pub use bypass::{Bypass, Enforcement, Fix, Predicate};
pub use drop_in::{DropIn, drop_in, not_in_force};
pub use effective::{Disabled, Effective, Images, Problem, Setting, Verifier, effective};
pub use enforcement::enforcement;
pub use files::{Files, Overlay, Text};
pub use imports::{ImportsError, diff, imports_edit, is_imported};
pub use imports_removal::imports_removal;
pub use layout::{Import, Kind, Layout, Markers, recognise};
pub use load::{ConfigError, File, Loaded, MAX_BYTES, MAX_DEPTH, MAX_FILES, load};
pub use merge::Generation;
pub use place::{Edit, Installed, Place, own_import, place};
pub use policy::version::{Version, VersionError};
pub use value::Origin;

#[cfg(test)]
mod samples;
