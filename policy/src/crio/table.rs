//! One policy.json: the node's own, with our rules added at every scope that either names. How
//! large it becomes is known before anything of it is built.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::bundle::{Bundle, DefaultAction};
use crate::crio::document::{PolicyJson, Rule, Rules};
use crate::crio::layer::{Covering, Layer, Size};
use crate::crio::texts::{Id, Lists, Part, REJECT, Texts, indented, name};
use crate::flatten::NodeFacts;
use crate::scope::{Scope, lookup_of, without_twin_port};

/// How many times larger than allowed something is counted to its end: what is larger still only
/// has to be told from what fits.
const COUNTED: usize = 4;

/// What the tables of a node share.
pub(super) struct Ground<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) node: &'a NodeFacts,
    /// The scopes of all policies of namespaces.
    pub(super) of_namespaces: BTreeSet<&'a str>,
}

impl Ground<'_> {
    fn default(&self) -> &'static [Id] {
        match self.bundle.settings().default_action {
            DefaultAction::Allow => &[],
            DefaultAction::Reject => &[REJECT],
        }
    }

    /// What the node itself demands of a scope.
    fn own<'b>(&self, name: &str, base: &'b [Id]) -> &'b [Id] {
        if self.node.accepted.contains(name) {
            return &[];
        }
        base
    }
}

/// A scope with its rules.
#[derive(Debug)]
struct Row {
    name: String,
    /// What of the cluster covers it.
    covering: Covering,
    rules: Vec<Id>,
    bytes: usize,
}

/// The table of the cluster's policies on one base.
pub(super) struct Table<'a> {
    base: &'a PolicyJson,
    lists: RefCell<Lists>,
    rows: Vec<Row>,
    /// The rows inside the scopes of policies of namespaces.
    inside: HashMap<&'a str, Vec<usize>>,
    head: Vec<u8>,
    tail: Vec<u8>,
    bytes: usize,
}

/// What a namespace changes in a [`Table`].
pub(super) struct Overlay {
    rows: BTreeMap<String, Row>,
    bytes: usize,
}

impl Size for Table<'_> {
    /// The size of the file; where it is much too large, a part of it.
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Size for Overlay {
    /// The size of the file of the namespace; where it is much too large, a part of it.
    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a row is made of.
struct Parts<'a> {
    default: &'a [Id],
    base: &'a [Id],
    /// The rules that cover it; nothing where it is exempt.
    covering: Option<Vec<Part<'a>>>,
    /// What of the cluster covers it.
    cluster: Covering,
    namer: Option<usize>,
}

impl Parts<'_> {
    fn row(self, name: String, texts: &mut Texts, shares: &mut [usize]) -> Row {
        let mut parts = match self.covering {
            None => Vec::new(),
            Some(none) if none.is_empty() => vec![(self.namer, self.default)],
            Some(covering) => covering,
        };
        // What the node demands itself stands there because somebody named the scope.
        parts.push((self.namer, self.base));
        let rules = texts.all(&parts, shares);
        let bytes = texts.size(&name, &rules) + ",\n".len();
        if let Some(share) = self.namer.and_then(|namer| shares.get_mut(namer)) {
            *share += name.len();
        }
        Row {
            name,
            covering: self.cluster,
            rules,
            bytes,
        }
    }
}

