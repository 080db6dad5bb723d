//! Developer commands, and the places on disk that they share with the tests.
//!
//! ```text
//! main ──► test ──► peers, product, tools, generate      (one step after the other)
//!      ──► peers ─► Go modules in tests/peers ─► <cache>/peers/<name>-<key>/bin
//!      ──► demo ──► peers, product ─► the demo of the package `e2e`
//! e2e  ──► peers::locate, product::Product::variable     (never builds anything)
//! ```
//!
//! Everything that outlives a command lies in one cache folder outside the checkout, see [`cache`].

pub mod bench;
pub mod cache;
pub mod command;
pub mod demo;
pub mod generate;
pub mod peers;
pub mod product;
pub mod test;
pub mod tools;
