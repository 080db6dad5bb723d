//! A node with a real containerd, the table of a bundle, and the probe's registry beside it.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::rand::fill;
use e2e::Node;
use node_runtime::cri;
use node_runtime::probe::{
    self, BindError, Identity, Kind, Names, Nonce, Observed, Proof, Registry, judge, scopes,
};
use policy::bundle::{Bundle, DefaultAction, Settings};
use policy::containerd::{ContainerdFacts, render};
use policy::digest::Digest;
use policy::flatten::{NodeFacts, flatten};
use policy::paths;
use xtask::product::Product;

/// How long one pull may take on a slow machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// What stands in the folder of verifiers.
pub(crate) enum Verifier {
    /// Ours.
    Ours,
    /// This file with this content and mode, under our name.
    Other(Vec<u8>, u32),
    /// There is no folder.
    Missing,
}

/// A node under proof.
pub(crate) struct Scene {
    pub(crate) node: Node,
    pub(crate) identity: Identity,
    registry: Registry,
    /// The bundle that has to be in force.
    pub(crate) bundle: Digest,
}

/// A registry on a port of its own, for a runtime of this kind.
pub(crate) async fn registry(kind: Kind) -> Result<(Identity, Registry)> {
    loop {
        let identity = Identity::generate()?;
        match Registry::bind(&identity, kind).await {
            Ok(registry) => return Ok((identity, registry)),
            // Another test has just taken it.
            Err(BindError::Taken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A bundle without policies that differs from others by what it exempts.
pub(crate) fn bundle(default_action: DefaultAction, exempt: &str) -> Result<Bundle> {
    let settings = Settings {
        default_action,
        exempt_images: [policy::scope::Scope::parse(exempt)?].into(),
        ..Settings::default()
    };
    Ok(Bundle::new(settings, []))
}

/// The facts of a node whose registry has this port.
pub(crate) fn facts(port: u16, bundle: &Bundle) -> Result<NodeFacts> {
    let scopes = scopes(port, &bundle.digest())?;
    Ok(NodeFacts {
        accepted: [scopes.allow].into(),
        refused: [scopes.deny].into(),
        ..NodeFacts::default()
    })
}

/// Something nobody could know.
pub(crate) fn nonce() -> Result<Nonce> {
    let mut random = [0; 16];
    fill(&mut random).map_err(|_| anyhow!("no randomness"))?;
    Ok(Nonce::new(random))
}

impl Scene {
    /// A node that enforces, but for what is said: more lines of a drop-in for containerd, and what
    /// stands in the folder of verifiers.
    pub(crate) async fn start(
        default_action: DefaultAction,
        drop_in: &str,
        verifier: Verifier,
    ) -> Result<Self> {
        let (identity, registry) = registry(Kind::Containerd).await?;
        let mut node = Node::prepare(None)?;
        let root = node.root();
        let bundle = bundle(default_action, "exempt.example.com/now")?;
        write_table(&root, identity.port, &bundle)?;
        write(
            &root.join("etc/containerd/conf.d/a-distribution.toml"),
            format!("version = 3\n{drop_in}\n").as_bytes(),
            0o644,
        )?;
        let program = match verifier {
            Verifier::Ours => Some((fs::read(Product::Verifier.locate()?)?, 0o755)),
            Verifier::Other(bytes, mode) => Some((bytes, mode)),
            Verifier::Missing => None,
        };
        if let Some((bytes, mode)) = program {
            let path = root.join(paths::VERIFIER_DIR).join(paths::VERIFIER_NAME);
            write(&path, &bytes, mode)?;
        }
        node.boot().await?;
        Ok(Self {
            node,
            identity,
            registry,
            bundle: bundle.digest(),
        })
    }

    /// As [`Scene::start`], with our verifier.
    pub(crate) async fn with(drop_in: &str) -> Result<Self> {
        Self::start(DefaultAction::Allow, drop_in, Verifier::Ours).await
    }

    /// Puts the table of another bundle in force, which the agent knows nothing of.
    pub(crate) fn put_older_table(&self, default_action: DefaultAction) -> Result<Digest> {
        let older = bundle(default_action, "exempt.example.com/before")?;
        write_table(&self.node.root(), self.identity.port, &older)?;
        Ok(older.digest())
    }

    /// What the two pulls showed.
    pub(crate) async fn observe(&mut self) -> Result<Observed> {
        let nonce = nonce()?;
        Ok(self.observe_with(&nonce).await)
    }

    pub(crate) async fn observe_with(&mut self, nonce: &Nonce) -> Observed {
        let client = cri::Client::new(self.node.socket(), cri::DEADLINE);
        let pull = |image: String| {
            let client = client.clone();
            async move { client.pull(&image, DEADLINE).await.map(drop) }
        };
        probe::run(&mut self.registry, pull, &self.bundle, nonce, DEADLINE).await
    }

    /// The images that will be pulled with this nonce.
    pub(crate) fn names(&self, nonce: &Nonce) -> Names {
        Names::new(self.identity.port, &self.bundle, nonce)
    }

    /// The proof, which must have left nothing on the node.
    pub(crate) async fn proof(&mut self) -> Result<Proof> {
        let before = self.stored().await?;
        let observed = self.observe().await?;
        let after = self.stored().await?;
        assert_eq!(before, after, "{observed:#?}");
        // What containerd begins to fetch it goes on with the next time, so there is only one, and
        // it is empty; it is removed as after any pull that failed.
        let begun = files(&self.content("ingest"))?;
        let data: Vec<_> = begun.iter().filter(|file| file.ends_with("data")).collect();
        assert!(data.len() <= 1, "{data:?}");
        for file in data {
            assert_eq!(fs::metadata(file)?.len(), 0, "{}", file.display());
        }
        Ok(told(&observed))
    }

    /// The names of the images, and the files of the content store.
    async fn stored(&self) -> Result<BTreeSet<PathBuf>> {
        let client = cri::Client::new(self.node.socket(), cri::DEADLINE);
        let images = client.images().await?;
        let names = images
            .iter()
            .flat_map(|image| image.tags.iter().chain(&image.digests));
        let mut all = files(&self.content("blobs"))?;
        all.extend(names.map(PathBuf::from));
        Ok(all)
    }

    /// A folder of containerd's content store. It is made when something is fetched.
    pub(crate) fn content(&self, name: &str) -> PathBuf {
        let store = "var/lib/containerd/io.containerd.content.v1.content";
        self.node.root().join(store).join(name)
    }
}

/// Every file below a folder; none where the folder is not there.
fn files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                all.insert(entry.path());
            }
        }
    }
    Ok(all)
}

/// Judges, and prints what was seen for whoever looks into a failure.
pub(crate) fn told(observed: &Observed) -> Proof {
    let proof = judge(Kind::Containerd, observed);
    println!("{observed:#?}\n{}: {proof}", proof.reason());
    proof
}

/// Writes what the agent would write of a bundle.
fn write_table(root: &Path, port: u16, bundle: &Bundle) -> Result<()> {
    let flat = flatten(bundle, &facts(port, bundle)?);
    for (path, file) in render(&flat, &bundle.digest(), &ContainerdFacts::default()) {
        write(&root.join(path), &file.bytes, file.mode)?;
    }
    Ok(())
}

/// Writes a file beside its place and renames it in.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let staged = folder.with_extension("staged");
    fs::write(&staged, bytes).with_context(|| format!("write {}", staged.display()))?;
    fs::set_permissions(&staged, fs::Permissions::from_mode(mode))?;
    fs::rename(&staged, path).with_context(|| format!("write {}", path.display()))
}
