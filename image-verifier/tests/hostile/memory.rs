//! How much memory a program came to hold.
//!
//! What the kernel accounts to a child that has ended (`ru_maxrss`) begins with what its parent held
//! when it started it: of a large test program that says nothing about a small child. `VmHWM` in
//! `/proc` is the program's own, and is gone when the program ends. So it is read at the one moment
//! after which nothing is left to do: the program's stdout is a pipe that is full, and the program
//! stands still with its answer until that is taken.

use std::fs;
use std::io::{PipeReader, Read as _, Write as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};

/// The numbers of write(2), on `x86_64` and on all that came later.
const WRITE: [&str; 2] = ["1", "64"];

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// A pipe that takes nothing until its reader has begun.
pub(crate) struct FullPipe {
    reader: PipeReader,
    filled: usize,
}

impl FullPipe {
    /// The pipe, and the end for the program.
    pub(crate) fn new() -> (Self, Stdio) {
        let (reader, mut writer) = std::io::pipe().unwrap();
        fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        let mut filled = 0;
        while let Ok(written) = writer.write(&[b' '; 4096]) {
            filled += written;
        }
        fcntl_setfl(&writer, OFlags::empty()).unwrap();
        (Self { reader, filled }, writer.into())
    }

    /// Waits until `child` stands still with its answer, or has ended without one; gives the answer
    /// and the most bytes that it held at any time.
    pub(crate) fn read(mut self, child: &mut Child) -> (String, u64) {
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            // In this order: what is read is true of when it stands still.
            let still = stands_still(child.id());
            peak = high_water(child.id()).unwrap_or(0).max(peak);
            if still {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        let mut text = Vec::new();
        self.reader.read_to_end(&mut text).unwrap();
        let answer = String::from_utf8(text.split_off(self.filled)).unwrap();
        (answer, peak)
    }
}

/// Whether a thread of the process waits for a reader of stdout (proc(5), `/proc/pid/syscall`).
fn stands_still(id: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else {
        return false;
    };
    threads.flatten().any(|thread| {
        let call = fs::read_to_string(thread.path().join("syscall")).unwrap_or_default();
        let mut words = call.split(' ');
        words.next().is_some_and(|number| WRITE.contains(&number)) && words.next() == Some("0x1")
    })
}

/// `VmHWM`, in bytes; nothing once the process has ended.
fn high_water(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
