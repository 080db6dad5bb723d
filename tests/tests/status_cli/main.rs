//! `nodeseal status`, `explain` and `verify` against a real API server with the real operator; the
//! agents are played by the test.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[allow(dead_code, reason = "the operator's tests need more of it")]
#[path = "../operator/lab.rs"]
mod lab;
mod life;
mod policies;
mod refused;
mod tool;
mod watch;

fn pem() -> String {
    let key = e2e::keys::Key::generate(e2e::keys::Kind::P256).unwrap();
    key.public_pem().unwrap()
}
