//! A test that is played by a child of the test program, which may take no more memory than it needs.

use std::process::Command;

/// Says to a child that it is one.
const CHILD: &str = "NODESEAL_TEST_CHILD";

/// Plays the test of this name in a child that may take `memory` KiB of private memory, and fails where
/// that does. Says whether this is the child, which has to do it.
pub fn is_child(test: &str, memory: u32) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let limited = format!("ulimit -d {memory} && exec \"$0\" \"$@\"");
    let output = Command::new("/bin/sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{wrong}");
    assert!(said.contains("1 passed"), "{said}");
    false
}
