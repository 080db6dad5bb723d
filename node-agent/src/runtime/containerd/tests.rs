use std::fs;
use std::time::SystemTime;

use node_runtime::process::{DEFAULT_CONTAINERD_CONFIG, Found, Start};
use policy::bundle::Settings;
use policy::settings::{ContainerdSettings, Restart};

use super::*;
use crate::refresh::Refreshed;
use crate::state::Record;

const ROOT_FILE: &str = "etc/containerd/config.toml";
const OFF: &str = "version = 3\n# theirs\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0\n";
const IMPORT: &str = "imports = [\"/etc/containerd/conf.d/zz-nodeseal*.toml\"]\n";

/// A node whose containerd runs, and which was brought to enforce.
struct Scene {
    dir: tempfile::TempDir,
    state: State,
}

/// What became of the configuration.
struct Outcome {
    targets: Vec<Target>,
    pending: Option<String>,
    written: bool,
}

impl Outcome {
    fn of(&self, path: &str) -> Option<&Target> {
        let mut targets = self.targets.iter();
        targets.find(|target| target.path() == Some(path))
    }
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = State::default();
        let scene = Self { dir, state };
        scene.put(ROOT_FILE, OFF);
        scene
    }

    fn enforcing() -> Self {
        let mut scene = Self::new();
        let outcome = scene.configure(Restart::Allowed, Ok(()));
        assert!(outcome.written && outcome.pending.is_none());
        for target in outcome.targets {
            let (path, role, bytes) = match target {
                Target::Edit { path, bytes, .. } => (path, Role::Edited, bytes),
                Target::Write { path, file, .. } => (path, Role::Config, file.bytes),
                other => panic!("{other:?}"),
            };
            scene.put(&path, str::from_utf8(&bytes).unwrap());
            let sha256 = Digest::of(&bytes);
            let record = Record {
                role,
                sha256,
                mode: 0o644,
                original: None,
            };
            scene.state.files.insert(path, record);
        }
        assert_eq!(scene.state.files.len(), 2);
        scene
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    fn root(&self) -> Root {
        Root::open(self.dir.path()).unwrap()
    }

    fn configure(&self, restart: Restart, restartable: Result<(), String>) -> Outcome {
        let containerd = Containerd {
            version: Some(Version::new(2, 2, 1)),
            verifier: PathBuf::new(),
            config: None,
            folder: None,
            credential_provider: None,
            process: Some(Err("not asked".to_owned())),
            restartable,
        };
        let settings = Settings {
            containerd: ContainerdSettings {
                restart,
                ..ContainerdSettings::default()
            },
            ..Settings::default()
        };
        let bundle = Bundle::new(settings, []);
        let root = self.root();
        let node = Node {
            root: &root,
            state: &self.state,
            sandbox_images: &[],
            probe: None,
            refreshed: &Refreshed::default(),
            tried: &[],
            reverting: false,
        };
        let mut report = Report::default();
        let layout = containerd.layout(&root).unwrap();
        let before = before(&self.state);
        let decision = containerd
            .decide(&root, &layout, before.as_ref(), &bundle, &mut report)
            .unwrap();
        let mut targets = Vec::new();
        let written = containerd.configuration(&decision, node, &bundle, &mut report, &mut targets);
        Outcome {
            targets,
            pending: report.pending,
            written,
        }
    }

    /// With containerd that may not be restarted, and with one that cannot be.
    fn kept_out(&self) -> [Outcome; 2] {
        [
            self.configure(Restart::Never, Ok(())),
            self.configure(Restart::Allowed, Err("it has no unit".to_owned())),
        ]
    }
}

#[test]
fn what_was_never_there_waits_where_containerd_is_not_restarted() {
    for outcome in Scene::new().kept_out() {
        let pending = outcome.pending.unwrap();
        assert!(
            pending.contains("+imports") && pending.contains("+max_verifiers"),
            "{pending}"
        );
        assert!(outcome.targets.is_empty() && !outcome.written);
    }
}

#[test]
fn a_drop_in_that_is_gone_is_put_back_whatever_keeps_a_restart_out() {
    let scene = Scene::enforcing();
    let text = fs::read(scene.at(CONTAINERD_DROP_IN)).unwrap();
    let put_back = |what: &str| {
        for outcome in scene.kept_out() {
            assert_eq!(outcome.pending, None, "{what}");
            assert!(outcome.written, "{what}");
            let Some(Target::Write {
                file, own: true, ..
            }) = outcome.of(CONTAINERD_DROP_IN)
            else {
                panic!("{what}: {:?}", outcome.targets);
            };
            assert_eq!(file.bytes, text, "{what}");
            let kept = matches!(outcome.of(ROOT_FILE), Some(Target::Keep { .. }));
            assert!(kept, "{what}: {:?}", outcome.targets);
        }
    };
    put_back("as it should be");
    scene.put(CONTAINERD_DROP_IN, "version = 3\n");
    put_back("changed");
    fs::remove_file(scene.at(CONTAINERD_DROP_IN)).unwrap();
    put_back("removed");
}

