//! Nodes that one policy can tell apart by their names and words only.
//!
//! In a large cluster most nodes are alike, and thousands of policies each look at all of them: so
//! they look at groups.

use super::node::{Node, Report};

/// Nodes that are alike.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// Any of them. All others have the same but for `name` and `report`, and the reports of all have
    /// the same [`Report::standing`].
    pub like: Node<'a>,
    /// All of them, sorted by name.
    pub members: &'a [Member<'a>],
}

/// A node of a group.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its agent says.
    pub report: Option<&'a Report>,
}

impl<'a> From<&Node<'a>> for Member<'a> {
    fn from(node: &Node<'a>) -> Self {
        Self {
            name: node.name,
            report: node.report,
        }
    }
}
