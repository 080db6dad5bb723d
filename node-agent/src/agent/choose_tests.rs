use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use policy::paths::CONTAINERD_DROP_IN;

use super::*;
use crate::agent::{Options, Source, Wants};
use crate::live::Kind;
use crate::runtime::Told;
use crate::status::Failure;
use crate::testing::KEY;
use crate::trial::Trials;

/// A node whose containerd needs the drop-in, and an agent that was told of it.
struct Scene {
    dir: tempfile::TempDir,
    agent: Agent,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("root/etc/containerd")).unwrap();
        fs::create_dir(at("policies")).unwrap();
        let config = "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n\
             [plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0\n";
        fs::write(at("root/etc/containerd/config.toml"), config).unwrap();
        fs::write(at("verifier"), "#!/bin/sh\nexit 0\n").unwrap();
        let agent = Agent::start(Options {
            source: Source::Folder(at("policies")),
            root: at("root"),
            told: Told {
                kind: Some(Kind::Containerd),
                verifier: Some(at("verifier")),
                ..Told::default()
            },
            sandbox_images: Vec::new(),
        });
        let agent = agent.unwrap();
        Self { dir, agent }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    /// What comes of one policy with this scope.
    fn asked(&mut self, scope: &str) -> Wants {
        let key = KEY.replace('\n', "\n          ");
        let text = format!(
            "apiVersion: nodeseal.dev/v1alpha1\nkind: ClusterImageSignaturePolicy\nmetadata:\n  \
             name: a\nspec:\n  scopes: [{scope}]\n  authorities:\n    - name: a\n      key:\n        \
             data: |\n          {key}\n"
        );
        fs::write(self.dir.path().join("policies/a.yaml"), text).unwrap();
        self.agent.bring()
    }

    /// `a.example` worked here, and `b.example`, which is asked for, failed.
    fn failed(cause: Cause) -> Self {
        let mut scene = Self::new();
        let good = scene.asked("a.example").subject.unwrap();
        assert_eq!(scene.agent.report().failure, None);
        let kept = fs::read(scene.at(layout::GOOD)).unwrap();
        let wanted = scene.asked("b.example").subject.unwrap();
        assert!(scene.holds("b.example") && scene.at(CONTAINERD_DROP_IN).exists());
        fs::write(scene.at(layout::GOOD), kept).unwrap();
        let mut trials = Trials::default();
        trials.worked(&good, true);
        trials.begin(&wanted);
        assert!(trials.fail(&wanted, cause, "it went wrong"));
        scene.agent.trials = trials;
        scene
    }

    fn holds(&self, scope: &str) -> bool {
        let policy = fs::read_to_string(self.at(VERIFIER_POLICY));
        policy.is_ok_and(|policy| policy.contains(scope))
    }

    #[track_caller]
    fn says(&self, what: &str) {
        let report = self.agent.report();
        let (failure, message) = report.failure.as_ref().unwrap();
        assert_eq!(*failure, Failure::RolledBack);
        assert!(
            message.contains("it went wrong") && message.contains(what),
            "{message}"
        );
    }
}

#[test]
fn what_last_worked_stands_in_for_what_failed() {
    for cause in [Cause::Proof, Cause::Reload] {
        let mut scene = Scene::failed(cause);
        scene.agent.bring();
        assert!(scene.holds("a.example") && !scene.holds("b.example"));
        scene.says("the node is back on what last worked");
    }
}

#[test]
fn where_what_last_worked_is_lost_what_is_asked_for_stays_and_nothing_is_taken_off() {
    let newer = "{\"format\": 99}";
    for damage in [None, Some(""), Some("{ cut"), Some(newer)] {
        for cause in [Cause::Proof, Cause::Reload] {
            let mut scene = Scene::failed(cause);
            let path = scene.at(layout::GOOD);
            match damage {
                None => fs::remove_file(path).unwrap(),
                Some(text) => fs::write(path, text).unwrap(),
            }
            scene.agent.bring();
            assert!(scene.holds("b.example"), "{damage:?}");
            scene.says("what last worked is lost");
            assert_eq!(scene.agent.report().left, None);
            // What the runtime did not come back with goes, unless the agent may watch it be taken up.
            let is_there = scene.at(CONTAINERD_DROP_IN).exists();
            assert_eq!(is_there, cause == Cause::Proof, "{damage:?}");
            // Nothing changes any more, whatever it is taken for now.
            let before = fs::metadata(scene.at(VERIFIER_POLICY)).unwrap().ino();
            scene.agent.bring();
            assert!(scene.holds("b.example"));
            let after = fs::metadata(scene.at(VERIFIER_POLICY)).unwrap().ino();
            assert_eq!(before, after, "{damage:?}");
            assert_eq!(scene.at(CONTAINERD_DROP_IN).exists(), is_there);
        }
    }
}

#[test]
fn where_nothing_ever_worked_the_node_is_as_it_was() {
    let mut scene = Scene::failed(Cause::Proof);
    let wanted = scene.agent.trials.failed().unwrap().subject.clone();
    let mut trials = Trials::default();
    trials.begin(&wanted);
    assert!(trials.fail(&wanted, Cause::Proof, "it went wrong"));
    scene.agent.trials = trials;
    fs::remove_file(scene.at(layout::GOOD)).unwrap();
    scene.agent.bring();
    assert!(!scene.at(VERIFIER_POLICY).exists());
    scene.says("nothing worked here before");
    assert_eq!(scene.agent.report().left, Some(Left::Failed));
}
