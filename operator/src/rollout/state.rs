//! How far one node is with what it was given.

use jiff::{SignedDuration, Timestamp};

use super::{Bundles, Node, Record, Said, Settings, Weight};

/// The reason of a node that was not ready in time and says nothing more.
const DEADLINE: &str = "ProgressDeadlineExceeded";

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State<'a> {
    /// The cluster does not hear of it: it is left alone.
    Unreachable,
    /// It has just joined, and was never ready.
    Joining,
    /// It was given nothing.
    Bare,
    /// It is ready under what it was given.
    Ready,
    /// It is in change, until then at most.
    Changing(Timestamp),
    /// It failed, and that speaks against this target.
    Failed {
        target: &'a str,
        reason: &'a str,
        /// Whether that is written down.
        marked: bool,
    },
    /// It waits for somebody for too long to be waited for.
    Waiting,
    /// It is not ready, and that says nothing about what it was given.
    Broken,
    /// It failed in an attempt that is to be repeated.
    Forgiven,
}

/// A node that failed under a target and was returned from it, or that is not heard of any more,
/// speaks against it still.
pub(super) fn returned<'a>(
    node: &Node<'a>,
    bundles: &Bundles<'a>,
    settings: &Settings,
) -> Option<(&'a str, &'a str)> {
    let mark = node.record?.failed.as_ref()?;
    let away = node.assigned.is_some_and(|assigned| {
        mark.target != assigned
            && bundles
                .get(assigned)
                .is_none_or(|core| *core != mark.target)
    });
    let counts = (away || !node.reachable) && !forgiven(mark, settings);
    counts.then_some((&mark.target, &mark.reason))
}

pub(super) fn forgiven(mark: &super::Mark, settings: &Settings) -> bool {
    settings.retry.is_some() && settings.retry != mark.retry
}

/// What a failure under the bundle that the node has speaks against: the core where that changed,
/// else this bundle alone.
fn target<'a>(record: &Record, assigned: &'a str, bundles: &Bundles<'a>) -> &'a str {
    let Some(core) = bundles.get(assigned) else {
        return assigned;
    };
    let from = record.from.as_deref().and_then(|from| bundles.get(from));
    if from == Some(core) { assigned } else { core }
}

pub(super) fn add(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// How far the node is.
pub(super) fn state<'a>(
    node: &Node<'a>,
    bundles: &Bundles<'a>,
    settings: &Settings,
    now: Timestamp,
) -> State<'a> {
    if !node.reachable {
        return State::Unreachable;
    }
    // Neither returned from anywhere nor ever ready.
    let fresh = |record: &Record| {
        record.weight != Weight::Full && record.failed.is_none() && record.from.is_none()
    };
    let is_new = node.young && node.said != Said::Ready && node.record.is_none_or(fresh);
    if is_new {
        return State::Joining;
    }
    let Some(assigned) = node.assigned else {
        return State::Bare;
    };
    if node.said == Said::Ready {
        return State::Ready;
    }
    let Some(record) = node.record else {
        // Nobody moved it.
        return State::Broken;
    };
    let deadline = add(record.since, settings.deadline);
    let last = add(add(record.began, settings.deadline), settings.deadline);
    let mark = record.failed.as_ref().filter(|mark| {
        mark.target == assigned || bundles.get(assigned) == Some(&mark.target.as_str())
    });
    // A node that was ready in time and broke much later says nothing about the bundle. Its clock is
    // believed only where ours would not contradict it.
    let settled = add(deadline, settings.deadline);
    let in_time = if mark.is_some() { settled } else { deadline };
    if now > settled && node.broke.is_some_and(|broke| broke > in_time) {
        return State::Broken;
    }
    let here = target(record, assigned, bundles);
    if let Some(mark) = mark {
        if !forgiven(mark, settings) {
            return State::Failed {
                target: &mark.target,
                reason: &mark.reason,
                marked: true,
            };
        }
        if !matches!(node.said, Said::Failed(_)) {
            return State::Forgiven;
        }
    }
    let failed = |reason| State::Failed {
        target: here,
        reason,
        marked: false,
    };
    let until = match node.said {
        Said::Never => deadline.min(last).min(add(record.since, settings.grace)),
        _ => deadline.min(last),
    };
    match node.said {
        Said::Failed(_) if record.weight == Weight::None => State::Broken,
        Said::Failed(reason) => failed(reason),
        _ if now < until => State::Changing(until),
        Said::Waits(_) | Said::Never => State::Waiting,
        _ if record.weight == Weight::Full => failed(DEADLINE),
        _ => State::Broken,
    }
}
