//! Free loopback ports.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// Below the range that Linux takes the ports of outgoing connections from, so that none of those
/// grabs a port between our choice and the server's bind.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// How many ports this program has tried.
static TRIED: AtomicU32 = AtomicU32::new(0);

/// A loopback address that nobody listens on, and that this program gives out only once.
pub fn free() -> Result<SocketAddrV4> {
    // Programs that run side by side begin far from each other.
    let begin = process::id().wrapping_mul(397) % COUNT;
    (0..COUNT)
        .find_map(|_| {
            let next = (begin + TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT + FIRST;
            let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, u16::try_from(next).ok()?);
            TcpListener::bind(address).is_ok().then_some(address)
        })
        .context("no loopback port is free")
}
