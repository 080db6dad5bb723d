//! The two text formats that metrics are asked for in.

use std::fmt::Write as _;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0 (github.com/prometheus/OpenMetrics, specification/OpenMetrics.md).
    OpenMetrics,
    /// Version 0.0.4 of Prometheus' own format
    /// (<https://prometheus.io/docs/instrumenting/exposition_formats/>), for whoever does not ask for the other:
    /// the two differ in how counters and infos are announced.
    Prometheus,
}

impl Format {
    /// The one that a client accepts, by its `Accept`.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        let kinds = accept.unwrap_or_default().split(',');
        let mut names = kinds.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        if names.any(|name| name == "application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Its `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// `text`, which is `OpenMetrics`, in this format.
    #[must_use]
    pub fn of(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => plain(&text),
        }
    }
}

/// Samples are the same in both. What `OpenMetrics` announces as `x` of type counter is `x_total`
/// in the other, and what it calls info is a gauge `x_info`.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        if line == "# EOF" {
            break;
        }
        if line.starts_with("# HELP ") {
            // Its type, which follows, decides over the name.
            help = line;
            continue;
        }
        let typed = line.strip_prefix("# TYPE ");
        let Some((name, kind)) = typed.and_then(|typed| typed.split_once(' ')) else {
            plain.push_str(line);
            plain.push('\n');
            continue;
        };
        let (suffix, kind) = match kind {
            "counter" => ("_total", kind),
            "info" => ("_info", "gauge"),
            _ => ("", kind),
        };
        let text = help.strip_prefix("# HELP ").unwrap_or_default();
        let text = text.strip_prefix(name).unwrap_or_default();
        // A string takes all that is written to it.
        let _ = writeln!(plain, "# HELP {name}{suffix}{text}");
        let _ = writeln!(plain, "# TYPE {name}{suffix} {kind}");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
        for other in [None, Some("*/*"), Some("text/plain;version=0.0.4")] {
            assert_eq!(Format::accepted(other), Format::Prometheus);
        }
    }

    #[test]
    fn counters_and_infos_are_announced_as_prometheus_knows_them() {
        let open = "# HELP a_b Things.\n# TYPE a_b counter\na_b_total{x=\"# TYPE\"} 1\n\
                    # HELP c This.\n# TYPE c info\nc_info{v=\"1\"} 1\n\
                    # HELP d Now.\n# TYPE d gauge\nd 2\n# EOF\n";
        let plain = "# HELP a_b_total Things.\n# TYPE a_b_total counter\na_b_total{x=\"# TYPE\"} 1\n\
                     # HELP c_info This.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n\
                     # HELP d Now.\n# TYPE d gauge\nd 2\n";
        assert_eq!(Format::Prometheus.of(open.to_owned()), plain);
        assert_eq!(Format::OpenMetrics.of(open.to_owned()), open);
    }
}
