//! A CRI-O that runs, as far as it can be told without one.

use std::collections::BTreeMap;

use node_runtime::probe::{self, Identity};
use policy::bundle::{Bundle, Settings};

use super::*;
use crate::ledger::Ledger;
use crate::refresh::Refreshed;
use crate::root::Attributes;
use crate::runtime::{leaving, left_behind};
use crate::state::{Record, Role};
use crate::{layout, testing};

const POLICY: &str = "etc/crio/policy.json";
const SYSTEM: &str = r#"{"default":[{"type":"reject"}]}"#;

struct Files {
    _dir: tempfile::TempDir,
    root: Root,
    state: State,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let state = State::default();
        Self {
            _dir: dir,
            root,
            state,
        }
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        self.root.create_dirs(split(path).0, 0o755).unwrap();
        let attributes = Attributes::mode(0o644);
        self.root.replace(path, bytes, &attributes).unwrap();
    }

    /// A file that the agent wrote where nothing was.
    fn ours(&mut self, path: &str, bytes: &[u8]) {
        self.put(path, bytes);
        let record = Record {
            role: Role::Config,
            sha256: Digest::of(bytes),
            mode: 0o644,
            original: None,
        };
        self.state.files.insert(path.to_owned(), record);
    }

    fn render(&self, crio: &Crio, bundle: &Bundle) -> Rendered {
        self.render_with(crio, bundle, None)
    }

    fn render_with(&self, crio: &Crio, bundle: &Bundle, identity: Option<&Identity>) -> Rendered {
        let scopes = identity.map(|of| probe::scopes(of.port, &bundle.digest()).unwrap());
        let node = Node {
            root: &self.root,
            state: &self.state,
            sandbox_images: &[],
            probe: identity.zip(scopes.as_ref()),
            refreshed: &Refreshed::default(),
            tried: &[],
            reverting: false,
        };
        crio.render(node, bundle, &mut Report::default()).unwrap()
    }
}

fn crio(named: Option<&str>, images: &[&str]) -> Crio {
    let image = |name: &&str| Image {
        id: (*name).to_owned(),
        tags: vec![format!("{name}:1")],
        digests: Vec::new(),
        pinned: false,
    };
    Crio {
        version: Version::new(1, 34, 1),
        policy: None,
        namespace_dir: None,
        running: Some(Running {
            config: crio::Config {
                signature_policy: named.map(str::to_owned),
                ..crio::Config::default()
            },
            restartable: Ok(()),
            images: images.iter().map(image).collect(),
        }),
    }
}

fn bundle(scopes: &[&str]) -> Bundle {
    let mut settings = Settings::default();
    settings.crio.restart = Restart::Allowed;
    settings.crio.stale_images = StaleImages::Hold;
    Bundle::new(
        settings,
        scopes.iter().map(|scope| testing::policy("p", scope)),
    )
}

fn target<'a>(rendered: &'a Rendered, path: &str) -> Option<&'a Target> {
    let mut targets = rendered.sets.iter().flat_map(|set| &set.targets);
    targets.find(|target| target.path() == Some(path))
}

fn written(target: Option<&Target>) -> Option<&[u8]> {
    match target {
        Some(Target::Write { file, .. }) => Some(&file.bytes),
        _ => None,
    }
}

#[test]
fn while_images_are_waited_for_there_is_no_drop_in_and_no_restart() {
    let files = Files::new();
    let bundle = bundle(&["a.example"]);
    let waits = files.render(&crio(None, &["a.example/app"]), &bundle);
    assert_eq!(waits.stale.len(), 1);
    assert_eq!(target(&waits, CRIO_DROP_IN), None);
    assert_eq!(target(&waits, POLICY), None);
    assert_eq!(waits.restarts, Restarts::Crio(None));
    let goes = files.render(&crio(None, &[]), &bundle);
    assert!(written(target(&goes, CRIO_DROP_IN)).is_some());
    assert!(written(target(&goes, POLICY)).is_some());
    assert!(matches!(goes.restarts, Restarts::Crio(Some(_))));
}

