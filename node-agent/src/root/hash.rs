//! SHA-256 over a stream.

use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA256};
use policy::digest::Digest;

/// The digest of what passes by.
pub(crate) struct Hasher(Context);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest, of which nothing but a bug could make a text that is none.
    pub(crate) fn finish(self) -> io::Result<Digest> {
        let text = format!("sha256:{}", hex::encode(self.0.finish()));
        Digest::parse(&text).map_err(io::Error::other)
    }

    /// Digest and size of everything that a reader gives.
    pub(crate) fn all(reader: &mut impl Read) -> io::Result<(Digest, u64)> {
        let mut hasher = Self::new();
        let mut size = 0;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok((hasher.finish()?, size)),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_the_digest_of_its_bytes() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (digest, size) = Hasher::all(&mut bytes.as_slice()).unwrap();
        assert_eq!((digest, size), (Digest::of(&bytes), 200_000));
    }
}
