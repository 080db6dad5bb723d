use super::super::samples::{Node, ROOT};
use super::super::{Kind, effective, enforcement, load};
use super::*;

const USUAL: &str = "/etc/containerd/conf.d/zz-nodeseal.toml";

fn layout(import: Import) -> Layout {
    Layout {
        kind: Kind::Upstream,
        root_config: ROOT.to_owned(),
        drop_in_dir: "/etc/containerd/conf.d".to_owned(),
        import,
    }
}

struct Case<'a> {
    version: &'a str,
    entries: Option<&'a [&'a str]>,
    before: Option<Installed>,
    import: Import,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            version: "2.2.1",
            entries: None,
            before: None,
            import: Import::Editable,
        }
    }
}

impl Case<'_> {
    fn of(self, node: &Node) -> Place {
        let version = self.version.parse().ok();
        let loaded = load(node, ROOT).unwrap();
        let effective = effective(&loaded, version);
        let entries: Option<Vec<String>> = self
            .entries
            .map(|names| names.iter().map(|&name| name.to_owned()).collect());
        place(
            &loaded,
            &effective,
            &enforcement(version, &effective),
            entries.as_deref(),
            &layout(self.import),
            self.before.as_ref(),
        )
        .unwrap()
    }
}

fn configured(bin_dir: &str) -> Place {
    Place::Configured {
        bin_dir: bin_dir.to_owned(),
    }
}

#[test]
fn an_enforcing_node_with_a_free_folder_needs_no_restart() {
    let node = Node::root("version = 3\n");
    for entries in [None, Some(&[][..]), Some(&["nodeseal-verifier"][..])] {
        let case = Case {
            entries,
            ..Case::default()
        };
        assert_eq!(
            case.of(&node),
            configured("/opt/containerd/image-verifier/bin")
        );
    }
    // Without any root file too.
    assert_eq!(
        Case::default().of(&Node::default()),
        configured("/opt/containerd/image-verifier/bin")
    );
    let node = Node::root(
        "version = 3\nplugins.'io.containerd.image-verifier.v1.bindir'.bin_dir = '/v//x/'\n",
    );
    assert_eq!(Case::default().of(&node), configured("/v/x"));
}

#[test]
fn a_foreign_verifier_a_bypass_or_a_relative_folder_want_a_folder_of_our_own() {
    let foreign = Case {
        entries: Some(&["nodeseal-verifier", "ratify"]),
        ..Case::default()
    };
    let Place::Own {
        drop_in,
        imports: Some(edit),
        displaced,
    } = foreign.of(&Node::root("version = 3\n"))
    else {
        unreachable!("the folder holds another verifier");
    };
    assert_eq!(drop_in, USUAL);
    assert_eq!(displaced, ["ratify"]);
    assert_eq!(edit.path, ROOT);
    assert_eq!(edit.old.as_deref(), Some("version = 3\n"));
    assert_eq!(
        edit.new,
        "version = 3\nimports = [\"/etc/containerd/conf.d/zz-nodeseal*.toml\"]\n"
    );

    for text in [
        "version = 3\nplugins.'io.containerd.cri.v1.images'.use_local_image_pull = true\n",
        "version = 3\nplugins.'io.containerd.cri.v1.images'.registry.mirrors.a.endpoint = []\n",
        "version = 3\nplugins.'io.containerd.image-verifier.v1.bindir'.max_verifiers = 0\n",
        "version = 3\nplugins.'io.containerd.image-verifier.v1.bindir'.bin_dir = 'relative'\n",
    ] {
        let place = Case::default().of(&Node::root(text));
        assert!(
            matches!(
                place,
                Place::Own {
                    imports: Some(_),
                    ..
                }
            ),
            "{text}"
        );
    }
}

const LOCAL: &str = "plugins.'io.containerd.cri.v1.images'.use_local_image_pull = true\n";

#[test]
fn a_folder_that_is_imported_already_needs_no_edit() {
    for (imports, expected) in [
        ("'/etc/containerd/conf.d/*.toml'", USUAL),
        ("'conf.d/*.toml', 'other.d/*.toml'", USUAL),
        (
            "'/etc/containerd/config.d/*.toml'",
            "/etc/containerd/config.d/zz-nodeseal.toml",
        ),
        (
            "'a.d/*.toml', 'b.d/*.toml'",
            "/etc/containerd/b.d/zz-nodeseal.toml",
        ),
        (
            "'a.d/*.toml', 'b.d/nvidia-*.toml'",
            "/etc/containerd/a.d/zz-nodeseal.toml",
        ),
        // Our own from before.
        ("'/etc/containerd/conf.d/zz-nodeseal*.toml'", USUAL),
    ] {
        let node = Node::root(&format!("version = 3\nimports = [{imports}]\n{LOCAL}"));
        assert_eq!(
            Case::default().of(&node),
            Place::Own {
                drop_in: expected.to_owned(),
                imports: None,
                displaced: Vec::new()
            },
            "{imports}"
        );
    }
    // A folder that a pattern finds is none to rely on.
    let node = Node::root(&format!("version = 3\nimports = ['*/x/*.toml']\n{LOCAL}"));
    assert!(
        matches!(Case::default().of(&node), Place::Own { drop_in, imports: Some(_), .. } if drop_in == USUAL)
    );
}

