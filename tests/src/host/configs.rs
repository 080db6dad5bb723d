//! Root files of containerd as distributions write them.

use std::fmt::{self, Write as _};

/// Which version a root file has; drop-ins have to have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `version = 2`, whose keys containerd 2.x migrates.
    V2,
    /// `version = 3`, of containerd 2.x alone.
    V3,
}

impl Format {
    /// The number in the file.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// The table of CRI that has these keys.
    fn table(self, of: Table) -> &'static str {
        match (self, of) {
            (Self::V3, Table::Images | Table::Snapshots) => "'io.containerd.cri.v1.images'",
            (Self::V3, Table::Registry) => "'io.containerd.cri.v1.images'.registry",
            (Self::V2, Table::Images) => "'io.containerd.grpc.v1.cri'",
            (Self::V2, Table::Snapshots) => "'io.containerd.grpc.v1.cri'.containerd",
            (Self::V2, Table::Registry) => "'io.containerd.grpc.v1.cri'.registry",
        }
    }
}

/// Where a key stood before version 3 put it all into one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Beside everything else of CRI.
    Images,
    /// Beside the snapshotter.
    Snapshots,
    /// With the registries.
    Registry,
}

/// A root file, one line after the other.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its version.
    pub format: Format,
    top: Vec<String>,
    lines: Vec<(Table, String)>,
    rest: String,
}

impl Config {
    /// What every node here has: a snapshotter that works, and runc.
    #[must_use]
    pub fn new(format: Format, snapshotter: &str) -> Self {
        let runtime = match format {
            Format::V3 => "'io.containerd.cri.v1.runtime'",
            Format::V2 => "'io.containerd.grpc.v1.cri'",
        };
        let mut rest = format!(
            "\n[plugins.{runtime}.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n"
        );
        if format == Format::V3 {
            // The transfer service has a snapshotter of its own. Writing to a String cannot fail.
            let _ = write!(
                rest,
                "\n[[plugins.'io.containerd.transfer.v1.local'.unpack_config]]\nplatform = 'linux'\nsnapshotter = '{snapshotter}'\n"
            );
        }
        Self {
            format,
            top: Vec::new(),
            lines: vec![(Table::Snapshots, format!("snapshotter = '{snapshotter}'"))],
            rest,
        }
    }

    /// With a line outside of all tables.
    #[must_use]
    pub fn top(mut self, line: &str) -> Self {
        self.top.push(line.to_owned());
        self
    }

    /// With a key of CRI's.
    #[must_use]
    pub fn key(mut self, table: Table, line: &str) -> Self {
        self.lines.push((table, line.to_owned()));
        self
    }

    /// With this folder of verifiers.
    #[must_use]
    pub fn verifiers(mut self, folder: &str) -> Self {
        let _ = write!(
            self.rest,
            "\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '{folder}'\n"
        );
        self
    }

    /// The line of the file on which this text stands, from 1.
    #[must_use]
    pub fn line_of(&self, text: &str) -> Option<usize> {
        let file = self.to_string();
        let found = file.lines().position(|line| line.contains(text));
        found.map(|line| line + 1)
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# The administrator's.\nversion = {}",
            self.format.number()
        )?;
        for line in &self.top {
            writeln!(f, "{line}")?;
        }
        let mut tables: Vec<(&str, Vec<&str>)> = Vec::new();
        for (of, line) in &self.lines {
            let name = self.format.table(*of);
            match tables.iter_mut().find(|(other, _)| *other == name) {
                Some((_, lines)) => lines.push(line),
                None => tables.push((name, vec![line])),
            }
        }
        for (name, lines) in tables {
            writeln!(f, "\n[plugins.{name}]\n{}", lines.join("\n"))?;
        }
        f.write_str(&self.rest)
    }
}
