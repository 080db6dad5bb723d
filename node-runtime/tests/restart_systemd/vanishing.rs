//! systemd and the bus, gone at every moment.

use std::time::Duration;

use node_runtime::restart::{RestartError, Restarter, Systemd, Vanishing};

use crate::daemon::Daemon;
use crate::standin::{self, Plan, Unit};
use crate::{BUDGET, Node, SHORT, restarted};

const UNIT: &str = "containerd.service";

async fn node(plan: Plan) -> Node {
    Node::with(&[(UNIT, Unit::running(100, plan, restarted))]).await
}

fn how(error: &RestartError) -> Vanishing {
    match error {
        RestartError::Vanished { how, .. } => *how,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn systemd_leaves_the_bus_while_the_job_runs() {
    let node = node(Plan::Hold).await;
    let restarter = node.restarter(UNIT);
    let leaving = async {
        node.systemd.answered(1).await;
        node.systemd.leave().await;
    };
    let (result, ()) = tokio::join!(restarter.restart(BUDGET), leaving);
    assert_eq!(how(&result.unwrap_err()), Vanishing::ManagerLeft);
}

#[tokio::test]
async fn systemd_leaves_the_bus_before_it_answers() {
    let node = node(Plan::Mute).await;
    let restarter = node.restarter(UNIT);
    let leaving = async {
        node.systemd.answered(1).await;
        node.systemd.leave().await;
    };
    let (result, ()) = tokio::join!(restarter.restart(BUDGET), leaving);
    assert_eq!(how(&result.unwrap_err()), Vanishing::ManagerLeft);
}

#[tokio::test]
async fn another_systemd_takes_the_name_while_the_job_runs() {
    let node = node(Plan::Hold).await;
    let replacing = async {
        node.systemd.answered(1).await;
        let building = node.daemon.builder().replace_existing_names(true);
        building.name(standin::NAME).build().await.unwrap()
    };
    let (result, _second) = tokio::join!(node.restart(UNIT), replacing);
    assert_eq!(how(&result.unwrap_err()), Vanishing::ManagerChanged);
}

#[tokio::test]
async fn the_bus_ends_while_the_job_runs() {
    let mut node = node(Plan::Hold).await;
    let restarter = node.restarter(UNIT);
    let ending = async {
        node.systemd.answered(1).await;
        node.daemon.end();
    };
    let (result, ()) = tokio::join!(restarter.restart(BUDGET), ending);
    assert_eq!(how(&result.unwrap_err()), Vanishing::BusClosed);
}

#[tokio::test]
async fn the_bus_ends_before_systemd_answers() {
    let mut node = node(Plan::Mute).await;
    let restarter = node.restarter(UNIT);
    let ending = async {
        node.systemd.answered(1).await;
        node.daemon.end();
    };
    let (result, ()) = tokio::join!(restarter.restart(BUDGET), ending);
    assert_eq!(how(&result.unwrap_err()), Vanishing::BusClosed);
}

#[tokio::test]
async fn a_job_that_is_gone_without_a_word_is_seen_at_the_deadline() {
    let node = node(Plan::Lose).await;
    let error = node.restarter(UNIT).restart(SHORT).await.unwrap_err();
    assert_eq!(how(&error), Vanishing::JobLost);
}

#[tokio::test]
async fn a_bus_without_systemd_is_refused() {
    let daemon = Daemon::start("");
    let service = Systemd {
        unit: UNIT.parse().unwrap(),
        bus: daemon.socket(),
        proc: "/proc".into(),
    };
    let error = Restarter::Systemd(service)
        .restart(BUDGET)
        .await
        .unwrap_err();
    assert!(matches!(error, RestartError::NoManager { .. }), "{error}");
}

#[tokio::test]
async fn a_bus_that_is_gone_before_the_restart_is_refused() {
    let mut node = node(Plan::Hold).await;
    node.daemon.end();
    let error = node.restart(UNIT).await.unwrap_err();
    assert!(matches!(error, RestartError::Bus { .. }), "{error}");
}

#[tokio::test]
async fn a_bus_that_does_not_answer_runs_into_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let bus = dir.path().join("bus");
    let _listener = tokio::net::UnixListener::bind(&bus).unwrap();
    let service = Systemd {
        unit: UNIT.parse().unwrap(),
        bus,
        proc: "/proc".into(),
    };
    let short = Duration::from_millis(100);
    let error = Restarter::Systemd(service)
        .restart(short)
        .await
        .unwrap_err();
    assert!(matches!(error, RestartError::Deadline { .. }), "{error}");
}
