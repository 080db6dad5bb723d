//! Reads what `GET /config` answers.

use toml_edit::{Document, Item, TableLike};

/// The part of CRI-O's configuration that decides about pulls, and where its files lie.
///
/// A list is empty where the key is absent, as in CRI-O. Paths are those of CRI-O's mount
/// namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// `crio.image.signature_policy`: the policy.json in force, an absolute path. `None`: the
    /// system's default, `/etc/containers/policy.json`, and images on the node are not checked
    /// again at the creation of containers.
    pub signature_policy: Option<String>,
    /// `crio.image.signature_policy_dir`: the folder of `<namespace>.json`, an absolute path.
    /// `None` before 1.28.
    pub signature_policy_dir: Option<String>,
    /// `crio.image.pause_image`: what every pod needs.
    pub pause_image: Option<String>,
    /// `crio.image.pause_image_auth_file`, if any.
    pub pause_image_auth_file: Option<String>,
    /// `crio.image.global_auth_file`, if any: the credentials of pulls that come without.
    pub global_auth_file: Option<String>,
    /// `crio.image.namespaced_auth_dir`, if any; of newer versions.
    pub namespaced_auth_dir: Option<String>,
    /// `crio.image.pinned_images`, patterns with `*` among them.
    pub pinned_images: Vec<String>,
    /// `crio.image.insecure_registries`; without effect in newer versions.
    pub insecure_registries: Vec<String>,
    /// `crio.image.short_name_mode`: `enforcing` or `disabled`.
    pub short_name_mode: Option<String>,
    /// `crio.image.auto_reload_registries`: whether changes of registries.conf need no SIGHUP.
    pub auto_reload_registries: bool,
    /// The names of `crio.runtime.runtimes` with `runtime_pull_image`: these pull images on their
    /// own, past CRI-O's policy.
    pub pulling_runtimes: Vec<String>,
    /// `crio.api.listen`: the socket.
    pub listen: Option<String>,
    /// `crio.root`: the folder of images and containers.
    pub root: Option<String>,
    /// `crio.imagestore`, if images lie in a folder of their own.
    pub imagestore: Option<String>,
}

/// Why an answer is not CRI-O's configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It is not TOML in UTF-8.
    #[error("it is not TOML: line {line}: {reason}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// A table that every version writes is missing.
    #[error("it has no table [{table}], so it is not that of a CRI-O")]
    Missing {
        /// Its name.
        table: &'static str,
    },
    /// A value is not of its key's type.
    #[error("{key} is not {wanted}")]
    Type {
        /// The key with its tables.
        key: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A path depends on the folder in which CRI-O was started.
    #[error("{key} = {value:?} is not an absolute path; CRI-O has to be given one")]
    Relative {
        /// The key with its tables.
        key: String,
        /// The path.
        value: String,
    },
}

/// Reads a configuration as `GET /config` answers it. Keys that are not asked for may be anything.
pub fn parse(text: &[u8]) -> Result<Config, Invalid> {
    let text = str::from_utf8(text).map_err(|error| Invalid::Syntax {
        line: line(text, error.valid_up_to()),
        reason: "it is not UTF-8".to_owned(),
    })?;
    let document = Document::parse(text).map_err(|error| Invalid::Syntax {
        line: line(text.as_bytes(), error.span().map_or(0, |span| span.start)),
        reason: error.message().trim().to_owned(),
    })?;
    let crio = Table::root(document.as_table()).table("crio")?;
    let crio = crio.ok_or(Invalid::Missing { table: "crio" })?;
    let image = crio.table("image")?;
    let image = image.ok_or(Invalid::Missing {
        table: "crio.image",
    })?;
    let api = crio.table("api")?;
    Ok(Config {
        signature_policy: image.path("signature_policy")?,
        signature_policy_dir: image.path("signature_policy_dir")?,
        pause_image: image.text("pause_image")?,
        pause_image_auth_file: image.text("pause_image_auth_file")?,
        global_auth_file: image.text("global_auth_file")?,
        namespaced_auth_dir: image.text("namespaced_auth_dir")?,
        pinned_images: image.list("pinned_images")?,
        insecure_registries: image.list("insecure_registries")?,
        short_name_mode: image.text("short_name_mode")?,
        auto_reload_registries: image.flag("auto_reload_registries")?,
        pulling_runtimes: pulling_runtimes(&crio)?,
        listen: api.map_or(Ok(None), |api| api.text("listen"))?,
        root: crio.path("root")?,
        imagestore: crio.path("imagestore")?,
    })
}

fn pulling_runtimes(crio: &Table<'_>) -> Result<Vec<String>, Invalid> {
    let Some(runtime) = crio.table("runtime")? else {
        return Ok(Vec::new());
    };
    let Some(runtimes) = runtime.table("runtimes")? else {
        return Ok(Vec::new());
    };
    let mut pulling = Vec::new();
    for (name, _) in runtimes.entries.iter() {
        if let Some(handler) = runtimes.table(name)?
            && handler.flag("runtime_pull_image")?
        {
            pulling.push(name.to_owned());
        }
    }
    Ok(pulling)
}

/// The line of a byte.
fn line(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.split(|byte| *byte == b'\n').count()
}

/// A table and how it is called.
struct Table<'a> {
    name: String,
    entries: &'a dyn TableLike,
}

impl<'a> Table<'a> {
    fn root(entries: &'a dyn TableLike) -> Self {
        let name = String::new();
        Self { name, entries }
    }

    fn key(&self, key: &str) -> String {
        if self.name.is_empty() {
            return key.to_owned();
        }
        format!("{}.{key}", self.name)
    }

    /// What a key has, read as `wanted`.
    fn get<T>(
        &self,
        key: &str,
        wanted: &'static str,
        read: impl FnOnce(&'a Item) -> Option<T>,
    ) -> Result<Option<T>, Invalid> {
        let Some(item) = self.entries.get(key) else {
            return Ok(None);
        };
        let wrong = || Invalid::Type {
            key: self.key(key),
            wanted,
        };
        read(item).map(Some).ok_or_else(wrong)
    }

    fn table(&self, key: &str) -> Result<Option<Self>, Invalid> {
        let entries = self.get(key, "a table", Item::as_table_like)?;
        let name = self.key(key);
        Ok(entries.map(|entries| Self { name, entries }))
    }

    /// A string, which CRI-O writes empty where nothing is set.
    fn text(&self, key: &str) -> Result<Option<String>, Invalid> {
        let text = self.get(key, "a string", Item::as_str)?;
        Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
    }

    fn path(&self, key: &str) -> Result<Option<String>, Invalid> {
        let path = self.text(key)?;
        match path {
            Some(value) if !value.starts_with('/') => Err(Invalid::Relative {
                key: self.key(key),
                value,
            }),
            path => Ok(path),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, Invalid> {
        let flag = self.get(key, "true or false", Item::as_bool)?;
        Ok(flag.unwrap_or_default())
    }

    fn list(&self, key: &str) -> Result<Vec<String>, Invalid> {
        let read = |item: &Item| {
            let texts = item.as_array()?.iter();
            texts.map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let list = self.get(key, "a list of strings", read)?;
        Ok(list.unwrap_or_default())
    }
}