impl<'a> Table<'a> {
    /// The table of these policies. Rows of one that is larger than `most` are not kept.
    pub(super) fn new(
        ground: &Ground<'a>,
        cluster: &Layer<'a>,
        base: &'a PolicyJson,
        most: usize,
        texts: &mut Texts,
        shares: &mut [usize],
    ) -> Self {
        let (head, tail) = around(base);
        let mut table = Self {
            base,
            lists: RefCell::default(),
            rows: Vec::new(),
            inside: HashMap::new(),
            // After the last row stands no comma.
            bytes: head.len() + tail.len() - ",".len(),
            head,
            tail,
        };
        for (name, namer) in names(ground, cluster, base) {
            let lookup = lookup(&name);
            let covering = if name.is_empty() {
                Covering::By(Vec::new())
            } else {
                cluster.covering(&lookup.plain)
            };
            let base = table
                .lists
                .get_mut()
                .ids(base.docker_rules(&lookup.written), texts);
            let parts = Parts {
                default: ground.default(),
                base: ground.own(&name, &base),
                covering: match &covering {
                    Covering::Exempt => None,
                    Covering::Refused => Some(refused()),
                    Covering::By(numbers) => Some(rules(cluster, numbers, true)),
                },
                cluster: covering,
                namer,
            };
            let row = parts.row(name, texts, shares);
            table.bytes += row.bytes;
            if table.bytes > most {
                table.rows = Vec::new();
                if table.bytes > COUNTED * most {
                    break;
                }
                continue;
            }
            for wider in &lookup.plain {
                if let Some(scope) = ground.of_namespaces.get(wider.as_str()) {
                    let inside = table.inside.entry(scope).or_default();
                    inside.push(table.rows.len());
                }
            }
            table.rows.push(row);
        }
        table
    }

    /// The file of a namespace with these policies: what it has in place of rows, and beside them.
    pub(super) fn overlay(
        &self,
        ground: &Ground<'a>,
        (cluster, own): (&Layer<'a>, &Layer<'a>),
        most: usize,
        texts: &mut Texts,
        shares: &mut [usize],
    ) -> Overlay {
        let mut names: BTreeMap<String, Option<usize>> = BTreeMap::new();
        for (number, standing) in own.standing.iter().enumerate() {
            for name in standing.names() {
                names.entry(name).or_insert(Some(number));
            }
            for scope in standing.policy.scopes() {
                for &at in self.inside.get(scope.as_str()).into_iter().flatten() {
                    names.insert(self.rows[at].name.clone(), None);
                }
            }
        }
        let mut overlay = Overlay {
            rows: BTreeMap::new(),
            bytes: self.bytes,
        };
        for (name, namer) in names {
            let lookup = lookup(&name);
            let known = self.rows.binary_search_by(|row| row.name.cmp(&name)).ok();
            let known = known.map(|at| &self.rows[at]);
            let clusters = match known {
                Some(row) => row.covering.clone(),
                None => cluster.covering(&lookup.plain),
            };
            let own_rules = self.base.docker_rules(&lookup.written);
            let base = self.lists.borrow_mut().ids(own_rules, texts);
            let covering = match (&clusters, own.covering(&lookup.plain)) {
                (Covering::By(clusters), Covering::By(numbers)) => {
                    let mut all = rules(cluster, clusters, false);
                    all.extend(rules(own, &numbers, true));
                    Some(all)
                }
                (Covering::Refused, _) | (_, Covering::Refused) => Some(refused()),
                (Covering::Exempt, _) | (_, Covering::Exempt) => None,
            };
            let parts = Parts {
                default: ground.default(),
                base: ground.own(&name, &base),
                covering,
                cluster: clusters,
                namer: namer.filter(|_| known.is_none()),
            };
            let replaced = known.map_or(0, |row| row.bytes);
            let row = parts.row(name.clone(), texts, shares);
            overlay.bytes = overlay.bytes + row.bytes - replaced;
            if overlay.bytes > most {
                overlay.rows.clear();
                if overlay.bytes > COUNTED * most {
                    break;
                }
                continue;
            }
            overlay.rows.insert(name, row);
        }
        overlay
    }

    /// The file, with what a namespace changes in it.
    pub(super) fn write(&self, overlay: Option<&Overlay>, texts: &Texts) -> Vec<u8> {
        let changed = overlay.map(|overlay| &overlay.rows);
        let kept = self.rows.iter();
        let kept = kept.filter(|row| changed.is_none_or(|rows| !rows.contains_key(&row.name)));
        let mut rows: Vec<&Row> = kept
            .chain(changed.into_iter().flat_map(BTreeMap::values))
            .collect();
        rows.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let bytes = overlay.map_or(self.bytes, |overlay| overlay.bytes);
        let mut file = Vec::with_capacity(bytes);
        file.extend_from_slice(&self.head);
        for (at, row) in rows.into_iter().enumerate() {
            file.extend_from_slice(if at == 0 { b"\n" } else { b",\n" });
            texts.write(&row.name, &row.rules, &mut file);
        }
        file.extend_from_slice(&self.tail);
        debug_assert_eq!(file.len(), bytes, "what was counted is what is written");
        file
    }
}

