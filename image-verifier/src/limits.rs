//! What the process may use, set by itself: it runs in containerd's cgroup, with its privileges.

use std::io;
use std::time::Duration;

use policy::verifier::Limits;
use rustix::process::{Resource, Rlimit, setrlimit};

/// The most private memory in bytes. The policy (32 MiB of JSON at the most), its parsed form and
/// the objects of one pull fit in with room to spare.
const MAX_DATA: u64 = 512 * 1024 * 1024;
/// The most address space in bytes. Reserved stacks and arenas count here without being used.
const MAX_ADDRESS_SPACE: u64 = 2 * 1024 * 1024 * 1024;
/// The most open files: a dozen connections with room to spare.
const MAX_FILES: u64 = 256;
/// The most bytes of a file that is written. Nothing here comes near; the kernel ends who does.
const MAX_FILE_SIZE: u64 = 64 * 1024 * 1024;
/// containerd runs at -999. When memory is short, a verifier should go before the runtime does.
const OOM_SCORE_ADJ: i32 = 500;

/// How long the verifier may take before the policy says otherwise: that of containerd's default
/// `per_verifier_timeout` of 10 s.
#[must_use]
pub fn default_deadline() -> Duration {
    deadline(&Limits::default())
}

/// When the verifier answers at the latest: after 80 % of containerd's time-out, because containerd
/// drops the reason of a verifier that it has to kill.
#[must_use]
pub fn deadline(limits: &Limits) -> Duration {
    Duration::from_millis(limits.timeout_ms.saturating_mul(4) / 5)
}

/// Lowers the limits of this process. Fails only if the kernel refuses to lower one.
pub fn apply() -> io::Result<()> {
    for (resource, limit) in [
        (Resource::Data, MAX_DATA),
        (Resource::As, MAX_ADDRESS_SPACE),
        (Resource::Nofile, MAX_FILES),
        (Resource::Core, 0),
        (Resource::Fsize, MAX_FILE_SIZE),
    ] {
        lower(resource, limit)?;
    }
    raise_oom_score();
    Ok(())
}

fn lower(resource: Resource, limit: u64) -> io::Result<()> {
    let maximum = rustix::process::getrlimit(resource).maximum;
    let limit = maximum.map_or(limit, |maximum| maximum.min(limit));
    setrlimit(
        resource,
        Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        },
    )?;
    Ok(())
}

/// Best effort: without `/proc` nothing is lost but a preference.
fn raise_oom_score() {
    const PATH: &str = "/proc/self/oom_score_adj";
    let current = std::fs::read_to_string(PATH)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if current.is_some_and(|current: i32| current < OOM_SCORE_ADJ) {
        let _ = std::fs::write(PATH, OOM_SCORE_ADJ.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_four_fifths_of_containerds_time_out() {
        assert_eq!(default_deadline(), Duration::from_secs(8));
        let limits = |timeout_ms| Limits {
            timeout_ms,
            ..Limits::default()
        };
        assert_eq!(deadline(&limits(1000)), Duration::from_millis(800));
        assert_eq!(
            deadline(&limits(u64::MAX)),
            Duration::from_millis(u64::MAX / 5)
        );
    }
}
