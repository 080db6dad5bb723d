//! The proof that a node enforces: two pulls over CRI, through the node's own table, and what a
//! registry on loopback saw of them.
//!
//! ```text
//! Identity ─▶ Registry ◀── requests ── runtime ◀── pulls ──┐
//!                │                                         │
//!                └────────────▶ run ───────────────────────┘
//!                                │ Observed
//!                                ▼
//!                              judge ─▶ Proof
//! ```
//!
//! One image has to be refused, and one has to pass; both names hold the beginning of the bundle's
//! digest, so that a table made from another bundle gives other answers. [`scopes`] are what the node
//! adds to its table for that.
//!
//! | runtime | the refusal is proven by | the pass is proven by |
//! |---|---|---|
//! | containerd | our verifier's line with the nonce and the bundle's digest | HEAD, then GET of the manifest, and containerd's word that this failed |
//! | CRI-O | `SignatureValidationFailed`, and the manifest was read | GET of the config blob, which is answered 404, and no refusal |
//!
//! Nothing is ever stored on the node: containerd gets no manifest and CRI-O gets no blob.
//!
//! Any process of the node can send requests to a port on loopback. It gets nothing but one harmless
//! manifest, and that only while a proof runs. What the runtime itself says of a refusal goes before
//! all requests: they neither make one nor undo one. Where containerd tells neither of a refusal nor of
//! a fetch, nothing is proven; of a pull by CRI-O that failed in some other way such requests can say
//! that the image passed.

mod answer;
mod identity;
mod judge;
mod line;
mod names;
mod record;
mod registry;
mod run;

pub use self::identity::{Identity, IdentityError};
pub use self::judge::{Bypass, Doubt, Proof, judge};
pub use self::names::{Names, Nonce, Scopes, ScopesError, scopes};
pub use self::record::{Method, Request, Seen};
pub use self::registry::{BindError, Registry};
pub use self::run::{Leg, Observed, Pulled, run};

/// Which runtime is put to the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// containerd. On loopback it tries TLS first and goes on in plain HTTP where that is not
    /// understood, so the registry speaks plain HTTP and nothing has to be configured.
    Containerd,
    /// CRI-O. It wants TLS on loopback too; it trusts the authority in
    /// `certs.d/127.0.0.1:PORT/ca.crt`, which it reads at each pull.
    Crio,
}
