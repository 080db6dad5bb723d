//! What systemd and the bus refuse, and what is not asked at all.

use node_runtime::restart::{RestartError, Restarter, Systemd};

use crate::daemon::Daemon;
use crate::standin::{Plan, Unit};
use crate::{BUDGET, Node, restarted};

const UNIT: &str = "containerd.service";

async fn refused(plan: Plan, load: &'static str) -> RestartError {
    let mut unit = Unit::running(100, plan, restarted);
    unit.load = load;
    let node = Node::with(&[(UNIT, unit)]).await;
    let error = node.restart(UNIT).await.unwrap_err();
    assert_eq!(node.systemd.jobs(), 0);
    error
}

#[tokio::test]
async fn a_unit_that_systemd_does_not_have_is_refused() {
    let node = Node::with(&[]).await;
    let error = node.restart(UNIT).await.unwrap_err();
    assert!(
        matches!(&error, RestartError::UnitNotFound { unit } if unit == UNIT),
        "{error}"
    );
    // Removed between the look and the request.
    let error = refused(Plan::Refuse("NoSuchUnit"), "loaded").await;
    assert!(
        matches!(&error, RestartError::UnitNotFound { unit } if unit == UNIT),
        "{error}"
    );
}

#[tokio::test]
async fn a_masked_unit_is_refused() {
    for (plan, load) in [
        (Plan::End("done"), "masked"),
        (Plan::Refuse("UnitMasked"), "loaded"),
    ] {
        let error = refused(plan, load).await;
        assert!(
            matches!(&error, RestartError::Masked { unit } if unit == UNIT),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains("systemctl unmask containerd.service")
        );
    }
}

#[tokio::test]
async fn a_unit_whose_file_is_bad_is_refused() {
    let error = refused(Plan::End("done"), "bad-setting").await;
    assert!(matches!(error, RestartError::BadUnit { .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_of_systemds_own_is_said_with_its_name() {
    let error = refused(Plan::Refuse("ShuttingDown"), "loaded").await;
    assert!(matches!(error, RestartError::Refused { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("org.freedesktop.systemd1.ShuttingDown"),
        "{error}"
    );
}

/// The bus's own policy, as a host has it for those that are not root, refuses.
#[tokio::test]
async fn access_denied_by_the_bus_is_said_and_what_to_do() {
    let rule = r#"<deny send_destination="org.freedesktop.systemd1"
        send_interface="org.freedesktop.systemd1.Manager" send_member="RestartUnit"/>"#;
    let unit = Unit::running(100, Plan::End("done"), restarted);
    let node = Node::on(Daemon::start(rule), &[(UNIT, unit)]).await;
    let error = node.restart(UNIT).await.unwrap_err();
    assert!(
        matches!(&error, RestartError::AccessDenied { action: "restart", unit, .. } if unit == UNIT),
        "{error}"
    );
    assert!(
        error.to_string().contains("run the agent as root"),
        "{error}"
    );
}

#[tokio::test]
async fn a_reload_without_a_way_to_reload_is_refused() {
    let unit = Unit::running(100, Plan::Refuse("JobTypeNotApplicable"), |_| {});
    let node = Node::with(&[("crio.service", unit)]).await;
    node.process(100, "crio");
    let reloader = node.restarter("crio.service").crio_reloader();
    let error = reloader.reload(BUDGET).await.unwrap_err();
    assert!(
        matches!(error, RestartError::NotReloadable { .. }),
        "{error}"
    );
}

/// Even under CRI-O's name: the process decides, and nothing is asked.
#[tokio::test]
async fn a_reload_of_containerd_is_never_asked_for() {
    for name in [UNIT, "crio.service"] {
        let unit = Unit::running(100, Plan::Hold, |_| {});
        let node = Node::with(&[(name, unit)]).await;
        let reloader = node.restarter(name).crio_reloader();
        let error = reloader.reload(BUDGET).await.unwrap_err();
        assert!(
            matches!(&error, RestartError::NotCrio { comm, .. } if comm == "containerd"),
            "{error}"
        );
        assert_eq!(node.systemd.jobs(), 0);
    }
}

#[tokio::test]
async fn where_nobody_may_nothing_is_restarted_or_reloaded() {
    let error = Restarter::Never.restart(BUDGET).await.unwrap_err();
    assert!(matches!(error, RestartError::Never), "{error}");
    let error = Restarter::Never
        .crio_reloader()
        .reload(BUDGET)
        .await
        .unwrap_err();
    assert!(matches!(error, RestartError::Never), "{error}");
}

#[tokio::test]
async fn a_process_leads_to_its_unit_and_to_whether_it_is_shared() {
    let node = Node::with(&[
        (UNIT, Unit::running(100, Plan::Hold, restarted)),
        ("k3s.service", Unit::running(200, Plan::Hold, restarted)),
    ])
    .await;
    let own = node.unit_of(100).await.unwrap();
    assert_eq!((own.name.as_str(), own.shared_unit), (UNIT, false));
    let shared = node.unit_of(203).await.unwrap();
    assert_eq!(
        (shared.name.as_str(), shared.shared_unit),
        ("k3s.service", true)
    );
}

#[tokio::test]
async fn a_process_in_no_unit_is_refused() {
    let node = Node::with(&[]).await;
    let error = node.unit_of(100).await.unwrap_err();
    assert!(
        matches!(error, RestartError::NoUnitForPid { pid: 100 }),
        "{error}"
    );
}

#[tokio::test]
async fn a_process_in_a_scope_is_refused() {
    let scope = Unit::running(100, Plan::Hold, restarted);
    let node = Node::with(&[("session-1.scope", scope)]).await;
    let error = node.unit_of(100).await.unwrap_err();
    assert!(
        matches!(error, RestartError::NoService { pid: 100, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn the_state_of_a_unit_is_read() {
    let mut unit = Unit::running(100, Plan::Hold, restarted);
    unit.restarts = 2;
    let node = Node::with(&[(UNIT, unit)]).await;
    let state = node.service(UNIT).state(BUDGET).await.unwrap();
    assert_eq!((state.main_pid, state.restarts), (100, 2));
    assert_eq!(state.to_string(), "active (running), started again 2 times");
}

#[tokio::test]
async fn a_host_without_a_bus_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let service = Systemd::on_host(UNIT.parse().unwrap(), root.path());
    let error = Restarter::Systemd(service)
        .restart(BUDGET)
        .await
        .unwrap_err();
    assert!(matches!(error, RestartError::Bus { .. }), "{error}");
    assert!(
        error.to_string().contains("run/dbus/system_bus_socket"),
        "{error}"
    );
}

#[tokio::test]
async fn a_socket_that_does_not_speak_d_bus_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bus = dir.path().join("bus");
    let listener = tokio::net::UnixListener::bind(&bus).unwrap();
    let service = Systemd {
        unit: UNIT.parse().unwrap(),
        bus,
        proc: dir.path().to_owned(),
    };
    let closing = async { drop(listener.accept().await.unwrap()) };
    let restarter = Restarter::Systemd(service);
    let (result, ()) = tokio::join!(restarter.restart(BUDGET), closing);
    let error = result.unwrap_err();
    assert!(matches!(error, RestartError::Handshake { .. }), "{error}");
}
