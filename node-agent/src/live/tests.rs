use super::*;

#[test]
fn an_endpoint_is_written_as_the_kubelet_has_it() {
    let root = Path::new("/host");
    for address in ["unix:///run/x.sock", "/run/x.sock"] {
        let endpoint = Endpoint::parse(address, root).unwrap();
        assert_eq!(endpoint.on_node, Path::new("/run/x.sock"));
        assert_eq!(endpoint.here, Path::new("/host/run/x.sock"));
    }
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
