//! A `/proc` made of files, and a node's files beside it.

use super::*;

/// A node: its processes and its files.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        let node = Self(tempfile::tempdir().unwrap());
        node.write("proc/sys/kernel/random/boot_id", "0b39cf1f\n");
        node.write("proc/stat", "btime 1000000\n");
        fs::create_dir(node.root()).unwrap();
        node
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// With a process.
    fn process(self, pid: u32, status: &str, line: &str) -> Self {
        self.write(
            &format!("proc/{pid}/stat"),
            &format!("{pid} (x) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 9 0 250 1 2 3 4\n"),
        );
        let line = format!("{}\0", line.replace(' ', "\0"));
        self.write(&format!("proc/{pid}/cmdline"), &line);
        self.write(&format!("proc/{pid}/status"), status);
        self.cgroup(pid, "0::/system.slice/kubelet.service\n")
    }

    fn cgroup(self, pid: u32, text: &str) -> Self {
        self.write(&format!("proc/{pid}/cgroup"), text);
        self
    }

    /// With a kubelet that has this command line.
    fn kubelet(self, line: &str) -> Self {
        self.process(40, &status("kubelet", 1, 0, "40"), line)
    }

    fn find(&self) -> Result<Option<Kubelet>, KubeletError> {
        find(&self.root(), &self.0.path().join("proc"))
    }

    fn endpoint(&self) -> Result<String, String> {
        self.find().unwrap().unwrap().endpoint
    }
}

fn status(name: &str, parent: u32, uid: u32, ids: &str) -> String {
    format!(
        "Name:\t{name}\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t40\nPid:\t40\nPPid:\t{parent}\n\
         Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t0\t0\t0\t0\nNSpid:\t{ids}\n"
    )
}

const ENDPOINT: &str = "unix:///run/crio/crio.sock";

#[test]
fn its_flags_are_read_as_it_reads_them() {
    for (line, told) in [
        (
            "kubelet --container-runtime-endpoint=unix:///a",
            "unix:///a",
        ),
        (
            "kubelet --container-runtime-endpoint unix:///a --v 2",
            "unix:///a",
        ),
        (
            "kubelet --container_runtime_endpoint=unix:///a",
            "unix:///a",
        ),
        (
            "kubelet --container-runtime-endpoint=unix:///b --container-runtime-endpoint=unix:///a",
            "unix:///a",
        ),
        // Nothing was said, or it is nothing.
        ("kubelet", DEFAULT_ENDPOINT),
        ("kubelet --container-runtime-endpoint=", DEFAULT_ENDPOINT),
        (
            "kubelet -- --container-runtime-endpoint=unix:///a",
            DEFAULT_ENDPOINT,
        ),
        (
            "kubelet --image-service-endpoint=unix:///a",
            DEFAULT_ENDPOINT,
        ),
    ] {
        let found = Node::new().kubelet(line).find().unwrap().unwrap();
        assert_eq!(found.pid, 40);
        assert_eq!(found.endpoint.as_deref(), Ok(told), "{line}");
        assert_eq!(found.credential_provider, None, "{line}");
    }
}

#[test]
fn credential_providers_take_both_flags() {
    let config = "--image-credential-provider-config /etc/eks/config.json";
    let bin_dir = "--image-credential-provider-bin-dir=/etc/eks/bin";
    let provider = |line: &str| {
        let node = Node::new().kubelet(&format!("/usr/bin/kubelet {line}"));
        node.find().unwrap().unwrap().credential_provider
    };
    assert_eq!(
        provider(&format!("{config} {bin_dir}")),
        Some(CredentialProvider {
            config: "/etc/eks/config.json".to_owned(),
            bin_dir: "/etc/eks/bin".to_owned(),
        })
    );
    assert_eq!(provider(config), None);
    assert_eq!(provider(bin_dir), None);
}

