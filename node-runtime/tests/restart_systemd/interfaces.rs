//! The stand-in and the client, held against systemd's own description.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use zbus::fdo::{IntrospectableProxy, MonitoringProxy};
use zbus::message::Type;
use zbus::names::{BusName, InterfaceName, MemberName, UniqueName};
use zbus::{Message, MessageStream};

use crate::description::{self, Member, Members};
use crate::standin::{self, Plan, Unit};
use crate::{BUDGET, Node, restarted};

#[tokio::test]
async fn the_stand_in_has_the_members_and_signatures_of_systemd() {
    let node = Node::with(&[("crio.service", Unit::running(100, Plan::Hold, restarted))]).await;
    let client = node.daemon.connect().await;
    let restart = node.restart("crio.service");
    let looking = async {
        node.systemd.answered(1).await;
        let mut members = Members::new();
        for path in ["", "/unit/crio_2eservice", "/job/1"] {
            let path = format!("{}{path}", standin::ROOT);
            let object = IntrospectableProxy::builder(&client)
                .destination(standin::NAME)
                .path(path)
                .build()
                .await
                .unwrap();
            members.extend(description::of(&object.introspect().await.unwrap()));
        }
        node.systemd.end("done").await;
        members
    };
    let (outcome, members) = tokio::join!(restart, looking);
    outcome.unwrap();
    assert_eq!(members, description::of_systemd());
}

/// What the bus saw.
#[derive(Default)]
struct Seen {
    /// By caller and serial number: the member, and the signature the answer must have.
    calls: BTreeMap<(String, u32), (String, Answer)>,
    members: BTreeSet<String>,
}

enum Answer {
    Values(String),
    Property(String),
}

impl Seen {
    fn look(&mut self, message: &Message, systemd: &Members) {
        let header = message.header();
        let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
        let interface = name(header.interface().map(InterfaceName::as_str));
        let member = name(header.member().map(MemberName::as_str));
        let signature = message.body().signature().to_string_no_parens();
        let sender = name(header.sender().map(UniqueName::as_str));
        match header.message_type() {
            Type::MethodCall if interface.starts_with(standin::NAME) => {
                let key = format!("{interface}.{member}");
                let Some(Member::Method { takes, gives }) = systemd.get(&key) else {
                    panic!("systemd has no method {key}");
                };
                assert_eq!(&signature, takes, "of the call {key}");
                let call = (sender, message.primary_header().serial_num().get());
                self.calls
                    .insert(call, (key, Answer::Values(gives.clone())));
            }
            Type::MethodCall if interface == "org.freedesktop.DBus.Properties" => {
                assert_eq!(member, "Get", "properties are read one by one");
                let body = message.body();
                let (interface, property): (&str, &str) = body.deserialize().unwrap();
                let key = format!("{interface}.{property}");
                let Some(Member::Property(kind, access)) = systemd.get(&key) else {
                    panic!("systemd has no property {key}");
                };
                assert!(access.starts_with("read"), "{key}");
                let call = (sender, message.primary_header().serial_num().get());
                self.calls
                    .insert(call, (key, Answer::Property(kind.clone())));
            }
            Type::MethodReturn => {
                let to = name(header.destination().map(BusName::as_str));
                let serial = header.reply_serial().unwrap().get();
                match self.calls.remove(&(to, serial)) {
                    Some((key, Answer::Values(gives))) => {
                        assert_eq!(signature, gives, "of the answer to {key}");
                        self.members.insert(key);
                    }
                    Some((key, Answer::Property(kind))) => {
                        let body = message.body();
                        let value: zbus::Variant<'_> = body.deserialize().unwrap();
                        assert_eq!(value.value_signature().to_string(), kind, "of {key}");
                        self.members.insert(key);
                    }
                    None => {}
                }
            }
            Type::Signal if interface.starts_with(standin::NAME) => {
                let key = format!("{interface}.{member}");
                let described = systemd.get(&key);
                assert_eq!(described, Some(&Member::Signal(signature)), "of {key}");
                self.members.insert(key);
            }
            Type::MethodCall | Type::Error | Type::Signal => {}
        }
    }
}

/// A monitor of the bus sees every message of a restart, a reload, a look-up and a job that never
/// ends: each is as systemd's description has it, and nothing that is described goes unused.
#[tokio::test]
async fn every_message_is_as_systemd_describes_it() {
    let node = Node::with(&[
        (
            "crio.service",
            Unit::running(100, Plan::End("done"), |_| {}),
        ),
        (
            "containerd.service",
            Unit::running(200, Plan::Hold, restarted),
        ),
    ])
    .await;
    node.process(100, "crio");
    let monitor = node.daemon.connect().await;
    let mut messages = MessageStream::from(monitor.clone());
    let monitoring = MonitoringProxy::new(&monitor).await.unwrap();
    monitoring.become_monitor(&[], 0).await.unwrap();

    node.restarter("crio.service")
        .crio_reloader()
        .reload(BUDGET)
        .await
        .unwrap();
    node.unit_of(100).await.unwrap();
    let short = Duration::from_millis(200);
    node.restarter("containerd.service")
        .restart(short)
        .await
        .unwrap_err();

    let systemd = description::of_systemd();
    let mut seen = Seen::default();
    let all: BTreeSet<String> = systemd.keys().cloned().collect();
    let watching = async {
        while seen.members != all {
            seen.look(&messages.next().await.unwrap().unwrap(), &systemd);
        }
    };
    let in_time = tokio::time::timeout(BUDGET, watching).await;
    let missing: Vec<_> = all.difference(&seen.members).collect();
    assert!(in_time.is_ok(), "described, and not seen: {missing:?}");
}
