//! Names taken and refused, and control groups as nodes show them.

use super::*;

fn found(text: &str) -> Result<String, CgroupError> {
    of_cgroup(text).map(|name| name.to_string())
}

#[test]
fn names_of_services_are_taken() {
    for name in [
        "containerd.service",
        "cri-o.service",
        "crio@one.service",
        "snap.microk8s.daemon-containerd.service",
        r"dev-disk\x2dby.service",
    ] {
        assert_eq!(name.parse::<UnitName>().unwrap().as_str(), name);
    }
}

#[test]
fn a_name_without_the_suffix_of_a_service_is_refused() {
    for name in [
        "",
        "containerd",
        "containerd.socket",
        "containerd.service/x",
    ] {
        let error = name.parse::<UnitName>().unwrap_err();
        assert_eq!(error, UnitNameError::NoService(name.to_owned()));
    }
}

#[test]
fn a_name_with_a_foreign_character_is_refused() {
    for (name, c) in [
        ("../x.service", '/'),
        ("a b.service", ' '),
        ("é.service", 'é'),
        ("a\n.service", '\n'),
        ("*.service", '*'),
    ] {
        let error = name.parse::<UnitName>().unwrap_err();
        assert_eq!(error, UnitNameError::Character(name.to_owned(), c));
    }
}

#[test]
fn a_name_without_a_stem_is_refused() {
    for name in [".service", "@one.service"] {
        let error = name.parse::<UnitName>().unwrap_err();
        assert_eq!(error, UnitNameError::Empty(name.to_owned()));
    }
}

#[test]
fn a_template_is_refused() {
    let error = "crio@.service".parse::<UnitName>().unwrap_err();
    assert_eq!(error, UnitNameError::Template("crio@.service".to_owned()));
}

#[test]
fn a_name_has_at_most_255_bytes() {
    let stem = "a".repeat(LONGEST - ".service".len());
    assert!(format!("{stem}.service").parse::<UnitName>().is_ok());
    let error = format!("{stem}a.service").parse::<UnitName>().unwrap_err();
    assert!(matches!(error, UnitNameError::Long(_)), "{error}");
}

#[test]
fn version_2_names_the_unit() {
    let text = "0::/system.slice/containerd.service\n";
    assert_eq!(found(text).unwrap(), "containerd.service");
}

#[test]
fn version_1_names_the_unit_on_systemds_line() {
    let text = "12:pids:/kubepods\n4:memory:/elsewhere.service\n\
                1:name=systemd:/system.slice/crio.service\n0::/\n";
    assert_eq!(found(text).unwrap(), "crio.service");
}

#[test]
fn where_systemds_line_has_no_unit_version_2_is_asked() {
    let text = "1:name=systemd:/\n0::/system.slice/crio.service\n";
    assert_eq!(found(text).unwrap(), "crio.service");
}

#[test]
fn slices_above_and_groups_below_the_unit_are_passed_over() {
    let text = "0::/runtime.slice/runtime-cri.slice/k3s.service/supervisor/leaf\n";
    assert_eq!(found(text).unwrap(), "k3s.service");
}

#[test]
fn a_namespace_of_the_readers_own_is_seen_through() {
    let text = "0::/../../../../system.slice/containerd.service\n";
    assert_eq!(found(text).unwrap(), "containerd.service");
}

#[test]
fn a_name_the_kernel_could_claim_is_unescaped_and_systemds_escapes_stay() {
    let text = "0::/system.slice/_cgroup.service\n";
    assert_eq!(found(text).unwrap(), "cgroup.service");
    let text = "0::/system.slice/a\\x2db.service\n";
    assert_eq!(found(text).unwrap(), r"a\x2db.service");
}

#[test]
fn a_process_in_no_unit_is_refused() {
    for text in [
        "0::/\n",
        "0::/kubepods/burstable/pod1/abc\n",
        "0::/system.slice\n",
    ] {
        let error = found(text).unwrap_err();
        assert!(matches!(error, CgroupError::NoUnit(_)), "{error}");
    }
}

#[test]
fn a_scope_is_refused() {
    let text = "0::/kubepods.slice/cri-containerd-0a.scope\n";
    let error = found(text).unwrap_err();
    assert_eq!(
        error,
        CgroupError::NoService("cri-containerd-0a.scope".into())
    );
}

#[test]
fn a_users_own_manager_is_refused() {
    let text = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/containerd.service\n";
    let error = found(text).unwrap_err();
    assert_eq!(error, CgroupError::UserManager("user@1000.service".into()));
}

#[test]
fn a_deleted_group_is_refused() {
    let error = found("0::/system.slice/containerd.service (deleted)\n").unwrap_err();
    assert!(matches!(error, CgroupError::Deleted(_)), "{error}");
}

#[test]
fn a_text_that_is_no_cgroup_file_is_refused() {
    for text in [
        "",
        "nonsense",
        "4:memory:/system.slice/containerd.service\n",
    ] {
        assert_eq!(found(text).unwrap_err(), CgroupError::Malformed);
    }
}

#[test]
fn a_unit_with_an_invalid_name_is_refused() {
    let error = found("0::/system.slice/a b.service\n").unwrap_err();
    assert!(matches!(error, CgroupError::Name(_)), "{error}");
}