#[test]
fn an_import_that_is_gone_is_put_back_whatever_keeps_a_restart_out() {
    let scene = Scene::enforcing();
    let edited = fs::read_to_string(scene.at(ROOT_FILE)).unwrap();
    assert!(edited.contains(IMPORT), "{edited}");
    scene.put(ROOT_FILE, &format!("{OFF}[debug]\nlevel = 'info'\n"));
    for outcome in scene.kept_out() {
        assert_eq!(outcome.pending, None);
        assert!(outcome.written && outcome.of(CONTAINERD_DROP_IN).is_some());
        let Some(Target::Edit { from, bytes, .. }) = outcome.of(ROOT_FILE) else {
            panic!("{:?}", outcome.targets);
        };
        let read = fs::read(scene.at(ROOT_FILE)).unwrap();
        assert_eq!(*from, Some(Digest::of(&read)));
        let text = str::from_utf8(bytes).unwrap();
        assert!(
            text.contains(IMPORT) && text.contains("level = 'info'"),
            "{text}"
        );
    }
}

#[test]
fn drift_is_put_back_beside_a_change_that_waits() {
    let mut scene = Scene::enforcing();
    // As an older agent wrote it.
    let older = "version = 3\n# older\n";
    let record = scene.state.files.get_mut(CONTAINERD_DROP_IN).unwrap();
    record.sha256 = Digest::of(older.as_bytes());
    scene.put(CONTAINERD_DROP_IN, older);
    scene.put(ROOT_FILE, OFF);
    for outcome in scene.kept_out() {
        assert!(!outcome.written);
        let pending = outcome.pending.as_deref().unwrap();
        assert!(
            pending.contains("-# older") && !pending.contains("imports"),
            "{pending}"
        );
        assert!(matches!(outcome.of(ROOT_FILE), Some(Target::Edit { .. })));
        assert!(matches!(
            outcome.of(CONTAINERD_DROP_IN),
            Some(Target::Keep { .. })
        ));
        assert_eq!(outcome.targets.len(), 2);
    }
}

#[test]
fn leaving_takes_exactly_the_import_that_was_added() {
    let scene = Scene::enforcing();
    let theirs = "/etc/containerd/conf.d/*.toml";
    let imports = format!(
        "imports = ['{theirs}', {}",
        IMPORT.split_once('[').unwrap().1
    );
    scene.put(ROOT_FILE, &format!("{imports}{OFF}"));
    let targets = without_ours(&scene.root(), &scene.state);
    let [Target::Unedit { path, from, bytes }] = targets.as_slice() else {
        panic!("{targets:?}");
    };
    assert_eq!(path, ROOT_FILE);
    assert_eq!(*from, Digest::of(format!("{imports}{OFF}").as_bytes()));
    let text = str::from_utf8(bytes).unwrap();
    assert!(
        text.contains(theirs) && !text.contains("zz-nodeseal"),
        "{text}"
    );
    assert!(text.contains("# theirs"), "{text}");
}

/// A containerd that was started in `cwd` with these arguments.
fn started(arguments: &[&str], cwd: Option<&str>) -> Containerd {
    let start = Start {
        boot_id: "b".to_owned(),
        pid: 7,
        ticks: 1,
    };
    let argv = ["/usr/bin/containerd"].iter().chain(arguments);
    let process = Process {
        start,
        started_at: SystemTime::UNIX_EPOCH,
        argv: argv.map(|argument| (*argument).to_owned()).collect(),
        exe: None,
        exe_replaced: false,
        cwd: cwd.map(PathBuf::from),
        root: None,
        found: Found::Listener,
    };
    Containerd {
        version: Some(Version::new(2, 2, 1)),
        verifier: PathBuf::new(),
        config: None,
        folder: None,
        credential_provider: None,
        process: Some(Ok(process)),
        restartable: Ok(()),
    }
}

#[test]
fn a_relative_configuration_file_is_one_of_the_folder_in_which_containerd_was_started() {
    let scene = Scene::new();
    let path = |arguments: &[&str], cwd| {
        let layout = started(arguments, cwd).layout(&scene.root());
        layout.map(|layout| layout.root_config)
    };
    let own = "/srv/containerd/own.toml";
    for (arguments, cwd, expected) in [
        (&["--config", own][..], None, own),
        (&["-c", "own.toml"], Some("/srv/containerd"), own),
        (&["-c=./own.toml"], Some("/srv/containerd/"), own),
        (&["-c", "containerd/own.toml"], Some("/srv"), own),
        (&[], None, DEFAULT_CONTAINERD_CONFIG),
    ] {
        assert_eq!(path(arguments, cwd).unwrap(), expected, "{arguments:?}");
    }
    let error = path(&["-c", "own.toml"], None).unwrap_err();
    assert!(matches!(error, CycleError::Unseen { .. }));
    let text = error.to_string();
    assert!(
        text.contains("own.toml") && text.contains("--containerd-config"),
        "{text}"
    );
    // What the agent was told goes before it.
    let mut containerd = started(&["-c", "own.toml"], None);
    containerd.config = Some(own.to_owned());
    assert_eq!(containerd.layout(&scene.root()).unwrap().root_config, own);
    assert!(!containerd.is_given());
}

#[test]
fn a_relative_configuration_file_is_looked_for_and_its_absence_is_told() {
    let scene = Scene::new();
    let containerd = started(&["-c", "own.toml"], Some("/srv"));
    let root = scene.root();
    let layout = containerd.layout(&root).unwrap();
    let bundle = Bundle::new(Settings::default(), []);
    let decide = || {
        let mut report = Report::default();
        containerd.decide(&root, &layout, None, &bundle, &mut report)
    };
    let error = decide().unwrap_err().to_string();
    assert!(
        error.contains("/srv/own.toml, which is not there"),
        "{error}"
    );
    scene.put("srv/own.toml", OFF);
    decide().unwrap();
}
