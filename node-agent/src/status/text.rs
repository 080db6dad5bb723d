//! The status for people.

use std::fmt;

use super::Status;

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.is_applied(), self.is_clean()) {
            (true, true) => "applied",
            (true, false) => "applied, with problems",
            (false, _) => "NOT applied",
        };
        write!(
            f,
            "{verdict}: {} in force",
            count(self.policies, "policy", "policies")
        )?;
        match &self.applied_bundle {
            Some(digest) => writeln!(f, ", bundle sha256:{}", &digest.hex()[..16])?,
            None => writeln!(f)?,
        }
        for condition in &self.conditions {
            writeln!(
                f,
                "  {:<9}  {:<7}  {}: {}",
                condition.r#type, condition.status, condition.reason, condition.message
            )?;
        }
        if !self.problems.is_empty() {
            writeln!(f, "problems:")?;
        }
        for problem in &self.problems {
            write!(f, "  {}", problem.file)?;
            if problem.line > 0 {
                write!(f, ":{}", problem.line)?;
            }
            write!(f, ": {}: ", problem.severity)?;
            for part in [&problem.object, &problem.field] {
                if !part.is_empty() {
                    write!(f, "{part}: ")?;
                }
            }
            writeln!(f, "{}", problem.message)?;
        }
        if !self.kept.is_empty() {
            writeln!(f, "kept as it was:")?;
        }
        for kept in &self.kept {
            writeln!(f, "  {}: {}", kept.policy, kept.message)?;
        }
        if self.unsupported.count > 0 {
            writeln!(
                f,
                "not enforced on this runtime ({}):",
                self.unsupported.count
            )?;
        }
        for policy in &self.unsupported.first {
            let namespace = policy
                .namespace
                .as_ref()
                .map_or(String::new(), |name| format!("{name}/"));
            writeln!(
                f,
                "  {namespace}{}: {}: {}",
                policy.policy, policy.reason, policy.message
            )?;
        }
        section(f, "warnings:", &self.warnings)?;
        section(f, "at the last apply:", &self.last_apply_notes)?;
        if !self.files.is_empty() {
            writeln!(f, "files:")?;
        }
        for file in &self.files {
            write!(f, "  {}  /{}", &file.sha256.hex()[..16], file.path)?;
            match &file.original {
                Some(original) => writeln!(f, "  (before nodeseal: /{original})")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if !lines.is_empty() {
        writeln!(f, "{title}")?;
    }
    lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
