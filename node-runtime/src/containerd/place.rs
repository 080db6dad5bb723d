//! Where the verifier goes, and what has to be written for it.

use policy::paths::VERIFIER_NAME;

use super::bypass::{Enforcement, Predicate};
use super::effective::Effective;
use super::glob::{absolute, clean, folder};
use super::imports::{ImportsError, imports_edit, is_imported};
use super::layout::{Import, Layout};
use super::load::Loaded;

/// The name of our drop-in: late in the order of names, so that it has the last word.
const DROP_IN_NAME: &str = "zz-nodeseal.toml";
/// What finds it among the files of a folder, and no other's. A pattern may find nothing, where a
/// plain path that is not there keeps containerd from starting.
const DROP_IN_PATTERN: &str = "zz-nodeseal*.toml";

/// Where this product put the verifier before, from its own state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// Into a folder that the node's configuration named.
    Configured {
        /// That folder, absolute.
        bin_dir: String,
    },
    /// Into a folder of its own, which this drop-in names.
    Own {
        /// The path of the drop-in, absolute.
        drop_in: String,
    },
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Its path, absolute.
    pub path: String,
    /// Its text now; `None` when there is none.
    pub old: Option<String>,
    /// Its text then.
    pub new: String,
}

/// Where the verifier goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Into the folder that is configured, and through which pulls go already: nothing else is
    /// written, and nothing is restarted.
    Configured {
        /// That folder, absolute.
        bin_dir: String,
    },
    /// Into a folder of our own.
    Own {
        /// The path of the drop-in that names the folder.
        drop_in: String,
        /// What makes containerd read it; `None` when it does already.
        imports: Option<Edit>,
        /// Verifiers of others in the folder that is configured now. They are no longer run once
        /// the drop-in is in force: say so before.
        displaced: Vec<String>,
    },
    /// Nowhere: it would never be run.
    Nowhere {
        /// Why, and what to do.
        why: String,
    },
}

/// Decides it. `entries` are the names in the folder `effective.verifier.bin_dir`, `None` when
/// there is none.
///
/// What was decided before stays while it can: with our drop-in in force pulls go through our own
/// folder, which would look like a configured one, and taking the drop-in away would cost a restart
/// for nothing. A folder of the node stays ours even when a foreign verifier comes to lie beside
/// ours: both have to say yes then, while moving away would silence the other.
pub fn place(
    loaded: &Loaded,
    effective: &Effective,
    enforcement: &Enforcement,
    entries: Option<&[String]>,
    layout: &Layout,
    before: Option<&Installed>,
) -> Result<Place, ImportsError> {
    if let Import::Unsupported { instead } = &layout.import {
        return Ok(Place::Nowhere {
            why: instead.clone(),
        });
    }
    if let Enforcement::None { why } = enforcement
        && let Some(bypass) = why.iter().find(|bypass| {
            matches!(
                bypass.predicate,
                Predicate::VersionUnknown | Predicate::VersionTooOld | Predicate::ConfigInvalid
            )
        })
    {
        return Ok(Place::Nowhere {
            why: bypass.to_string(),
        });
    }
    let bin_dir = clean(&effective.verifier.bin_dir.value);
    let foreign: Vec<String> = entries
        .unwrap_or_default()
        .iter()
        .filter(|name| *name != VERIFIER_NAME)
        .cloned()
        .collect();
    if *enforcement == Enforcement::Full {
        let stays = match before {
            Some(Installed::Configured { bin_dir: before }) => clean(before) == bin_dir,
            Some(Installed::Own { .. }) => false,
            None => foreign.is_empty(),
        };
        // A relative folder would be looked up where containerd was started.
        if stays && effective.verifier.bin_dir.value.starts_with('/') {
            return Ok(Place::Configured { bin_dir });
        }
    }
    own(loaded, effective, foreign, layout, before)
}

/// The entry that is added to `imports` for a drop-in of ours. Drop-ins of others in its folder, which
/// nobody may have meant to be read, stay unread.
#[must_use]
pub fn own_import(drop_in: &str) -> String {
    format!("{}/{DROP_IN_PATTERN}", folder(drop_in))
}

fn own(
    loaded: &Loaded,
    effective: &Effective,
    foreign: Vec<String>,
    layout: &Layout,
    before: Option<&Installed>,
) -> Result<Place, ImportsError> {
    let root = loaded.root_file();
    let imports = root.map_or(&[][..], |file| &file.imports);
    let covered = |path: &str| is_imported(imports, &loaded.root, path);
    let usual = format!("{}/{DROP_IN_NAME}", layout.drop_in_dir);
    let drop_in = match before {
        Some(Installed::Own { drop_in }) => drop_in.clone(),
        // A folder that is imported already needs no edit; the last one has the last word.
        _ if !covered(&usual) && layout.import == Import::Editable => imports
            .iter()
            .rev()
            .map(|entry| absolute(entry, &loaded.root))
            .filter(|entry| !folder(entry).contains(['*', '?', '[', '\\']))
            .map(|entry| format!("{}/{DROP_IN_NAME}", folder(&entry)))
            .find(|path| covered(path))
            .unwrap_or(usual),
        _ => usual,
    };
    // With our drop-in in force the folder is ours, and what is in it displaces nobody.
    let displaced = match before {
        Some(Installed::Own { .. }) => Vec::new(),
        _ => foreign,
    };
    if covered(&drop_in) {
        return Ok(Place::Own {
            drop_in,
            imports: None,
            displaced,
        });
    }
    if let Import::Generated { missing } = &layout.import {
        return Ok(Place::Nowhere {
            why: missing.clone(),
        });
    }
    let pattern = own_import(&drop_in);
    let old = root.map(|file| file.text.clone());
    let new = imports_edit(
        old.as_deref(),
        &pattern,
        effective.generation.newest_version(),
    )?;
    Ok(Place::Own {
        drop_in,
        imports: new.map(|new| Edit {
            path: loaded.root.to_string(),
            old,
            new,
        }),
        displaced,
    })
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
