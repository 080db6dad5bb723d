//! What `node-runtime` takes a containerd's configuration to mean, judged by containerd itself:
//! for each case `containerd config dump` must give the same merged values, and where we say that
//! a configuration cannot be loaded it must refuse it.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

mod cases;
mod world;

use anyhow::{Result, ensure};
use node_runtime::containerd::{
    DropIn, Effective, Enforcement, Place, Predicate, Setting, drop_in, effective, enforcement,
    imports_edit, load, not_in_force, own_import, place, recognise,
};

use crate::cases::{CASES, REFUSED};
use crate::world::{Nothing, World};

#[test]
fn every_configuration_means_what_containerd_says() -> Result<()> {
    let mut wrong = Vec::new();
    for case in CASES {
        let world = World::new(case.files)?;
        println!("{}", case.what);
        wrong.extend(world.differences(case.what)?);
        let found = world.predicates()?;
        if found != case.predicates {
            wrong.push(format!(
                "{}: found {found:?}, expected {:?}",
                case.what, case.predicates
            ));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn what_cannot_be_loaded_containerd_refuses_too() -> Result<()> {
    for (what, files) in REFUSED {
        let world = World::new(files)?;
        let said = world.refusal();
        ensure!(said.is_some(), "{what}: taken for a good configuration");
        println!("{what}: {}", said.unwrap_or_default());
        ensure!(world.dump().is_err(), "{what}: containerd loads it");
    }
    Ok(())
}

/// `config dump` prints what it has when a file is missing, where the daemon ends: that it reads
/// nothing after the missing file shows that loading failed there.
#[test]
fn a_missing_import_ends_the_loading() -> Result<()> {
    let verifier = "version = 3\nplugins.'io.containerd.image-verifier.v1.bindir'.bin_dir = '/b'\n";
    let imports = "version = 3\nimports = ['none.toml', 'b.toml']\n";
    let world = World::new(&[("config.toml", imports), ("b.toml", verifier)])?;
    let said = world.refusal().unwrap_or_default();
    ensure!(said.contains("none.toml, which does not exist"), "{said}");
    let bin_dir = || -> Result<String> {
        let plugin = "io.containerd.image-verifier.v1.bindir";
        world.dump()?.text(plugin, &["bin_dir"])
    };
    ensure!(bin_dir()? == "/opt/containerd/image-verifier/bin");
    world.write(&world.path("none.toml"), "")?;
    ensure!(bin_dir()? == "/b" && world.refusal().is_none());
    Ok(())
}

/// A file that an imported file imports is merged after every drop-in of the root file, ours too.
#[test]
fn a_nested_import_has_the_last_word_and_we_say_so() -> Result<()> {
    let ours = "version = 3\nplugins.'io.containerd.image-verifier.v1.bindir'.bin_dir = '/ours'\n";
    let deep = "\nplugins.'io.containerd.image-verifier.v1.bindir'.bin_dir = '/deep'\n";
    let world = World::new(&[
        (
            "config.toml",
            "version = 3\nimports = ['a.toml', 'zz.toml']\n",
        ),
        ("a.toml", "imports = ['deep.toml']\n"),
        ("deep.toml", deep),
        ("zz.toml", ours),
    ])?;
    let plugin = "io.containerd.image-verifier.v1.bindir";
    ensure!(world.dump()?.text(plugin, &["bin_dir"])? == "/deep");
    let merged = effective(&load(&world, &world.root())?, Some(world.version));
    let said = not_in_force(&merged, "/ours").unwrap_or_default();
    ensure!(said.contains(&world.path("deep.toml:2")), "{said}");
    Ok(())
}

/// The drop-in with its fix-ups, put where it belongs with the edit that it needs: containerd then
/// has the folder and none of what can be fixed, and everything else as before.
#[test]
fn the_drop_in_does_what_it_is_for() -> Result<()> {
    let mut fixed = 0;
    for case in CASES {
        let world = World::new(case.files)?;
        let version = Some(world.version);
        let loaded = load(&world, &world.root())?;
        let before = effective(&loaded, version);
        let verdict = enforcement(version, &before);
        let mut layout = recognise(&[], &world.root(), None, &Nothing);
        layout.drop_in_dir = world.path("zz-conf.d");
        let foreign = ["other".to_owned()];
        let placed = place(&loaded, &before, &verdict, Some(&foreign), &layout, None)?;
        let Place::Own {
            drop_in: path,
            imports,
            ..
        } = placed
        else {
            anyhow::bail!("{}: {placed:?}", case.what);
        };
        let text = drop_in(
            &before,
            &verdict,
            &DropIn {
                bin_dir: "/opt/nodeseal/image-verifier",
                fix_local_pull: true,
                hosts_folder: None,
            },
        );
        world.write(&path, &text)?;
        if let Some(edit) = imports {
            world.write(&edit.path, &edit.new)?;
        }
        println!("{}\n{text}", case.what);
        let wrong = world.differences(case.what)?;
        ensure!(wrong.is_empty(), "{text}\n{}", wrong.join("\n"));

        let dump = world.dump()?;
        let bin_dir = dump.text("io.containerd.image-verifier.v1.bindir", &["bin_dir"])?;
        ensure!(bin_dir == "/opt/nodeseal/image-verifier", "{}", case.what);
        let left = world.predicates()?;
        let expected: Vec<Predicate> = case
            .predicates
            .iter()
            .copied()
            .filter(NeedsAPerson::needs_a_person)
            .collect();
        ensure!(left == expected, "{}: left {left:?}\n{text}", case.what);
        fixed += case.predicates.len() - left.len();

        let after = effective(&load(&world, &world.root())?, version);
        // Lines have moved where the root file got an import; values have not.
        let kept = |found: &Effective| {
            let value = |setting: &Option<Setting<String>>| setting.clone().map(|s| s.value);
            (
                value(&found.images.sandbox_image),
                value(&found.images.snapshotter),
            )
        };
        ensure!(kept(&after) == kept(&before), "{text}");
        ensure!(after.version == before.version, "{}: {text}", case.what);
    }
    ensure!(fixed > 10, "only {fixed} bypasses were there to be fixed");
    Ok(())
}

/// The entry that is added to `imports` finds our drop-in, and no drop-in of others beside it; with
/// nothing to find it is no error.
#[test]
fn an_import_of_ours_finds_our_drop_in_alone() -> Result<()> {
    let world = World::new(&[("unused", "")])?;
    let drop_in = world.path("conf.d/zz-nodeseal.toml");
    let text = imports_edit(Some("version = 3\n"), &own_import(&drop_in), 3)?.expect("an edit");
    world.write(&world.root(), &text)?;
    let set = |number: u32| {
        format!(
            "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = {number}\n"
        )
    };
    let max = || -> Result<String> {
        let plugin = "io.containerd.image-verifier.v1.bindir";
        let theirs = world.dump()?.text(plugin, &["max_verifiers"])?;
        let found = load(&world, &world.root())?;
        let ours = effective(&found, Some(world.version))
            .verifier
            .max_verifiers
            .value;
        ensure!(theirs == ours.to_string(), "{theirs} {ours}");
        Ok(theirs)
    };
    world.write(&world.path("conf.d/dormant.toml"), &set(3))?;
    world.write(&world.path("conf.d/zzz.toml"), &set(4))?;
    ensure!(max()? == "10", "{}", max()?);
    world.write(&drop_in, &set(7))?;
    ensure!(max()? == "7", "{}", max()?);
    Ok(())
}

#[test]
fn a_new_root_file_leaves_the_defaults_as_they_are() -> Result<()> {
    let none = World::new(&[("unused", "")])?;
    let defaults = none.dump()?;
    let world = World::new(&[("unused", "")])?;
    let text = imports_edit(None, &world.path("none.d/*.toml"), 3)?.expect("there is no root file");
    world.write(&world.root(), &text)?;
    let dump = world.dump()?;
    for plugin in [
        "io.containerd.cri.v1.images",
        "io.containerd.cri.v1.runtime",
        "io.containerd.image-verifier.v1.bindir",
        "io.containerd.transfer.v1.local",
    ] {
        let (old, new) = (defaults.plugin(plugin)?, dump.plugin(plugin)?);
        ensure!(old == new, "{plugin}: {old} {new}");
    }
    let found = load(&world, &world.root())?;
    let merged = effective(&found, Some(world.version));
    ensure!(enforcement(Some(world.version), &merged) == Enforcement::Full);
    Ok(())
}

/// Which bypasses no drop-in can remove.
trait NeedsAPerson {
    fn needs_a_person(&self) -> bool;
}

impl NeedsAPerson for Predicate {
    fn needs_a_person(&self) -> bool {
        matches!(
            self,
            Self::RegistryMirrors
                | Self::RegistryConfigs
                | Self::RegistryAuths
                | Self::PluginDisabled
        )
    }
}