#[test]
fn a_missing_root_file_is_made_with_the_version_of_the_running_containerd() {
    let case = |version| Case {
        version,
        entries: Some(&["ratify"]),
        ..Case::default()
    };
    for (version, number) in [("2.1.5", 3), ("2.3.7", 4)] {
        let Place::Own {
            imports: Some(edit),
            ..
        } = case(version).of(&Node::default())
        else {
            unreachable!("the folder holds another verifier");
        };
        assert_eq!(edit.old, None);
        assert!(
            edit.new.starts_with(&format!("version = {number}\n")),
            "{}",
            edit.new
        );
    }
}

#[test]
fn what_was_decided_stays() {
    let own = Installed::Own {
        drop_in: USUAL.to_owned(),
    };
    // Our drop-in is in force, and so our folder looks like a configured one.
    let node = Node::new(&[
        (ROOT, "version = 3\nimports = ['conf.d/*.toml']\n"),
        (
            USUAL,
            "version = 3\nplugins.'io.containerd.image-verifier.v1.bindir'.bin_dir = '/opt/nodeseal/image-verifier'\n",
        ),
    ]);
    let case = Case {
        before: Some(own.clone()),
        entries: Some(&["nodeseal-verifier"]),
        ..Case::default()
    };
    assert_eq!(
        case.of(&node),
        Place::Own {
            drop_in: USUAL.to_owned(),
            imports: None,
            displaced: Vec::new()
        }
    );
    // Somebody took the import out: it is put back.
    let case = Case {
        before: Some(own),
        ..Case::default()
    };
    assert!(matches!(
        case.of(&Node::root("version = 3\n")),
        Place::Own {
            imports: Some(_),
            ..
        }
    ));

    // A foreign verifier beside ours does not drive us out; another folder does.
    let before = || {
        Some(Installed::Configured {
            bin_dir: "/opt/containerd/image-verifier/bin".to_owned(),
        })
    };
    let case = Case {
        before: before(),
        entries: Some(&["nodeseal-verifier", "ratify"]),
        ..Case::default()
    };
    assert_eq!(
        case.of(&Node::root("version = 3\n")),
        configured("/opt/containerd/image-verifier/bin")
    );
    let moved = Node::root(
        "version = 3\nplugins.'io.containerd.image-verifier.v1.bindir'.bin_dir = '/v'\n",
    );
    let case = Case {
        before: before(),
        ..Case::default()
    };
    assert!(matches!(case.of(&moved), Place::Own { .. }));
    // And so does a bypass.
    let case = Case {
        before: before(),
        ..Case::default()
    };
    assert!(matches!(
        case.of(&Node::root(&format!("version = 3\n{LOCAL}"))),
        Place::Own { .. }
    ));
}

#[test]
fn where_it_would_never_run_nothing_is_written() {
    for (version, text, word) in [
        ("1.7.29", "version = 2\n", "2.1 is the first"),
        ("2.0.7", "version = 2\n", "2.1 is the first"),
        ("unknown", "version = 2\n", "not known"),
        ("2.2.1", "version = 4\n", "up to 3"),
    ] {
        let place = Case {
            version,
            ..Case::default()
        }
        .of(&Node::root(text));
        let Place::Nowhere { why } = place else {
            unreachable!("{version} {text}: {place:?}");
        };
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn generated_root_files_are_never_edited() {
    let import = || Import::Generated {
        missing: "upgrade".to_owned(),
    };
    let local = format!("version = 3\n{LOCAL}");
    let place = Case {
        import: import(),
        ..Case::default()
    }
    .of(&Node::root(&local));
    assert_eq!(
        place,
        Place::Nowhere {
            why: "upgrade".to_owned()
        }
    );
    // Another imported folder is no place for it there: only the layout's own.
    let elsewhere = format!("version = 3\nimports = ['x.d/*.toml']\n{LOCAL}");
    let place = Case {
        import: import(),
        ..Case::default()
    }
    .of(&Node::root(&elsewhere));
    assert_eq!(
        place,
        Place::Nowhere {
            why: "upgrade".to_owned()
        }
    );
    let imported = format!("version = 3\nimports = ['conf.d/*.toml']\n{LOCAL}");
    let place = Case {
        import: import(),
        ..Case::default()
    }
    .of(&Node::root(&imported));
    assert!(matches!(place, Place::Own { imports: None, .. }));
    // Without a bypass the configured folder needs no import.
    let place = Case {
        import: import(),
        ..Case::default()
    }
    .of(&Node::root("version = 3\n"));
    assert!(matches!(place, Place::Configured { .. }));

    let import = Import::Unsupported {
        instead: "settings".to_owned(),
    };
    let place = Case {
        import,
        ..Case::default()
    }
    .of(&Node::root("version = 3\n"));
    assert_eq!(
        place,
        Place::Nowhere {
            why: "settings".to_owned()
        }
    );
}