/// Every scope of the table, with the policy but for which it would not be there.
fn names(
    ground: &Ground<'_>,
    cluster: &Layer<'_>,
    base: &PolicyJson,
) -> BTreeMap<String, Option<usize>> {
    let settings = ground.bundle.settings();
    let NodeFacts {
        exempt,
        accepted,
        refused,
    } = ground.node;
    let exempt = settings.exempt_images.iter().chain(exempt);
    let nodes = exempt.chain(accepted).chain(refused);
    let nodes = nodes.flat_map(|scope: &Scope| [Some(scope.clone()), scope.twin()]);
    let mut names: BTreeMap<String, Option<usize>> = nodes
        .flatten()
        .map(|scope| (scope.to_string(), None))
        .collect();
    let own = base.transports.0.get("docker").into_iter();
    names.extend(own.flat_map(|scopes| scopes.0.keys().map(|name| (name.clone(), None))));
    names.insert(String::new(), None);
    for (number, standing) in cluster.standing.iter().enumerate() {
        for name in standing.names() {
            names.entry(name).or_insert(Some(number));
        }
    }
    names
}

/// The rules of policies, counted to each of them.
fn rules<'a>(layer: &'a Layer<'_>, numbers: &[usize], counted: bool) -> Vec<Part<'a>> {
    let part = |&number: &usize| {
        let rules = layer.standing[number].rules.as_slice();
        (counted.then_some(number), rules)
    };
    numbers.iter().map(part).collect()
}

/// The rule of what is refused, counted to nobody.
fn refused() -> Vec<Part<'static>> {
    vec![(None, &[REJECT])]
}

/// Where CRI-O looks for a scope.
struct Lookup {
    written: Vec<String>,
    /// The twin of a scope has the entries of the scope.
    plain: Vec<String>,
}

fn lookup(name: &str) -> Lookup {
    if name.is_empty() {
        return Lookup {
            written: Vec::new(),
            plain: Vec::new(),
        };
    }
    let written = lookup_of(name);
    let plain = written.iter().map(|name| without_twin_port(name)).collect();
    Lookup { written, plain }
}

/// What stands before and after the scopes of the transport `docker`.
fn around(base: &PolicyJson) -> (Vec<u8>, Vec<u8>) {
    let mut transports: BTreeMap<&str, Option<Vec<u8>>> = base
        .transports
        .0
        .iter()
        .map(|(transport, scopes)| (transport.as_str(), Some(indented(scopes, 4))))
        .collect();
    let accept = Rules::one(Rule::InsecureAcceptAnything {});
    if base.default == accept {
        let scopes = BTreeMap::from([("", &accept)]);
        let daemon = transports.entry("docker-daemon");
        daemon.or_insert_with(|| Some(indented(&scopes, 4)));
    }
    transports.insert("docker", None);
    let mut parts: [Vec<u8>; 2] = [b"{\n  \"default\": ".to_vec(), Vec::new()];
    parts[0].extend(indented(&base.default, 2));
    parts[0].extend(b",\n  \"transports\": {");
    let mut at = 0;
    for (number, (transport, scopes)) in transports.into_iter().enumerate() {
        parts[at].extend_from_slice(if number == 0 { b"\n    " } else { b",\n    " });
        parts[at].extend(name(transport));
        parts[at].extend(b": ");
        if let Some(scopes) = scopes {
            parts[at].extend(scopes);
        } else {
            parts[at].push(b'{');
            at = 1;
            parts[at].extend(b"\n    }");
        }
    }
    parts[1].extend(b"\n  }\n}\n");
    let [head, tail] = parts;
    (head, tail)
}
