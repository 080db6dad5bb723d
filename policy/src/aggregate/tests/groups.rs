//! Nodes that are looked at in groups come to what they come to one by one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const REASONS: [&str; 4] = ["Applied", "WriteFailed", "Pending", "StaleImages"];
const ENFORCING: [&str; 4] = ["NotProbed", "Bypassed", "Disabled", "RefusesEverything"];
const RUNTIMES: [&str; 3] = ["containerd 2.2.1", "cri-o 1.34.1", ""];
const TRUTHS: [Truth; 3] = [Truth::True, Truth::False, Truth::Unknown];

fn any_report() -> impl Strategy<Value = Report> {
    let parts = (0..3_usize, 0..4_usize, 0..3_usize, 0..4_usize, 0..3_usize);
    (parts, 0..5_u8).prop_map(|((applied, why, enforcing, proof, ready), words)| Report {
        applied: TRUTHS[applied],
        applied_finding: Finding::new(REASONS[why], format!("in the words of {words}")),
        enforcing: TRUTHS[enforcing],
        enforcing_finding: Finding::new(ENFORCING[proof], format!("seen as {words}")),
        ready: TRUTHS[ready],
    })
}

fn any_node() -> impl Strategy<Value = Fixture> {
    let flags = (any::<bool>(), any::<bool>(), 0..10_u8);
    let what = (
        0..3_usize,
        0..8_u8,
        0..3_u8,
        proptest::option::of(any_report()),
    );
    (flags, what).prop_map(
        |((joining, warned, silent), (runtime, cannot, applied, report))| Fixture {
            name: String::new(),
            reachable: silent > 0,
            joining,
            runtime: RUNTIMES[runtime],
            unsupported: (cannot == 0).then(|| finding("NotExpressible")),
            warnings: if warned {
                vec!["to know".to_owned()]
            } else {
                Vec::new()
            },
            applied: [None, Some(digest("before")), Some(digest("now"))][usize::from(applied)]
                .clone(),
            report,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn groups_come_to_what_their_nodes_come_to(nodes in proptest::collection::vec(any_node(), 0..60)) {
        let mut nodes = nodes;
        for (n, node) in nodes.iter_mut().enumerate() {
            node.name = format!("n-{n:02}");
            // Of one runtime all nodes are warned of the same.
            node.warnings.retain(|_| node.runtime.starts_with('c'));
            if node.runtime == RUNTIMES[0] {
                node.warnings = vec!["of containerd".to_owned()];
            }
        }
        for node in nodes.iter_mut().filter(|node| node.runtime == RUNTIMES[1]) {
            node.warnings = Vec::new();
        }
        let mut groups: BTreeMap<_, Vec<Node<'_>>> = BTreeMap::new();
        for node in nodes.iter().map(Fixture::node) {
            let standing = node.report.map(Report::standing);
            let key = (
                (node.reachable, node.joining, node.runtime, node.unsupported.cloned()),
                (node.applied.cloned(), standing),
            );
            groups.entry(key).or_default().push(node);
        }
        let members: Vec<Vec<Member<'_>>> = groups
            .values()
            .map(|nodes| nodes.iter().map(Member::from).collect())
            .collect();
        let together = groups.values().zip(&members).map(|(nodes, members)| Group {
            like: nodes[0].clone(),
            members,
        });
        let together = aggregate_groups(&valid(), together);
        prop_assert_eq!(&together, &sum(&valid(), &nodes));

        // And one by one they come to this, told naively.
        let now = digest("now");
        let classes = nodes.iter().map(|node| (&node.name, node.node().class(Some(&now))));
        let failed: Vec<(String, Finding)> = classes
            .filter_map(|(name, class)| match class {
                Class::Failed(finding) => Some((name.clone(), finding.clone())),
                _ => None,
            })
            .collect();
        prop_assert_eq!(together.counts.failed, failed.len());
        let named: Vec<_> = together
            .failing
            .iter()
            .map(|failing| (failing.node.clone(), failing.finding.clone()))
            .collect();
        prop_assert_eq!(&named[..], &failed[..failed.len().min(MAX_FAILING)]);
    }
}

#[test]
fn the_first_by_name_are_named_whichever_group_they_are_in() {
    let nodes: Vec<Fixture> = (0..30)
        .map(|n| Fixture::failed(&format!("n-{n:02}"), ["WriteFailed", "Drifted"][n % 2]))
        .collect();
    let all: Vec<Node<'_>> = nodes.iter().map(Fixture::node).collect();
    let (even, odd): (Vec<_>, Vec<_>) = (0..30).partition(|n| n % 2 == 0);
    let members =
        |of: &[usize]| -> Vec<Member<'_>> { of.iter().map(|n| Member::from(&all[*n])).collect() };
    let (even_members, odd_members) = (members(&even), members(&odd));
    let group = |of: usize, members| Group {
        like: all[of].clone(),
        members,
    };
    let summary = aggregate_groups(
        &valid(),
        [group(1, &odd_members[..]), group(0, &even_members[..])],
    );
    assert_eq!(summary, sum(&valid(), &nodes));
    let names: Vec<&str> = summary
        .failing
        .iter()
        .map(|failing| failing.node.as_str())
        .collect();
    assert_eq!(names.len(), MAX_FAILING);
    assert_eq!((names[0], names[9]), ("n-00", "n-09"));
    assert_eq!(
        summary.failing[3].finding.reason, "Drifted",
        "each in its own words"
    );
}
