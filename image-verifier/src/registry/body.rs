//! Bodies, read as they come and never past a limit.

use std::cell::Cell;

use reqwest::Response;

use super::error::RegistryError;

/// The bytes that may still be read from a registry in all.
#[derive(Debug, Default)]
pub(super) struct Budget {
    total: u64,
    left: Cell<u64>,
}

impl Budget {
    pub(super) fn new(total: u64) -> Self {
        Self {
            total,
            left: Cell::new(total),
        }
    }

    /// How many there were at the beginning.
    #[cfg(test)]
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    fn take(&self, bytes: u64) -> Result<(), RegistryError> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(RegistryError::TooLarge { limit: self.total }),
        }
    }
}

/// How many times its size a body may take while it is parsed.
const PARSED: usize = 4;

/// Reads a whole body, and makes sure that there is memory to parse it: an allocation that fails later
/// would end the process without a word. The length that the registry announces is used only to give up early.
pub(super) async fn read(
    mut response: Response,
    limit: u64,
    budget: &Budget,
) -> Result<Vec<u8>, RegistryError> {
    if response
        .content_length()
        .is_some_and(|length| length > limit)
    {
        return Err(RegistryError::TooLarge { limit });
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(RegistryError::TooLarge { limit });
        }
        budget.take(chunk.len() as u64)?;
        let all = bytes.len() + chunk.len();
        bytes
            .try_reserve(chunk.len())
            .map_err(|_| RegistryError::NoMemory { bytes: all })?;
        bytes.extend_from_slice(&chunk);
    }
    let needed = bytes.len().saturating_mul(PARSED);
    let mut room = Vec::<u8>::new();
    room.try_reserve_exact(needed)
        .map_err(|_| RegistryError::NoMemory { bytes: bytes.len() })?;
    // Asked for, and given back untouched.
    drop(std::hint::black_box(room));
    Ok(bytes)
}