#[test]
fn a_policy_file_that_crio_names_does_not_go_with_the_last_policy() {
    let mut files = Files::new();
    let drop_in = drop_in(POLICY);
    files.ours(CRIO_DROP_IN, drop_in.as_bytes());
    files.ours(POLICY, b"ours");
    let crio = crio(Some("/etc/crio/policy.json"), &[]);
    let rendered = files.render(&crio, &bundle(&[]));
    let policy = written(target(&rendered, POLICY)).unwrap();
    assert!(
        PolicyJson::parse(policy)
            .unwrap()
            .docker_rules(&[])
            .as_slice()
            == [Rule::InsecureAcceptAnything {}]
    );
    // What CRI-O goes by without a policy file of its own.
    files.put("etc/containers/policy.json", SYSTEM.as_bytes());
    let rendered = files.render(&crio, &bundle(&[]));
    assert_eq!(written(target(&rendered, POLICY)), Some(SYSTEM.as_bytes()));
    // With the drop-in, also where there was none yet.
    files.state.files.remove(POLICY);
    files.root.remove(POLICY).unwrap();
    let rendered = files.render(&crio, &bundle(&[]));
    assert_eq!(written(target(&rendered, POLICY)), Some(SYSTEM.as_bytes()));
    // A file that nodeseal did not write is none of its business, be it missing.
    let record = files.state.files.remove(CRIO_DROP_IN);
    let missing = files.render(&crio, &bundle(&[]));
    assert_eq!(written(target(&missing, POLICY)), None);
    files
        .state
        .files
        .extend(record.map(|record| (CRIO_DROP_IN.to_owned(), record)));
    files.put(POLICY, SYSTEM.as_bytes());
    let rendered = files.render(&crio, &bundle(&[]));
    let path = POLICY.to_owned();
    assert_eq!(target(&rendered, POLICY), Some(&Target::Restore { path }));
}

#[test]
fn leaving_a_crio_that_names_our_policy_file_leaves_it_one_that_lets_everything_pass() {
    let mut files = Files::new();
    files.ours(POLICY, b"ours");
    let of_policy = |files: &Files| {
        let targets = leaving(&files.root, &files.state).targets;
        let mut targets = targets.into_iter();
        targets.find(|target| target.path() == Some(POLICY))
    };
    let restore = Some(Target::Restore {
        path: POLICY.to_owned(),
    });
    // Nothing names it.
    assert_eq!(of_policy(&files), restore);
    assert_eq!(left_behind(&files.root, &files.state), None);
    // The drop-in does, be it there or only recorded.
    let text = drop_in(POLICY);
    files.ours(CRIO_DROP_IN, text.as_bytes());
    for _ in 0..2 {
        let Some(Target::Unedit { bytes, .. }) = of_policy(&files) else {
            panic!("{:?}", of_policy(&files));
        };
        let left = PolicyJson::parse(&bytes).unwrap();
        assert!(left.docker_rules(&[]).as_slice() == [Rule::InsecureAcceptAnything {}]);
        assert!(
            left_behind(&files.root, &files.state)
                .unwrap()
                .contains(POLICY)
        );
        files.root.remove(CRIO_DROP_IN).unwrap();
    }
    // The system's, where there is one.
    files.put("etc/containers/policy.json", SYSTEM.as_bytes());
    let bytes = SYSTEM.as_bytes().to_vec();
    let path = POLICY.to_owned();
    let from = Digest::of(b"ours");
    assert_eq!(
        of_policy(&files),
        Some(Target::Unedit { path, from, bytes })
    );
    // An administrator's drop-in names it as well.
    files.state.files.remove(CRIO_DROP_IN);
    files.put("etc/crio/crio.conf.d/50-own.conf", text.as_bytes());
    assert!(matches!(of_policy(&files), Some(Target::Unedit { .. })));
    // What somebody else put there is theirs.
    files.put(POLICY, b"theirs");
    assert_eq!(of_policy(&files), restore);
}

#[test]
fn while_images_are_waited_for_what_is_in_force_is_put_back_and_nothing_else() {
    let mut files = Files::new();
    let identity = Identity::generate().unwrap();
    let old = bundle(&["b.example"]);
    let named = Some("/etc/crio/policy.json");
    let rendered = files.render_with(&crio(named, &[]), &old, Some(&identity));
    let policy = written(target(&rendered, POLICY)).unwrap().to_vec();
    files.ours(POLICY, &policy);
    let ledger = Ledger {
        bundle: old,
        sources: BTreeMap::default(),
        settings_source: None,
    };
    files.put(layout::BUNDLE, &ledger.to_json().unwrap());
    files.put(POLICY, b"theirs");
    let new = bundle(&["a.example"]);
    let waiting = crio(named, &["a.example/app"]);
    let rendered = files.render_with(&waiting, &new, Some(&identity));
    assert!(rendered.sets.iter().all(|set| !set.in_force));
    assert_eq!(written(target(&rendered, POLICY)), Some(policy.as_slice()));
    let locations = written(target(&rendered, REGISTRIES_D_FILE)).unwrap();
    assert!(String::from_utf8_lossy(locations).contains("a.example"));
    // What was not written to the byte is not what is in force.
    files.ours(POLICY, b"of another agent");
    let rendered = files.render_with(&waiting, &new, Some(&identity));
    assert_eq!(target(&rendered, POLICY), None);
}
