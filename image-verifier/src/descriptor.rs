//! The descriptor that containerd writes to a verifier's stdin.

use std::io::Read;

use policy::digest::{Digest, DigestError};
use serde::Deserialize;

use crate::reason::quoted;

/// The most bytes that are read from stdin.
pub const MAX_BYTES: u64 = 64 * 1024;
/// What `-stdin-media-type` must say.
pub const STDIN_MEDIA_TYPE: &str = "application/vnd.oci.descriptor.v1+json";

/// The kinds of content that an image digest may stand for. The schema 1 of Docker is not among
/// them: its digest does not cover its whole bytes.
const IMAGE_MEDIA_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Why stdin and the arguments do not describe one image.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// stdin could not be read.
    #[error("stdin cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// stdin has more than [`MAX_BYTES`].
    #[error("stdin has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// stdin is announced as something else.
    #[error("stdin holds {}, and {STDIN_MEDIA_TYPE} is expected", quoted(.0))]
    StdinMediaType(String),
    /// Not a JSON descriptor.
    #[error("stdin holds no OCI descriptor: {0}")]
    Malformed(serde_json::Error),
    /// The digest argument or the descriptor's digest.
    #[error("{which}: {source}")]
    Digest {
        /// Which of the two.
        which: &'static str,
        /// What is wrong with it.
        source: DigestError,
    },
    /// The two digests differ.
    #[error("-digest says {argument}, the descriptor on stdin {descriptor}")]
    Differs {
        /// The argument.
        argument: Digest,
        /// The descriptor's.
        descriptor: Digest,
    },
    /// Not an image.
    #[error("the descriptor is of {}, which is neither an image manifest nor an image index", quoted(.0))]
    MediaType(String),
    /// A negative size.
    #[error("the descriptor's size is negative")]
    Size,
}

/// The part of an OCI descriptor that is compared.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: i64,
}

/// Reads all of stdin, bounded.
pub fn read(stdin: impl Read) -> Result<Vec<u8>, DescriptorError> {
    let mut bytes = Vec::new();
    stdin.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(DescriptorError::TooLarge);
    }
    Ok(bytes)
}

/// Checks that arguments and stdin say the same, and returns the digest that is to be verified.
pub fn check(
    stdin: &[u8],
    stdin_media_type: &str,
    digest: &str,
) -> Result<Digest, DescriptorError> {
    if stdin_media_type != STDIN_MEDIA_TYPE {
        return Err(DescriptorError::StdinMediaType(stdin_media_type.to_owned()));
    }
    let argument = Digest::parse(digest).map_err(|source| DescriptorError::Digest {
        which: "-digest",
        source,
    })?;
    let descriptor: Descriptor =
        serde_json::from_slice(stdin).map_err(DescriptorError::Malformed)?;
    let digest = Digest::parse(&descriptor.digest).map_err(|source| DescriptorError::Digest {
        which: "the descriptor's digest",
        source,
    })?;
    if digest != argument {
        return Err(DescriptorError::Differs {
            argument,
            descriptor: digest,
        });
    }
    if !IMAGE_MEDIA_TYPES.contains(&descriptor.media_type.as_str()) {
        return Err(DescriptorError::MediaType(descriptor.media_type));
    }
    if descriptor.size < 0 {
        return Err(DescriptorError::Size);
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = IMAGE_MEDIA_TYPES[0];

    fn descriptor(media_type: &str, digest: &str, size: i64) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    }

    #[test]
    fn a_descriptor_that_agrees_with_the_arguments_is_accepted() {
        let digest = Digest::of(b"image");
        for media_type in IMAGE_MEDIA_TYPES {
            let stdin = format!("{}\n", descriptor(media_type, digest.as_str(), 7));
            let checked = check(stdin.as_bytes(), STDIN_MEDIA_TYPE, digest.as_str());
            assert_eq!(checked.unwrap(), digest);
        }
    }

    #[test]
    fn a_descriptor_that_disagrees_is_refused() {
        use DescriptorError as E;
        let (digest, other) = (Digest::of(b"image"), Digest::of(b"other"));
        let good = descriptor(INDEX, digest.as_str(), 7);
        let check_it =
            |stdin: &str, digest: &str| check(stdin.as_bytes(), STDIN_MEDIA_TYPE, digest);
        let text = digest.as_str();
        assert!(matches!(
            check_it(&good, other.as_str()),
            Err(E::Differs { .. })
        ));
        assert!(matches!(
            check_it(&good, "sha512:00"),
            Err(E::Digest {
                which: "-digest",
                ..
            })
        ));
        assert!(matches!(
            check_it(&descriptor(INDEX, "x", 7), text),
            Err(E::Digest { .. })
        ));
        assert!(matches!(
            check_it(&descriptor(INDEX, text, -1), text),
            Err(E::Size)
        ));
        assert!(matches!(
            check_it(&descriptor("text/html", text, 1), text),
            Err(E::MediaType(_))
        ));
        assert!(matches!(check_it("", text), Err(E::Malformed(_))));
        assert!(matches!(
            check_it(&format!("{good}{good}"), text),
            Err(E::Malformed(_))
        ));
        assert!(matches!(
            check_it(&"[".repeat(1000), text),
            Err(E::Malformed(_))
        ));
        let media_type = "application/vnd.oci.image.index.v1+json";
        assert!(matches!(
            check(good.as_bytes(), media_type, text),
            Err(E::StdinMediaType(_))
        ));
    }

    #[test]
    fn endless_input_is_cut_off() {
        assert!(matches!(
            read(std::io::repeat(b' ')),
            Err(DescriptorError::TooLarge)
        ));
        assert_eq!(read(&b"abc"[..]).unwrap(), b"abc");
    }
}
