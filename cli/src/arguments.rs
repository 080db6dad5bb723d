//! Arguments that several commands take.

use policy::reference::{Reference, ReferenceError};

/// An image as it stands in a pod.
pub(crate) fn image(text: &str) -> Result<Reference, String> {
    if text.contains("://") {
        return Err("an image has no scheme in front: write it as it stands in a pod, such as registry.example.com/team/app:v1".to_owned());
    }
    Reference::parse(text).map_err(|error: ReferenceError| {
        format!("{error}; write it as it stands in a pod, such as registry.example.com/team/app:v1")
    })
}

/// A DNS label (RFC 1123), as Kubernetes demands of namespaces.
pub(crate) fn namespace(text: &str) -> Result<String, &'static str> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    let message = "a namespace has 1 to 63 lower-case letters, digits and inner dashes";
    good.then(|| text.to_owned()).ok_or(message)
}
