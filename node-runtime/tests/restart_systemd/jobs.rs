//! How jobs end, and what the unit is afterwards.

use node_runtime::restart::{JobResult, RestartError};

use crate::standin::{Plan, Unit};
use crate::{BUDGET, Node, SHORT, failed, restarted};

const UNIT: &str = "containerd.service";

async fn node(plan: Plan, after: fn(&mut Unit)) -> Node {
    Node::with(&[(UNIT, Unit::running(100, plan, after))]).await
}

#[tokio::test]
async fn a_job_that_is_done_gives_the_old_and_the_new_process() {
    let node = node(Plan::End("done"), restarted).await;
    let outcome = node.restart(UNIT).await.unwrap();
    assert_eq!((outcome.old, outcome.new), (Some(100), 101));
}

#[tokio::test]
async fn a_unit_that_did_not_run_is_started() {
    let mut unit = Unit::running(0, Plan::End("done"), |unit| {
        (unit.active, unit.main_pid, unit.invocation) = ("active", 100, 7);
    });
    unit.active = "inactive";
    let node = Node::with(&[(UNIT, unit)]).await;
    let outcome = node.restart(UNIT).await.unwrap();
    assert_eq!((outcome.old, outcome.new), (None, 100));
}

#[tokio::test]
async fn a_slow_job_is_waited_for() {
    let node = node(Plan::Hold, restarted).await;
    let ending = async {
        node.systemd.answered(1).await;
        assert_eq!(node.systemd.jobs(), 1);
        node.systemd.end("done").await;
    };
    let (outcome, ()) = tokio::join!(node.restart(UNIT), ending);
    assert_eq!(outcome.unwrap().new, 101);
}

/// Its signal, that of an older job of the unit, and those of two hundred others, all before the
/// answer.
#[tokio::test]
async fn a_job_that_is_over_before_the_answer_comes_is_not_missed() {
    let node = node(Plan::EndFirst("done"), restarted).await;
    assert_eq!(node.restart(UNIT).await.unwrap().new, 101);
}

#[tokio::test]
async fn an_alias_is_restarted_by_the_name_that_its_jobs_have() {
    let node = node(Plan::End("done"), restarted).await;
    node.systemd.alias("runtime.service", UNIT);
    assert_eq!(node.restart("runtime.service").await.unwrap().new, 101);
}

#[tokio::test]
async fn jobs_that_end_otherwise_are_errors_of_their_own() {
    for (result, expected) in [
        ("failed", JobResult::Failed),
        ("canceled", JobResult::Canceled),
        ("timeout", JobResult::Timeout),
        ("dependency", JobResult::Dependency),
        ("skipped", JobResult::Skipped),
        ("assert", JobResult::Other("assert".to_owned())),
    ] {
        let node = node(Plan::End(result), failed).await;
        let error = node.restart(UNIT).await.unwrap_err();
        let RestartError::Job { result, state, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(result, &expected);
        assert_eq!((state.active.as_str(), state.restarts), ("failed", 3));
        let text = error.to_string();
        let says =
            format!("the restart of {UNIT} {expected}; now failed (failed), result exit-code");
        assert!(text.starts_with(&says), "{text}");
    }
}

#[tokio::test]
async fn a_job_that_never_ends_runs_into_the_deadline_and_goes_on() {
    let node = node(Plan::Hold, restarted).await;
    let error = node.restarter(UNIT).restart(SHORT).await.unwrap_err();
    let RestartError::Deadline { job, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(job.as_deref(), Some("running"));
    assert_eq!(node.systemd.jobs(), 1);
}

#[tokio::test]
async fn a_request_without_an_answer_runs_into_the_deadline() {
    let node = node(Plan::Mute, restarted).await;
    let error = node.restarter(UNIT).restart(SHORT).await.unwrap_err();
    let RestartError::Deadline {
        job: None, doing, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(doing, "asking systemd to restart containerd.service");
}

#[tokio::test]
async fn a_unit_that_does_not_run_after_its_job_is_refused() {
    let node = node(Plan::End("done"), |unit| {
        failed(unit);
        (unit.active, unit.sub) = ("activating", "auto-restart");
    })
    .await;
    let error = node.restart(UNIT).await.unwrap_err();
    assert!(matches!(error, RestartError::NotActive { .. }), "{error}");
    assert!(error.to_string().contains("auto-restart"), "{error}");
}

#[tokio::test]
async fn an_active_unit_whose_main_process_is_dead_is_refused() {
    let without: fn(&mut Unit) = |unit| unit.main_pid = 0;
    let dead: fn(&mut Unit) = |unit| unit.main_pid = 4711;
    for after in [without, dead] {
        let node = node(Plan::End("done"), after).await;
        let error = node.restart(UNIT).await.unwrap_err();
        assert!(
            matches!(error, RestartError::NoMainProcess { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_unit_that_was_not_started_again_is_refused() {
    let node = node(Plan::End("done"), |_| {}).await;
    let error = node.restart(UNIT).await.unwrap_err();
    assert!(
        matches!(error, RestartError::NotRestarted { pid: 100, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn two_restarts_at_once_share_a_job_and_both_see_its_end() {
    let node = node(Plan::Hold, restarted).await;
    let ending = async {
        node.systemd.answered(2).await;
        assert_eq!(node.systemd.jobs(), 1);
        node.systemd.end("done").await;
    };
    let (one, two, ()) = tokio::join!(node.restart(UNIT), node.restart(UNIT), ending);
    assert_eq!((one.unwrap().new, two.unwrap().new), (101, 101));
}

#[tokio::test]
async fn restarts_of_two_units_do_not_take_each_others_end() {
    let node = Node::with(&[
        (UNIT, Unit::running(100, Plan::End("done"), restarted)),
        (
            "crio.service",
            Unit::running(200, Plan::End("failed"), failed),
        ),
    ])
    .await;
    let (one, two) = tokio::join!(node.restart(UNIT), node.restart("crio.service"));
    assert_eq!(one.unwrap().new, 101);
    let error = two.unwrap_err();
    assert!(matches!(error, RestartError::Job { .. }), "{error}");
}

#[tokio::test]
async fn a_reload_of_crio_leaves_its_process() {
    let node = Node::with(&[(
        "crio.service",
        Unit::running(100, Plan::End("done"), |_| {}),
    )])
    .await;
    node.process(100, "crio");
    let reloader = node.restarter("crio.service").crio_reloader();
    reloader.reload(BUDGET).await.unwrap();
}

#[tokio::test]
async fn a_reload_that_ends_crio_is_an_error() {
    let unit = Unit::running(100, Plan::End("done"), restarted);
    let node = Node::with(&[("crio.service", unit)]).await;
    node.process(100, "crio");
    let reloader = node.restarter("crio.service").crio_reloader();
    let error = reloader.reload(BUDGET).await.unwrap_err();
    assert!(
        matches!(error, RestartError::EndedByReload { old: 100, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_reload_of_what_is_not_running_is_refused() {
    let mut unit = Unit::running(0, Plan::End("done"), |_| {});
    unit.active = "inactive";
    let node = Node::with(&[("crio.service", unit)]).await;
    let reloader = node.restarter("crio.service").crio_reloader();
    let error = reloader.reload(BUDGET).await.unwrap_err();
    assert!(
        matches!(error, RestartError::NoMainProcess { .. }),
        "{error}"
    );
}
