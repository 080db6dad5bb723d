//! The cluster's one configuration: what is in force, and what is to be said about it.

use crds::convert::{self, Configuration};
use crds::types::{Enforcement, EnforcementConfigSpec, EnforcementConfigStatus, Taint};
use jiff::Timestamp;
use policy::advice::Advice;
use policy::aggregate::{Finding, Truth, reason, warnings};
use policy::bundle::Settings;
use policy::problem::Reason;

use super::compile::{unreadable, words};
use super::moves::Moves;
use super::objects::ConfigObject;
use super::status::{Line, with_times};

/// Where values come from.
#[derive(Debug, Default, PartialEq, Eq)]
enum Origin {
    /// Nobody has said anything yet.
    #[default]
    Defaults,
    /// An object, as it is now or was.
    Object,
    /// What nodes were last given, which is not all that an object says.
    Bundles,
}

/// What holds for the cluster.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// The last valid values.
    pub(crate) in_force: Configuration,
    /// The emergency stop.
    pub(crate) disabled: bool,
    /// The last value of the annotation that forgives failures.
    pub(crate) retry: Option<String>,
    /// What is wrong with the object as it is now.
    problem: Option<Finding>,
    /// What there is to know about it where nothing is wrong.
    pub(crate) advice: Vec<Advice>,
    /// The object was deleted, and its values outlive it.
    deleted: bool,
    /// Where the values come from.
    origin: Origin,
    /// The uid and generation that were looked at last.
    seen: Option<(String, i64)>,
}

impl Config {
    /// Whether valid values were ever seen.
    fn is_known(&self) -> bool {
        self.origin != Origin::Defaults
    }

    /// Takes in the object as it is now.
    pub(crate) fn update(&mut self, object: Option<&ConfigObject>) {
        let Some(object) = object else {
            self.deleted |= self.seen.take().is_some() && self.is_known();
            self.problem = None;
            self.advice.clear();
            return;
        };
        self.retry.clone_from(&object.retry);
        let now = (object.meta.uid.clone(), object.meta.generation);
        if self.seen.as_ref() == Some(&now) {
            return;
        }
        self.seen = Some(now);
        self.deleted = false;
        let readable = object.spec.as_ref().map_err(|why| unreadable(why));
        let configuration = readable.and_then(|spec| {
            let made = convert::configuration(spec).map_err(|problems| {
                let first = problems
                    .first()
                    .map_or(Reason::Invalid, |first| first.reason);
                Finding::new(first.as_str(), words(&problems))
            });
            made.map(|made| (made, spec))
        });
        match configuration {
            Ok((configuration, spec)) => {
                self.in_force = configuration;
                self.disabled = spec.enforcement == Enforcement::Disabled;
                self.advice = crds::advice::config(spec);
                self.problem = None;
                self.origin = Origin::Object;
            }
            Err(problem) => {
                // The stop is for when something is wrong: it does not wait until all else is right.
                let stop = |spec: &EnforcementConfigSpec| spec.enforcement == Enforcement::Disabled;
                self.disabled |= object.spec.as_ref().is_ok_and(stop);
                let pause = |spec: &EnforcementConfigSpec| spec.rollout.paused;
                self.in_force.rollout.paused |= object.spec.as_ref().is_ok_and(pause);
                self.problem = Some(problem);
                self.advice.clear();
            }
        }
    }

    /// Takes over what nodes were last given, where the object was deleted or made invalid while
    /// nobody watched. `own` are the exemptions that come from no configuration.
    pub(crate) fn recover(&mut self, last: &Settings, own: &Settings) {
        let plain = Settings {
            exempt_images: last.exempt_images.clone(),
            ..Settings::default()
        };
        let set = *last != plain || !last.exempt_images.is_subset(&own.exempt_images);
        if !self.is_known() && set {
            self.in_force.settings = last.clone();
            self.disabled = last.enforcement == policy::settings::Enforcement::Disabled;
            self.deleted = self.seen.is_none();
            self.origin = Origin::Bundles;
        }
    }

    /// Which taints nodes shall have; nothing where only an object that is gone, or is not valid any
    /// more, said so.
    pub(crate) fn taint(&self) -> Option<Taint> {
        if self.disabled {
            return Some(Taint::default());
        }
        (self.origin != Origin::Bundles).then(|| self.in_force.taint.clone())
    }

    /// What policies have to say about a configuration that is gone.
    pub(crate) fn stalled(&self) -> Option<Finding> {
        let message = "the EnforcementConfig `default` was deleted and its last values stay in force: create it again, with the values that you want";
        self.deleted
            .then(|| Finding::new(reason::CONFIG_DELETED, message))
    }

    /// What policies have to say about the emergency stop.
    pub(crate) fn halted(&self) -> Option<Finding> {
        let message = "enforcement is Disabled in the EnforcementConfig, and nodes go back to what they had before nodeseal: set it to Enabled";
        self.disabled
            .then(|| Finding::new("EnforcementDisabled", message))
    }

    /// The status of the object as it is now, with what its rollouts need.
    pub(crate) fn status(
        &self,
        object: &ConfigObject,
        moves: &Moves,
        now: Timestamp,
    ) -> EnforcementConfigStatus {
        let paused = if moves.paused() {
            ", and rollouts are paused: set spec.rollout.paused to false to go on"
        } else {
            ""
        };
        let warnings = warnings(&self.advice);
        let message = format!("the configuration is in force{paused}{warnings}");
        let good = Finding::new(reason::VALID, message);
        let (truth, finding) = match &self.problem {
            None => (Truth::True, good),
            Some(Finding { reason, message }) => {
                let kept = if self.is_known() {
                    "; the last valid values stay in force"
                } else {
                    "; it was never valid, so the defaults are in force"
                };
                let finding = Finding::new(reason.clone(), format!("{message}{kept}"));
                (Truth::False, finding)
            }
        };
        let needs = moves.needs().filter(|_| self.problem.is_none());
        let ready = if needs.is_some() { Truth::False } else { truth };
        let why = needs.unwrap_or(&finding);
        let line = |kind: &'static str, truth, finding| Line {
            kind,
            truth,
            finding,
        };
        let mut lines = vec![line("Accepted", truth, &finding), line("Ready", ready, why)];
        if ready != Truth::True {
            lines.push(line("Stalled", Truth::True, why));
        }
        let generation = object.meta.generation;
        EnforcementConfigStatus {
            observed_generation: Some(generation),
            conditions: with_times(&lines, generation, &object.status.conditions, now),
        }
    }
}
