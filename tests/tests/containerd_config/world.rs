//! A folder with a configuration, and the containerd that reads it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use node_runtime::containerd::{
    Effective, Enforcement, Files, Markers, Predicate, Text, Version, effective, enforcement, load,
};
use tempfile::TempDir;
use toml_edit::{DocumentMut, Item, TableLike};
use xtask::peers;

const IMAGES: &str = "io.containerd.cri.v1.images";
const VERIFIER: &str = "io.containerd.image-verifier.v1.bindir";

/// The files of one case.
pub(crate) struct World {
    folder: TempDir,
    /// Of the containerd that judges.
    pub(crate) version: Version,
}

/// What `containerd config dump` printed.
pub(crate) struct Dump(DocumentMut);

/// A node without any marker.
pub(crate) struct Nothing;

impl Markers for Nothing {
    fn exists(&self, _path: &str) -> bool {
        false
    }
}

impl World {
    /// Writes the files; `DIR` in them is the folder.
    pub(crate) fn new(files: &[(&str, &str)]) -> Result<Self> {
        let output = Command::new(peers::locate("containerd")?)
            .arg("--version")
            .output()
            .context("run containerd --version")?;
        let said = String::from_utf8(output.stdout)?;
        let version = said.split_whitespace().nth(2).context("read its version")?;
        let world = Self {
            folder: TempDir::with_prefix("containerd-config-")?,
            version: version.parse()?,
        };
        for (name, text) in files {
            world.write(&world.path(name), &text.replace("DIR", &world.path("")))?;
        }
        Ok(world)
    }

    /// The path of a file in the folder.
    pub(crate) fn path(&self, name: &str) -> String {
        let folder = self.folder.path().display();
        if name.is_empty() {
            folder.to_string()
        } else {
            format!("{folder}/{name}")
        }
    }

    /// The path of the root file.
    pub(crate) fn root(&self) -> String {
        self.path("config.toml")
    }

    /// Writes a file of the folder, by its whole path.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = Path::new(path);
        ensure!(
            path.starts_with(self.folder.path()),
            "{} is not ours",
            path.display()
        );
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    /// What containerd makes of it.
    pub(crate) fn dump(&self) -> Result<Dump> {
        let output = Command::new(peers::locate("containerd")?)
            .args(["--config", &self.root(), "config", "dump"])
            .output()
            .context("run containerd config dump")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Dump(String::from_utf8(output.stdout)?.parse()?))
    }

    fn effective(&self) -> Result<Effective> {
        Ok(effective(&load(self, &self.root())?, Some(self.version)))
    }

    /// What is found to be in the way.
    pub(crate) fn predicates(&self) -> Result<Vec<Predicate>> {
        Ok(match enforcement(Some(self.version), &self.effective()?) {
            Enforcement::Full => Vec::new(),
            Enforcement::None { why } => why.iter().map(|bypass| bypass.predicate).collect(),
        })
    }

    /// Why we think that containerd cannot load it.
    pub(crate) fn refusal(&self) -> Option<String> {
        match load(self, &self.root()) {
            Err(error) => Some(error.to_string()),
            Ok(loaded) => effective(&loaded, Some(self.version))
                .problems
                .first()
                .map(|problem| problem.message.clone()),
        }
    }

    /// In what we and containerd differ.
    pub(crate) fn differences(&self, what: &str) -> Result<Vec<String>> {
        let ours = self.effective()?;
        let dump = self.dump()?;
        let images = &ours.images;
        let seconds = ours.verifier.per_verifier_timeout_ms.value / 1_000;
        let snapshotter = images.snapshotter.as_ref();
        let sandbox = images.sandbox_image.as_ref();
        let mut wrong = Vec::new();
        let mut compare = |name: &str, ours: String, theirs: String| {
            if ours != theirs {
                wrong.push(format!("{what}: {name}: ours {ours}, containerd {theirs}"));
            }
        };
        for problem in &ours.problems {
            compare("a problem", problem.message.clone(), String::new());
        }
        compare(
            "bin_dir",
            ours.verifier.bin_dir.value.clone(),
            dump.text(VERIFIER, &["bin_dir"])?,
        );
        for (name, ours) in [
            (
                "max_verifiers",
                ours.verifier.max_verifiers.value.to_string(),
            ),
            ("per_verifier_timeout", format!("{seconds}s")),
        ] {
            compare(name, ours, dump.text(VERIFIER, &[name])?);
        }
        for (name, ours) in [
            ("use_local_image_pull", images.use_local_image_pull.value),
            (
                "disable_snapshot_annotations",
                images.disable_snapshot_annotations.value,
            ),
            (
                "discard_unpacked_layers",
                images.discard_unpacked_layers.value,
            ),
            (
                "image_pull_with_sync_fs",
                images.image_pull_with_sync_fs.value,
            ),
        ] {
            compare(name, ours.to_string(), dump.text(IMAGES, &[name])?);
        }
        let downloads = images.max_concurrent_downloads.value.to_string();
        compare(
            "downloads",
            downloads,
            dump.text(IMAGES, &["max_concurrent_downloads"])?,
        );
        let mut hosts = dump.text(IMAGES, &["registry", "config_path"])?;
        // From 2.2.2 on the default is put in when the plugin starts, which a dump does not show.
        if hosts.is_empty() && self.version >= Version::new(2, 2, 2) && images.mirrors.value == 0 {
            "/etc/containerd/certs.d:/etc/docker/certs.d".clone_into(&mut hosts);
        }
        compare("config_path", images.config_path.value.clone(), hosts);
        for (name, ours) in [
            ("mirrors", images.mirrors.value),
            ("configs", images.configs.value),
            ("auths", images.auths.value),
        ] {
            compare(name, ours.to_string(), dump.entries(name)?);
        }
        // Without a value of its own each version has another default.
        if let Some(snapshotter) = snapshotter {
            compare(
                "snapshotter",
                snapshotter.value.clone(),
                dump.text(IMAGES, &["snapshotter"])?,
            );
        }
        let pinned = dump.text(IMAGES, &["pinned_images", "sandbox"])?;
        match sandbox {
            Some(sandbox) => compare("sandbox", sandbox.value.clone(), pinned),
            None => compare(
                "sandbox",
                "registry.k8s.io/pause".to_owned(),
                pinned.split(':').next().unwrap_or_default().to_owned(),
            ),
        }
        for disabled in &ours.disabled {
            let theirs = dump.disabled().contains(&disabled.plugin);
            compare(&disabled.plugin, true.to_string(), theirs.to_string());
        }
        Ok(wrong)
    }
}

