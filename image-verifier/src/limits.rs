//! What the process may use, set by itself: it runs in containerd's cgroup, with its privileges.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use policy::verifier::Limits;
use rustix::process::{Resource, Rlimit, setrlimit};

/// The most private memory in bytes that what a registry serves may take, of which
/// [`Limits::max_total_bytes`] by itself is 16 MiB. With the program's own pages (10 MiB) and a full
/// stack (8 MiB) the process stays below 64 MiB.
const MAX_DATA: u64 = 40 * 1024 * 1024;
/// How many times its size the policy's file takes beside that: as it is read, and parsed. A node's
/// administrator decides how large it is, and no registry.
const PER_POLICY_BYTE: u64 = 4;
/// How many bytes there are for one that may be read from a registry beyond the usual
/// [`Limits::max_total_bytes`].
const PER_EXTRA_BYTE: u64 = 2;
/// The most private memory of a program that hands out credentials: it may well be a large one.
const MAX_PROGRAM_DATA: u64 = 512 * 1024 * 1024;
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

/// Lowers the limits of this process, whose policy's file has `policy` bytes. Fails only if the kernel
/// refuses to lower one.
pub fn apply(policy: u64) -> io::Result<()> {
    for (resource, limit) in [
        (Resource::Data, MAX_PROGRAM_DATA),
        (Resource::As, MAX_ADDRESS_SPACE),
        (Resource::Nofile, MAX_FILES),
        (Resource::Core, 0),
        (Resource::Fsize, MAX_FILE_SIZE),
    ] {
        lower(resource, limit)?;
    }
    let own = MAX_DATA.saturating_add(policy.saturating_mul(PER_POLICY_BYTE));
    set_data(|known| known.min(own))?;
    APPLIED.store(true, Ordering::Relaxed);
    raise_oom_score();
    Ok(())
}

/// Whether this process has limits of its own. One that only uses this library has not.
static APPLIED: AtomicBool = AtomicBool::new(false);

/// Makes room for what `limits` allow to read beyond the usual.
pub(crate) fn make_room(limits: &Limits) {
    let usual = Limits::default().max_total_bytes;
    let extra = limits.max_total_bytes.saturating_sub(usual);
    if extra > 0 && APPLIED.load(Ordering::Relaxed) {
        let more = extra.saturating_mul(PER_EXTRA_BYTE);
        // Where it fails there is less room, and whatever does not fit is refused.
        let _ = set_data(|known| known.saturating_add(more));
    }
}

/// Runs `start`, which starts another program, with the limit on memory that is meant for that:
/// limits are inherited.
pub(crate) fn with_room_for_a_program<T>(start: impl FnOnce() -> T) -> T {
    if !APPLIED.load(Ordering::Relaxed) {
        return start();
    }
    let own = rustix::process::getrlimit(Resource::Data);
    let _ = set_data(|_| MAX_PROGRAM_DATA);
    let started = start();
    // Lowering is always possible.
    let _ = setrlimit(Resource::Data, own);
    started
}

/// Sets how much memory this process may take, which its children may take more than.
fn set_data(change: impl FnOnce(u64) -> u64) -> io::Result<()> {
    let Rlimit { current, maximum } = rustix::process::getrlimit(Resource::Data);
    let most = maximum.unwrap_or(u64::MAX);
    let current = change(current.unwrap_or(u64::MAX)).min(most);
    let current = Some(current);
    setrlimit(Resource::Data, Rlimit { current, maximum })?;
    Ok(())
}

fn lower(resource: Resource, limit: u64) -> io::Result<()> {
    let known = rustix::process::getrlimit(resource);
    let least = |known: Option<u64>| Some(known.map_or(limit, |known| known.min(limit)));
    let (current, maximum) = (least(known.current), least(known.maximum));
    setrlimit(resource, Rlimit { current, maximum })?;
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
