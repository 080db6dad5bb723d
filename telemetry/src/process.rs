//! The metrics that every Prometheus client has of its process, by their usual names.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use rustix::time::{ClockId, clock_gettime};

/// Registers them, without a prefix. They are read anew each time they are asked for; what this
/// system does not tell is left out.
pub fn register(registry: &mut Registry) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let start = now.map_or(0.0, |since| since.as_secs_f64());
    registry.register_collector(Box::new(Process { start }));
}

/// Registers the info `name` with the version of the product, which all its programs share.
pub fn register_build(registry: &mut Registry, name: &str, help: &str) {
    let version = env!("CARGO_PKG_VERSION");
    registry.register(name, help, Info::new(vec![("version", version)]));
}

#[derive(Debug)]
struct Process {
    /// Seconds since 1970.
    start: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = ConstGauge::new(value);
            let kind = gauge.metric_type();
            let family = encoder.encode_descriptor(name, help, None, kind)?;
            gauge.encode(family)
        };
        if let Some(bytes) = resident() {
            let help = "Memory of the process that is not swapped out, in bytes";
            gauge("process_resident_memory_bytes", help, bytes)?;
        }
        if let Some(count) = open_files() {
            gauge("process_open_fds", "File descriptors that are open", count)?;
        }
        let help = "When the process began, in seconds since 1970";
        gauge("process_start_time_seconds", help, self.start)?;
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let counter = ConstCounter::new(seconds(used.tv_sec, used.tv_nsec));
        let kind = counter.metric_type();
        let help = "Time that processors have spent on the process";
        let family = encoder.encode_descriptor("process_cpu_seconds", help, None, kind)?;
        counter.encode(family)
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a process does not run for a million years"
)]
fn seconds(whole: i64, nanos: i64) -> f64 {
    whole as f64 + nanos as f64 / 1e9
}

fn resident() -> Option<f64> {
    resident_in(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The bytes of `VmRSS` in a text as `/proc/self/status` has it.
fn resident_in(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn open_files() -> Option<f64> {
    // One of them is the folder that is listed.
    let count = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;
    use crate::exposition::parse;

    #[test]
    fn a_process_tells_of_itself() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        let families = parse(&text);
        let value = |name: &str| families[name].samples[0].value;
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_start_time_seconds") > 1.7e9);
        assert!(value("process_cpu_seconds") > 0.0);
        assert_eq!(families.len(), 4);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t  9 kB\nVmRSS:\t     2 kB\n";
        assert_eq!(resident_in(status), Some(2048.0));
        assert_eq!(resident_in("Name:\tx\n"), None);
    }
}
