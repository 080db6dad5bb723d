//! Runtimes among the processes of a node.

use std::fs;
use std::path::Path;

use super::super::tests::{Proc, stat_line};
use super::super::{Error, Found, Process};
use super::serving;

fn search(proc: &Proc, socket: &str) -> Result<Process, Error> {
    serving(proc.path(), Path::new(socket), 1)
}

#[test]
fn a_runtime_that_gives_the_socket_is_found() {
    let proc = Proc::new()
        .process(1, "/usr/lib/systemd/systemd", "/sbin/init")
        .process(
            30,
            "/usr/bin/containerd",
            "containerd --address /run/other.sock",
        )
        .process(31, "/usr/bin/containerd", "containerd -a /run/this.sock")
        .process(
            32,
            "/usr/bin/containerd",
            "containerd -a /run/this.sock config dump",
        )
        .process(33, "/usr/bin/vim", "vim --address /run/this.sock")
        .process(
            34,
            "/usr/bin/crio",
            "crio --listen=unix:///run/crio/this.sock",
        );
    let found = search(&proc, "/run/this.sock").unwrap();
    assert_eq!((found.start.pid, found.found), (31, Found::CommandLine));
    assert_eq!(
        search(&proc, "/var/run/crio/this.sock").unwrap().start.pid,
        34
    );
}

#[test]
fn a_runtime_that_gives_no_socket_has_its_default() {
    let proc = Proc::new()
        .process(31, "/usr/bin/containerd", "/usr/bin/containerd")
        .process(32, "/usr/bin/crio", "/usr/bin/crio --enable-metrics");
    assert_eq!(
        search(&proc, "/run/containerd/containerd.sock")
            .unwrap()
            .start
            .pid,
        31
    );
    assert_eq!(
        search(&proc, "/var/run/crio/crio.sock").unwrap().start.pid,
        32
    );
    let error = search(&proc, "/run/this.sock").unwrap_err();
    assert!(
        matches!(error, Error::NotFound { listener: 1, .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("containerd --address"),
        "{error}"
    );
}

#[test]
fn two_runtimes_that_give_the_socket_are_none() {
    let line = "containerd -a /run/this.sock";
    let proc = Proc::new()
        .process(31, "/a/containerd", line)
        .process(32, "/b/containerd", line);
    let error = search(&proc, "/run/this.sock").unwrap_err();
    assert!(
        error.to_string().contains("which may be any of [31, 32]"),
        "{error}"
    );
    // A child that has not become another program yet does not count.
    fs::write(
        proc.folder(32).join("stat"),
        stat_line(32, "a", 'S', 31, 250),
    )
    .unwrap();
    assert_eq!(search(&proc, "/run/this.sock").unwrap().start.pid, 31);
}
