//! registries.conf and its drop-ins: where images are really pulled from.
//!
//! CRI-O decides by the name that a pod gives, but looks signatures up where the image is pulled
//! from. So every location whose signatures matter has to stand in registries.d under the names
//! of its mirrors as well.
//!
//! The format is that of containers-registries.conf(5) and containers-registries.conf.d(5), read
//! as go.podman.io/image does (`pkg/sysregistriesv2`): what is refused here makes CRI-O refuse its
//! whole configuration.

mod endpoints;
mod error;
mod fields;
mod names;
mod parse;

use std::collections::BTreeMap;

pub use self::endpoints::Endpoints;
pub use self::error::{Place, RegistriesConfError, SourceError};
pub use self::parse::{Document, Format, MAX_BYTES, MAX_MIRRORS, MAX_REGISTRIES, parse_document};

/// One `[[registry]]`: where images whose name begins with its prefix are pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// A host, a path below one, or `*.domain`.
    prefix: String,
    /// Takes the place of the prefix; nothing where images of a `*.domain` keep their names.
    location: Option<String>,
    /// Tried first, in this order.
    mirrors: Vec<Mirror>,
}

/// One `[[registry.mirror]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    /// Takes the place of the prefix.
    location: String,
    pulls: Pulls,
}

/// For which references a mirror is asked: `pull-from-mirror`, or `mirror-by-digest-only` of the
/// whole registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulls {
    All,
    Digests,
    Tags,
}

impl Registry {
    /// The beginning of the names that this registry stands for.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// One file with the name that errors give it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its path.
    pub name: &'a str,
    /// All of its text.
    pub text: &'a str,
}

/// Reads one registries.conf on its own.
pub fn parse(text: &str) -> Result<Vec<Registry>, RegistriesConfError> {
    parse_document(text).map(|document| document.registries)
}

/// Reads registries.conf and its drop-ins, these in the order of their names. A registry of a later
/// file takes the place of an earlier one with the same prefix, mirrors and all.
///
/// A drop-in in version 1 of the format is refused by every version of the library; in
/// registries.conf itself, versions before 5.40 or so take it, and it knows no mirrors.
pub fn merge(
    main: Option<Source<'_>>,
    drop_ins: &[Source<'_>],
) -> Result<Vec<Registry>, SourceError> {
    let mut merged: BTreeMap<String, Registry> = BTreeMap::new();
    let drop_ins = drop_ins.iter().map(|source| (source, true));
    for (Source { name, text }, is_drop_in) in
        main.iter().map(|source| (source, false)).chain(drop_ins)
    {
        let in_file = |error| SourceError {
            file: (*name).to_owned(),
            error,
        };
        let document = parse_document(text).map_err(in_file)?;
        if is_drop_in && document.format == Format::V1 {
            return Err(in_file(RegistriesConfError::DropInOfVersion1));
        }
        let registries = document.registries.into_iter();
        merged.extend(registries.map(|registry| (registry.prefix.clone(), registry)));
    }
    Ok(merged.into_values().collect())
}

#[cfg(test)]
mod endpoints_tests;
#[cfg(test)]
mod parse_tests;
