//! One file.

use std::collections::{BTreeMap, HashMap};

use toml_edit::DocumentMut;

use super::error::{Place, RegistriesConfError};
use super::fields::Fields;
use super::{Mirror, Pulls, Registry, names};

/// The most bytes of one file.
pub const MAX_BYTES: usize = 1024 * 1024;
/// The most registries of one file.
pub const MAX_REGISTRIES: usize = 5_000;
/// The most mirrors of one registry.
pub const MAX_MIRRORS: usize = 100;

/// The version of the format that a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `[registries.search]` and so on: no mirrors. Newer versions of the library refuse it.
    V1,
    /// `[[registry]]`; an empty file, too.
    V2,
}

/// What one file says about where images are pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The version of the format.
    pub format: Format,
    /// One for each prefix, in the order of prefixes.
    pub registries: Vec<Registry>,
}

/// Reads a whole file. Keys that the library does not know are passed over, as it does.
///
/// # Errors
/// What the library refuses, keys that stand there in two cases, and files past the limits.
pub fn parse_document(text: &str) -> Result<Document, RegistriesConfError> {
    if text.len() > MAX_BYTES {
        return Err(RegistriesConfError::TooLarge);
    }
    let document: DocumentMut = text.parse()?;
    let top = Fields {
        table: document.as_table(),
        place: Place::Top,
    };
    let old = version_1(top)?;
    let new = version_2(top)?;
    match old {
        None => Ok(Document {
            format: Format::V2,
            registries: new.registries,
        }),
        Some(_) if new.says_anything => Err(RegistriesConfError::Mixed),
        Some(registries) => Ok(Document {
            format: Format::V1,
            registries,
        }),
    }
}

/// The registries of the tables of version 1, if there is one.
fn version_1(top: Fields<'_>) -> Result<Option<Vec<Registry>>, RegistriesConfError> {
    let place = Place::Version1;
    let Some(table) = top.table("registries")? else {
        return Ok(None);
    };
    let tables = Fields { table, place };
    let mut is_there = false;
    let mut registries = BTreeMap::new();
    for name in ["search", "insecure", "block"] {
        let Some(table) = tables.table(name)? else {
            continue;
        };
        let fields = Fields { table, place };
        is_there |= fields.has("registries")?;
        let locations = fields.texts("registries")?;
        if name == "search" {
            search(&locations, place)?;
            continue;
        }
        for location in locations {
            let location = trimmed(location, place)?.to_owned();
            if location.is_empty() {
                return Err(RegistriesConfError::NoName(place));
            }
            let registry = Registry {
                prefix: location.clone(),
                location: Some(location.clone()),
                mirrors: Vec::new(),
            };
            registries.insert(location, registry);
        }
    }
    Ok(is_there.then(|| registries.into_values().collect()))
}

struct Version2 {
    registries: Vec<Registry>,
    says_anything: bool,
}

fn version_2(top: Fields<'_>) -> Result<Version2, RegistriesConfError> {
    let tables = top.tables("registry")?;
    if tables.len() > MAX_REGISTRIES {
        return Err(RegistriesConfError::TooManyRegistries);
    }
    let mut registries = BTreeMap::new();
    let mut seen: HashMap<String, (Place, [bool; 2])> = HashMap::new();
    for (index, table) in tables.into_iter().enumerate() {
        let place = Place::Registry(index + 1);
        let fields = Fields { table, place };
        let registry = registry(fields, index + 1)?;
        let flags = [fields.flag("insecure")?, fields.flag("blocked")?];
        let location = registry.location.as_ref().unwrap_or(&registry.prefix);
        let (other, others) = *seen.entry(location.clone()).or_insert((place, flags));
        for (at, field) in ["insecure", "blocked"].into_iter().enumerate() {
            if flags[at] != others[at] {
                return Err(RegistriesConfError::Conflict {
                    place,
                    other,
                    location: location.clone(),
                    field,
                });
            }
        }
        // The first of a prefix is the one that counts within a file.
        registries
            .entry(registry.prefix.clone())
            .or_insert(registry);
    }

    let mut says_anything = top.has("registry")?;
    says_anything |= top.has("unqualified-search-registries")?;
    search(&top.texts("unqualified-search-registries")?, Place::Top)?;
    says_anything |= top.has("credential-helpers")?;
    top.texts("credential-helpers")?;
    says_anything |= !top.text("additional-layer-store-auth-helper")?.is_empty();
    let mode = top.text("short-name-mode")?;
    if !["", "enforcing", "permissive", "disabled"].contains(&mode) {
        return Err(RegistriesConfError::ShortNameMode(mode.to_owned()));
    }
    says_anything |= !mode.is_empty() | top.has("aliases")?;
    aliases(top)?;
    Ok(Version2 {
        registries: registries.into_values().collect(),
        says_anything,
    })
}

