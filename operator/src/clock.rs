//! What time it is.
//!
//! Everything that is decided by the time of day asks here. With the cargo feature `fault-points`, which
//! no release has, `NODESEAL_CLOCK_OFFSET=<seconds>` makes this process's clock wrong by so much.

use jiff::Timestamp;

/// Now.
#[cfg(not(feature = "fault-points"))]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Now, by a clock that may be wrong.
#[cfg(feature = "fault-points")]
pub(crate) fn now() -> Timestamp {
    let offset = std::env::var("NODESEAL_CLOCK_OFFSET").ok();
    let offset = offset.and_then(|seconds| seconds.parse().ok());
    let now = Timestamp::now();
    now.checked_add(jiff::SignedDuration::from_secs(offset.unwrap_or(0)))
        .unwrap_or(now)
}
