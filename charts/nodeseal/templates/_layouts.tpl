{{/*
The folders of a node that the agent sees, as a YAML list of {name, path, type, write, propagate}. Why each is
there stands in docs/node.md, "What the agent may do".
*/}}
{{- define "nodeseal.folders" -}}
- {name: state, path: /var/lib/nodeseal, type: DirectoryOrCreate, write: true}
- {name: verifier-policy, path: /etc/nodeseal, type: DirectoryOrCreate, write: true}
- {name: verifier, path: /opt/nodeseal, type: DirectoryOrCreate, write: true}
- {name: containerd-verifiers, path: /opt/containerd, type: DirectoryOrCreate, write: true}
{{- $layout := .Values.agent.layout }}
{{- if eq $layout "upstream" }}
- {name: containerd-config, path: /etc/containerd, type: DirectoryOrCreate, write: true}
- {name: containerd-run, path: /run/containerd, type: DirectoryOrCreate, propagate: true}
- {name: crio-config, path: /etc/crio, type: DirectoryOrCreate, write: true}
- {name: containers-config, path: /etc/containers, type: DirectoryOrCreate, write: true}
- {name: crio-run, path: /run/crio, type: DirectoryOrCreate, propagate: true}
{{- else if or (eq $layout "k3s") (eq $layout "rke2") }}
- {name: containerd-config, path: /var/lib/rancher/{{ $layout }}/agent/etc/containerd, type: Directory, write: true}
- {name: containerd-run, path: /run/k3s/containerd, type: Directory, propagate: true}
- {name: rancher, path: /etc/rancher, type: Directory}
{{- else if eq $layout "k0s" }}
- {name: containerd-config, path: /etc/k0s, type: Directory, write: true}
- {name: containerd-run, path: /run/k0s, type: Directory, propagate: true}
{{- end }}
- {name: dbus, path: /run/dbus, type: DirectoryOrCreate}
- {name: usr-share, path: /usr/share, type: Directory}
- {name: os-release, path: /etc/os-release, type: File}
{{- end -}}
