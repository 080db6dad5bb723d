//! Names in the tables that have no bearing on mirrors, as the library's `docker/reference` takes
//! them: one that it refuses makes the whole configuration invalid.

use crate::reference::check_path_component;

/// The most bytes of a name, host and all.
const MAX_NAME: usize = 255;

/// `host[:port]` as `DomainRegexp` has it: unlike in scopes in any case and with any port, and never
/// an IPv6 address.
pub(super) fn is_host(text: &str) -> bool {
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.split('.').all(is_label) && port.is_none_or(digits)
}

fn is_path(text: &str) -> bool {
    text.split('/')
        .all(|part| check_path_component(part).is_ok())
}

/// The left side of an alias: no host, no tag, no digest.
pub(super) fn is_short(name: &str) -> bool {
    if name.len() > MAX_NAME || name.contains([':', '@']) {
        return false;
    }
    match name.split_once('/') {
        // What may be a host is taken for one.
        Some((host, path)) if is_host(host) => {
            is_path(path) && !host.contains('.') && host != "localhost"
        }
        _ => is_path(name),
    }
}

/// The right side of an alias: a host and a path, no tag, no digest.
pub(super) fn is_full(image: &str) -> bool {
    image.split_once('/').is_some_and(|(host, path)| {
        image.len() <= MAX_NAME
            && is_host(host)
            && (host.contains(['.', ':']) || host == "localhost")
            && is_path(path)
    })
}