#[test]
fn its_configuration_counts_where_no_flag_does() {
    let node = Node::new().kubelet("kubelet --config=/var/lib/kubelet/config.yaml");
    let path = "root/var/lib/kubelet/config.yaml";
    for text in [
        "kind: KubeletConfiguration\ncontainerRuntimeEndpoint: unix:///run/crio/crio.sock\n",
        r#"{"authentication": {"x509": {}}, "containerRuntimeEndpoint": "unix:///run/crio/crio.sock"}"#,
    ] {
        node.write(path, text);
        assert_eq!(node.endpoint().as_deref(), Ok(ENDPOINT), "{text}");
    }
    for text in [
        "kind: KubeletConfiguration\n",
        "containerRuntimeEndpoint: ''\n",
        "",
    ] {
        node.write(path, text);
        assert_eq!(node.endpoint().as_deref(), Ok(DEFAULT_ENDPOINT), "{text}");
    }
    let node = node.process(
        40,
        &status("kubelet", 1, 0, "40"),
        "kubelet --config=/var/lib/kubelet/config.yaml --container-runtime-endpoint=unix:///a",
    );
    assert_eq!(node.endpoint().as_deref(), Ok("unix:///a"));
}

#[test]
fn the_last_drop_in_counts() {
    let line = "kubelet --config /etc/kubelet.yaml --config-dir /etc/kubelet.conf.d";
    let node = Node::new().kubelet(line);
    node.write(
        "root/etc/kubelet.yaml",
        "containerRuntimeEndpoint: unix:///file\n",
    );
    let drop_in = |name: &str, text: &str| {
        node.write(&format!("root/etc/kubelet.conf.d/{name}"), text);
        node.endpoint().unwrap()
    };
    assert_eq!(drop_in("10.conf", "maxPods: 10\n"), "unix:///file");
    assert_eq!(
        drop_in("20.conf", "containerRuntimeEndpoint: unix:///20\n"),
        "unix:///20"
    );
    assert_eq!(
        drop_in("90.yaml", "containerRuntimeEndpoint: unix:///no\n"),
        "unix:///20"
    );
    assert_eq!(
        drop_in("30/a.conf", "containerRuntimeEndpoint: unix:///30\n"),
        "unix:///30"
    );
    assert_eq!(
        drop_in("40.conf", "containerRuntimeEndpoint: null\n"),
        DEFAULT_ENDPOINT
    );
}

#[test]
fn what_cannot_be_read_is_told() {
    let node = Node::new().kubelet("kubelet --config=/var/lib/kubelet/config.yaml");
    let why = node.endpoint().unwrap_err();
    assert!(
        why.contains("/var/lib/kubelet/config.yaml of the kubelet's"),
        "{why}"
    );
    for text in ["containerRuntimeEndpoint: [a]", "a: &a [*a", "x: 1\nx: 2"] {
        node.write("root/var/lib/kubelet/config.yaml", text);
        let why = node.endpoint().unwrap_err();
        assert!(
            why.contains("config.yaml is no configuration of a kubelet"),
            "{why}"
        );
    }
    let long = "#".repeat(usize::try_from(MAX_CONFIG).unwrap() + 1);
    node.write("root/var/lib/kubelet/config.yaml", &long);
    let why = node.endpoint().unwrap_err();
    assert!(why.contains("larger than"), "{why}");
    // A link out of the node's files leads nowhere.
    let node = Node::new().kubelet("kubelet --config=/config.yaml");
    node.write("outside.yaml", "containerRuntimeEndpoint: unix:///a\n");
    std::os::unix::fs::symlink("../outside.yaml", node.root().join("config.yaml")).unwrap();
    node.endpoint().unwrap_err();
    for line in [
        "--config=config.yaml",
        "--config=/../x",
        "--config-dir=/not/there",
    ] {
        let node = Node::new().kubelet(&format!("kubelet {line}"));
        node.endpoint().unwrap_err();
    }
    // A path that is not absolute begins where the kubelet was started.
    let node = Node::new().kubelet("kubelet --config=config.yaml");
    node.write(
        "root/opt/config.yaml",
        "containerRuntimeEndpoint: unix:///a\n",
    );
    std::os::unix::fs::symlink("/opt", node.0.path().join("proc/40/cwd")).unwrap();
    assert_eq!(node.endpoint().as_deref(), Ok("unix:///a"));
}