fn registry(fields: Fields<'_>, number: usize) -> Result<Registry, RegistriesConfError> {
    let place = fields.place;
    let location = trimmed(fields.text("location")?, place)?;
    let prefix = match fields.text("prefix")? {
        "" if location.is_empty() => return Err(RegistriesConfError::NoName(place)),
        "" => location,
        prefix => trimmed(prefix, place)?,
    };
    let wildcard = prefix.starts_with("*.");
    if location.is_empty() && !wildcard {
        let prefix = prefix.to_owned();
        return Err(RegistriesConfError::NoLocation { place, prefix });
    }
    if wildcard && prefix.contains(['/', '@', ':']) {
        let prefix = prefix.to_owned();
        return Err(RegistriesConfError::Wildcard { place, prefix });
    }
    if !fields.text("pull-from-mirror")?.is_empty() {
        return Err(RegistriesConfError::PullFromRegistry(place));
    }
    fields.text("namespace-proxy")?;
    let only_digests = fields.flag("mirror-by-digest-only")?;
    let tables = fields.tables("mirror")?;
    if tables.len() > MAX_MIRRORS {
        return Err(RegistriesConfError::TooManyMirrors(place));
    }
    let mut mirrors = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let place = Place::Mirror(number, index + 1);
        mirrors.push(mirror(Fields { table, place }, only_digests)?);
    }
    Ok(Registry {
        prefix: prefix.to_owned(),
        location: (!location.is_empty()).then(|| location.to_owned()),
        mirrors,
    })
}

fn mirror(fields: Fields<'_>, only_digests: bool) -> Result<Mirror, RegistriesConfError> {
    let place = fields.place;
    let location = trimmed(fields.text("location")?, place)?;
    if location.is_empty() {
        return Err(RegistriesConfError::NoMirrorLocation(place));
    }
    fields.flag("insecure")?;
    fields.text("namespace-proxy")?;
    let pulls = match fields.text("pull-from-mirror")? {
        "" if only_digests => Pulls::Digests,
        "" => Pulls::All,
        _ if only_digests => return Err(RegistriesConfError::PullsTwice(place)),
        "all" => Pulls::All,
        "digest-only" => Pulls::Digests,
        "tag-only" => Pulls::Tags,
        word => {
            let word = word.to_owned();
            return Err(RegistriesConfError::Pulls { place, word });
        }
    };
    Ok(Mirror {
        location: location.to_owned(),
        pulls,
    })
}

/// Short names do not matter here: CRI-O has them in full before it looks at prefixes.
fn aliases(top: Fields<'_>) -> Result<(), RegistriesConfError> {
    let Some(table) = top.table("aliases")? else {
        return Ok(());
    };
    let place = Place::Aliases;
    for (name, image) in (Fields { table, place }).all_texts()? {
        if !names::is_short(name) {
            return Err(RegistriesConfError::ShortName(name.to_owned()));
        }
        if !image.is_empty() && !names::is_full(image) {
            return Err(RegistriesConfError::Alias {
                name: name.to_owned(),
                image: image.to_owned(),
            });
        }
    }
    Ok(())
}

fn search(hosts: &[&str], place: Place) -> Result<(), RegistriesConfError> {
    for host in hosts {
        if !names::is_host(trimmed(host, place)?) {
            return Err(RegistriesConfError::Search((*host).to_owned()));
        }
    }
    Ok(())
}

/// A location without the slashes at its end.
fn trimmed(text: &str, place: Place) -> Result<&str, RegistriesConfError> {
    let trimmed = text.trim_end_matches('/');
    if trimmed.starts_with("http://") || trimmed.starts_with("https://") {
        let location = text.to_owned();
        return Err(RegistriesConfError::Scheme { place, location });
    }
    Ok(trimmed)
}
