use std::fs;
use std::os::unix::fs::MetadataExt as _;

use policy::paths::CONTAINERD_DROP_IN;

use super::*;
use crate::status::Failure;
use crate::testing::Node as Scene;
use crate::trial::Trials;

impl Scene {
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
