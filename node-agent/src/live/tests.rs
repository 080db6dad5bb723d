use super::*;

#[test]
fn an_endpoint_is_written_as_the_kubelet_has_it() {
    let root = Path::new("/host");
    for address in ["unix:///run/x.sock", "/run/x.sock"] {
        let endpoint = Endpoint::parse(address, root).unwrap();
        assert_eq!(endpoint.on_node, Path::new("/run/x.sock"));
        assert_eq!(endpoint.here, Path::new("/host/run/x.sock"));
    }
    let endpoint = Endpoint::parse("unix:///var/run/x.sock", root).unwrap();
    assert_eq!(endpoint.on_node, Path::new("/run/x.sock"));
    for bad in ["tcp://127.0.0.1:1", "run/x.sock", "unix://../x", ""] {
        let error = Endpoint::parse(bad, root).unwrap_err();
        assert!(matches!(error, EndpointError::NoSocket(_)), "{bad}");
    }
}

#[test]
fn a_socket_is_found_only_where_one_alone_may_be_meant() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    assert_eq!(Endpoint::find(root), Err(EndpointError::None));
    let add = |path: &str| {
        let path = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::net::UnixListener::bind(path).unwrap()
    };
    let _k3s = add(WELL_KNOWN[2]);
    let found = Endpoint::find(root).unwrap();
    assert_eq!(found.on_node, Path::new(WELL_KNOWN[2]));
    let _containerd = add(WELL_KNOWN[0]);
    let error = Endpoint::find(root).unwrap_err().to_string();
    assert!(
        error.contains("/run/k3s/containerd/containerd.sock"),
        "{error}"
    );
}

/// What the kubelet says, which of these sockets there are, and which one is chosen or what is said.
type Case<'a> = (Result<Option<&'a Kubelet>, &'a str>, &'a [&'a str], &'a str);

#[test]
fn the_runtime_is_the_kubelets() {
    let [containerd, crio, k3s, ..] = WELL_KNOWN;
    let kubelet = |endpoint: Result<&str, &str>| Kubelet {
        pid: 40,
        endpoint: endpoint.map(str::to_owned).map_err(str::to_owned),
        credential_provider: None,
    };
    let uses_crio = kubelet(Ok("unix:///run/crio/crio.sock"));
    let uses_other = kubelet(Ok("/run/cri-dockerd.sock"));
    let is_silent = kubelet(Err("/etc/kubelet.yaml is not to be seen here"));
    let cases: [Case<'_>; 13] = [
        // Two sockets and a kubelet: the kubelet's.
        (
            Ok(Some(&uses_crio)),
            &[containerd, crio],
            "unix:///run/crio/crio.sock",
        ),
        (Ok(Some(&uses_crio)), &[crio], "unix:///run/crio/crio.sock"),
        (
            Ok(Some(&uses_other)),
            &[containerd, "/run/cri-dockerd.sock"],
            "/run/cri-dockerd.sock",
        ),
        // One that is not there is not replaced by one that is.
        (Ok(Some(&uses_crio)), &[containerd], "(process 40) uses"),
        (
            Ok(Some(&uses_crio)),
            &[],
            "unix:///run/crio/crio.sock, and there is no such socket",
        ),
        // No kubelet, or one that does not tell.
        (Ok(None), &[k3s], k3s),
        (Ok(None), &[], "no container runtime listens"),
        (
            Ok(None),
            &[containerd, k3s],
            "the one that the kubelet uses",
        ),
        (Ok(Some(&is_silent)), &[crio], crio),
        (Ok(Some(&is_silent)), &[], "no container runtime listens"),
        (
            Ok(Some(&is_silent)),
            &[containerd, crio],
            "/etc/kubelet.yaml is not to be seen",
        ),
        (Err("more than one kubelet"), &[crio], crio),
        (
            Err("more than one kubelet"),
            &[containerd, crio],
            "not known: more than one kubelet;",
        ),
    ];
    for (kubelet, there, expected) in cases {
        let said = kubelet.map_err(str::to_owned);
        let there_is = |path: &str| {
            let path = path.strip_prefix("unix://").unwrap_or(path);
            there.contains(&path)
        };
        match choose(said, there_is) {
            Ok(chosen) => assert_eq!(chosen, expected, "{kubelet:?} {there:?}"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(expected), "{kubelet:?} {there:?}: {text}");
            }
        }
    }
}

#[test]
fn a_node_is_asked_for_its_kubelet() {
    let dir = tempfile::tempdir().unwrap();
    let (root, proc) = (dir.path().join("root"), dir.path().join("proc"));
    std::fs::create_dir_all(&proc).unwrap();
    for path in [WELL_KNOWN[0], WELL_KNOWN[1]] {
        let path = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::net::UnixListener::bind(path).unwrap();
    }
    let of_node = || {
        let kubelet = find_kubelet(&root, &proc).map_err(|error| error.to_string());
        let kubelet = kubelet.as_ref().map(Option::as_ref).map_err(Clone::clone);
        Endpoint::of_kubelet(&root, kubelet)
    };
    let error = of_node().unwrap_err();
    assert!(matches!(error, EndpointError::Many(_)), "{error}");
    for (name, text) in [
        ("sys/kernel/random/boot_id", "0b39cf1f\n"),
        ("stat", "btime 1000000\n"),
        (
            "40/stat",
            "40 (kubelet) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 9 0 250 1 2 3 4\n",
        ),
        (
            "40/cmdline",
            "kubelet\0--container-runtime-endpoint=unix:///var/run/crio/crio.sock\0",
        ),
        (
            "40/status",
            "Name:\tkubelet\nState:\tS (sleeping)\nPPid:\t1\nUid:\t0\t0\t0\t0\nNSpid:\t40\n",
        ),
        ("40/cgroup", "0::/system.slice/kubelet.service\n"),
    ] {
        let path = proc.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let endpoint = of_node().unwrap();
    assert_eq!(endpoint.on_node, Path::new("/run/crio/crio.sock"));
    assert_eq!(endpoint.here, root.join("run/crio/crio.sock"));
}
