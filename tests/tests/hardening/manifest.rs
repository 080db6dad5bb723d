//! What the manifest gives the agent: read from the file itself, so that the two cannot differ.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec};

/// A folder or file of the node's.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    /// Its path on the node, absolute.
    pub(crate) on_node: String,
    /// Its path in the pod, absolute.
    pub(crate) in_pod: String,
    /// What has to be there, such as `DirectoryOrCreate`.
    pub(crate) kind: String,
    pub(crate) read_only: bool,
}

/// What the agent runs with.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    /// Names of capabilities without `CAP_`, as the manifest has them.
    pub(crate) capabilities: Vec<String>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) pod: PodSpec,
    pub(crate) container: Container,
}

impl Manifest {
    /// Reads `config/base/agent.yaml`.
    pub(crate) fn read() -> Result<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/base/agent.yaml");
        let text = fs::read_to_string(path).context("read the manifest of the agent")?;
        let set: DaemonSet = serde_saphyr::from_str(&text).context("the manifest of the agent")?;
        let pod = set.spec.and_then(|spec| spec.template.spec);
        let pod = pod.context("the manifest has a pod")?;
        ensure!(pod.containers.len() == 1 && pod.init_containers.is_none());
        let container = pod.containers[0].clone();
        let volumes = pod.volumes.as_deref().unwrap_or_default();
        let mut mounts = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            let volume = volumes.iter().find(|volume| volume.name == mount.name);
            let path = volume.and_then(|volume| volume.host_path.clone());
            let path = path.with_context(|| format!("{} is a folder of the node's", mount.name))?;
            mounts.push(Mount {
                on_node: path.path,
                in_pod: mount.mount_path.clone(),
                kind: path.type_.unwrap_or_default(),
                read_only: mount.read_only.unwrap_or_default(),
            });
        }
        ensure!(
            mounts.len() == volumes.len(),
            "a volume that nothing mounts"
        );
        let context = container.security_context.clone();
        let capabilities = context.and_then(|context| context.capabilities);
        let capabilities = capabilities.context("the manifest names capabilities")?;
        ensure!(capabilities.drop == Some(vec!["ALL".to_owned()]));
        Ok(Self {
            capabilities: capabilities.add.unwrap_or_default(),
            mounts,
            pod,
            container,
        })
    }

    /// What the command line says of an option, as `--name=value`.
    pub(crate) fn option(&self, name: &str) -> Result<String> {
        let mut args = self.container.args.iter().flatten();
        let value = args.find_map(|arg| arg.strip_prefix(&format!("--{name}=")));
        value
            .map(str::to_owned)
            .with_context(|| format!("the manifest says --{name}"))
    }
}

/// What must not be loosened without somebody saying so here.
#[test]
fn the_pod_asks_for_nothing_else() -> Result<()> {
    let Manifest {
        pod,
        container,
        mounts,
        ..
    } = Manifest::read()?;
    let all = pod
        .security_context
        .context("the pod has a security context")?;
    ensure!(
        all.seccomp_profile
            .is_some_and(|profile| profile.type_ == "RuntimeDefault")
    );
    let own = container
        .security_context
        .context("the container has one")?;
    ensure!(own.read_only_root_filesystem == Some(true));
    ensure!(own.allow_privilege_escalation == Some(false));
    ensure!(own.privileged == Some(false) && own.seccomp_profile.is_none());
    ensure!(pod.host_ipc.is_none() && pod.automount_service_account_token == Some(true));
    for Mount {
        on_node, in_pod, ..
    } in &mounts
    {
        ensure!(
            *in_pod == format!("/host{on_node}"),
            "{on_node} at {in_pod}"
        );
        // Not a folder that holds everything, and none that holds keys of the cluster.
        let is_broad = [
            "/", "/etc", "/opt", "/run", "/var", "/var/lib", "/usr", "/proc", "/sys",
        ];
        ensure!(!is_broad.contains(&on_node.as_str()), "{on_node}");
        for secret in [
            "/etc/kubernetes",
            "/var/lib/kubelet",
            "/var/lib/containerd",
            "/root",
        ] {
            ensure!(!on_node.starts_with(secret), "{on_node}");
        }
    }
    let written: Vec<_> = mounts.iter().filter(|mount| !mount.read_only).collect();
    let written: Vec<_> = written.iter().map(|mount| mount.on_node.as_str()).collect();
    let expected = [
        "/var/lib/nodeseal",
        "/etc/nodeseal",
        "/opt/nodeseal",
        "/etc/containerd",
        "/opt/containerd",
        "/etc/crio",
        "/etc/containers",
    ];
    ensure!(written == expected, "{written:?}");
    Ok(())
}
