//! Who may do what: that the rights in `config/base` suffice, that none is too many, and what an
//! attacker makes of a token that he got hold of.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod agents;
mod documented;
mod lab;
mod life;
mod manifests;
mod operator;
mod rights;
mod secrets;
mod taints;
mod tenants;
