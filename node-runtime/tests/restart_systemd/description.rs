//! systemd's own description of its interfaces, `tests/data/systemd`.

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

const FILES: [&str; 4] = [
    include_str!("../data/systemd/org.freedesktop.systemd1.Manager.xml"),
    include_str!("../data/systemd/org.freedesktop.systemd1.Unit.xml"),
    include_str!("../data/systemd/org.freedesktop.systemd1.Service.xml"),
    include_str!("../data/systemd/org.freedesktop.systemd1.Job.xml"),
];

/// A member's kind and its D-Bus signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Member {
    Method { takes: String, gives: String },
    Signal(String),
    Property(String, String),
}

/// By `<interface>.<member>`.
pub(crate) type Members = BTreeMap<String, Member>;

/// What systemd has.
pub(crate) fn of_systemd() -> Members {
    FILES.iter().flat_map(|text| of(text)).collect()
}

/// The members of systemd's interfaces in a description.
pub(crate) fn of(text: &str) -> Members {
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options).unwrap();
    let interfaces = document
        .descendants()
        .filter(|node| node.has_tag_name("interface"))
        .filter(|node| name(*node).starts_with("org.freedesktop.systemd1."));
    let members = interfaces.flat_map(|interface| {
        let members = interface.children().filter(Node::is_element);
        members.map(move |member| {
            (
                format!("{}.{}", name(interface), name(member)),
                read(member),
            )
        })
    });
    members.collect()
}

fn name<'a>(node: Node<'a, '_>) -> &'a str {
    node.attribute("name").unwrap()
}

fn read(member: Node<'_, '_>) -> Member {
    let arguments = |direction: &str| -> String {
        member
            .children()
            .filter(|node| node.has_tag_name("arg"))
            // The direction of an argument is `in` where none is given; a signal's are all `out`.
            .filter(|node| node.attribute("direction").unwrap_or("in") == direction)
            .map(|node| node.attribute("type").unwrap())
            .collect()
    };
    match member.tag_name().name() {
        "method" => Member::Method {
            takes: arguments("in"),
            gives: arguments("out"),
        },
        "signal" => Member::Signal(arguments("in") + &arguments("out")),
        "property" => Member::Property(
            member.attribute("type").unwrap().to_owned(),
            member.attribute("access").unwrap().to_owned(),
        ),
        other => panic!("a {other} in an interface"),
    }
}