impl Dump {
    /// A plugin's settings, as text.
    pub(crate) fn plugin(&self, id: &str) -> Result<String> {
        Ok(self.item(id, &[])?.to_string())
    }

    /// A plugin's setting, as text without quotes.
    pub(crate) fn text(&self, plugin: &str, keys: &[&str]) -> Result<String> {
        let item = self.item(plugin, keys)?;
        Ok(match item.as_str() {
            Some(text) => text.to_owned(),
            None => item.to_string().trim().to_owned(),
        })
    }

    /// How many entries a table of `registry` has; one that was never made is left out.
    fn entries(&self, name: &str) -> Result<String> {
        let registry = self.item(IMAGES, &["registry"])?;
        let table = registry.get(name).map(|item| {
            let table = item.as_table_like();
            table.with_context(|| format!("{name} is no table"))
        });
        Ok(table.transpose()?.map_or(0, TableLike::len).to_string())
    }

    fn disabled(&self) -> Vec<String> {
        let entries = self.0.get("disabled_plugins").and_then(Item::as_array);
        let texts = entries
            .into_iter()
            .flatten()
            .filter_map(toml_edit::Value::as_str);
        texts.map(str::to_owned).collect()
    }

    fn item(&self, plugin: &str, keys: &[&str]) -> Result<&Item> {
        let mut item = self.0.as_item();
        for key in ["plugins", plugin].iter().chain(keys) {
            item = item
                .get(key)
                .with_context(|| format!("no {key} of {plugin} in the dump"))?;
        }
        Ok(item)
    }
}

impl Files for World {
    fn read(&self, path: &str, _limit: usize) -> io::Result<Option<Text>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(Text {
                bytes,
                modified: fs::metadata(path)?.modified().ok(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, dir: &str) -> io::Result<Option<Vec<String>>> {
        use io::ErrorKind::{NotADirectory, NotFound};
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(None),
            Err(error) => return Err(error),
        };
        let names: io::Result<Vec<String>> = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.map(Some)
    }
}