#[test]
fn only_the_kubelet_of_this_node_counts() {
    let of = |status: &str| Node::new().process(40, status, "kubelet").find().unwrap();
    assert!(of(&status("kubelet", 1, 0, "40")).is_some());
    for (what, status) in [
        ("another program", status("kube-proxy", 1, 0, "40")),
        ("anybody's", status("kubelet", 1, 1000, "40")),
        (
            "in a container, as with kind",
            status("kubelet", 1, 0, "40\t7"),
        ),
        ("ended", status("kubelet", 1, 0, "40").replace("S (", "Z (")),
        ("no status at all", String::new()),
    ] {
        assert_eq!(of(&status), None, "{what}");
    }
    // What the kernel writes has these fields.
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let (_, rest) = own.split_once('\n').unwrap();
    assert_eq!(parent_of_kubelet(&own), None);
    let named = format!("Name:\tkubelet\n{rest}");
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(parent_of_kubelet(&named).is_some(), is_root, "{named}");
}

#[test]
fn a_process_of_a_container_is_no_kubelet() {
    let id = "5c".repeat(32);
    let uid = "0b39cf1f-3a54-4e0e-9e7c-1c7e6c4b5a00";
    for theirs in [
        format!(
            "0::/kubepods.slice/kubepods-pod{}.slice/cri-containerd-{id}.scope\n",
            uid.replace('-', "_")
        ),
        format!("0::/kubepods/burstable/pod{uid}/{id}\n"),
        format!("0::/kubelet.slice/kubelet-kubepods.slice/x/cri-containerd-{id}.scope\n"),
        // What the cgroup namespace of the agent's own pod leaves of it.
        format!("0::/../../pod{uid}/{id}\n"),
        format!("0::/../../pod{}/x\n", uid.replace('-', "")),
        format!("0::/../{id}\n"),
        format!("0::/../crio-{id}.scope\n"),
        format!("0::/../cri-containerd-{id}.scope/x\n"),
        format!("0::/system.slice/docker-{id}.scope\n"),
        format!("0::/machine.slice/libpod-{id}.scope\n"),
        // One hierarchy of several.
        format!("2:cpu:/\n1:name=systemd:/kubepods/pod{uid}/{id}\n"),
        "nonsense\n".to_owned(),
        String::new(),
    ] {
        let line = "kubelet --container-runtime-endpoint=unix:///tmp/theirs.sock";
        let fake = status("kubelet", 1, 0, "50");
        let node = Node::new().process(50, &fake, line).cgroup(50, &theirs);
        assert_eq!(node.find().unwrap(), None, "{theirs}");
        let node = node.kubelet(&format!("kubelet --container-runtime-endpoint={ENDPOINT}"));
        assert_eq!(node.endpoint().as_deref(), Ok(ENDPOINT), "{theirs}");
    }
    for own in [
        "0::/../../../../system.slice/kubelet.service\n",
        "0::/kubelet.slice/kubelet.service\n",
        "0::/podruntime.slice/kubelet.service\n",
        "11:cpu,cpuacct:/system.slice/kubelet.service\n0::/\n",
    ] {
        assert!(is_of_the_node(own), "{own}");
    }
    // One whose cgroup cannot be read is not taken for it.
    let node = Node::new().kubelet("kubelet");
    fs::remove_file(node.0.path().join("proc/40/cgroup")).unwrap();
    assert_eq!(node.find().unwrap(), None);
    // What the kernel writes has this shape.
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert!(
        own.lines().all(|line| line.splitn(3, ':').count() == 3),
        "{own}"
    );
}

#[test]
fn a_child_of_its_own_is_not_a_second_one() {
    let node = Node::new().kubelet("kubelet --container-runtime-endpoint=unix:///a");
    let node = node.process(41, &status("kubelet", 40, 0, "41"), "kubelet");
    assert_eq!(node.endpoint().as_deref(), Ok("unix:///a"));
    let node = node.process(42, &status("kubelet", 1, 0, "42"), "kubelet");
    let error = node.find().unwrap_err().to_string();
    assert!(
        error.contains("more than one kubelet") && error.contains("[40, 42]"),
        "{error}"
    );
}
