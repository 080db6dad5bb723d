//! The view for people.

use image_verifier::reason::bounded;

use super::view::{Count, Detail, Lag, NodeRow, PolicyRow, RootRow, Rows, RuntimeRow, State, View};
use crate::output::{Paint, Style};

/// The most bytes of a message: agents and users wrote it.
const MAX_MESSAGE: usize = 400;
/// How many characters the bar has.
const BAR: usize = 30;

/// Everything.
pub(super) fn overview(view: &View, paint: Paint) -> Vec<String> {
    let mut lines = vec![headline(view, paint)];
    let config = &view.configuration;
    if config.state != State::Ready {
        let message = bounded(&config.message, MAX_MESSAGE);
        lines.push(paint.apply(
            style(config.state),
            format_args!("{}: {message}", config.reason),
        ));
    }
    if waits(view.nodes.count) {
        lines.push(bar(view.nodes.count, paint));
    }
    policies(&mut lines, &view.policies, paint);
    nodes(&mut lines, &view.nodes, paint);
    roots(&mut lines, &view.trust_roots, paint);
    if !view.lagging.is_empty() {
        lines.push(String::new());
        lines.push(paint.apply(Style::Bold, "WHAT LAGS"));
        lines.extend(view.lagging.iter().map(|lag| of_lag(lag, paint)));
    }
    notes(&mut lines, &view.notes, paint);
    lines
}

/// One policy.
pub(super) fn detail(detail: &Detail, paint: Paint) -> Vec<String> {
    let row = &detail.row;
    let id = paint.apply(Style::Bold, clean(&row.policy));
    let state = paint.apply(style(row.state), word(row.state));
    let mut lines = vec![format!("{id}  {state}  {} nodes, {}", row.nodes, row.mode)];
    if !detail.scopes.is_empty() {
        lines.push(format!(
            "covers {}",
            bounded(&detail.scopes.join(", "), MAX_MESSAGE)
        ));
    }
    if !detail.observed {
        lines.push(format!(
            "{}: {}",
            row.reason,
            bounded(&row.message, MAX_MESSAGE)
        ));
    }
    if !detail.conditions.is_empty() {
        lines.push(String::new());
        let mut table = Table::new(&["CONDITION", "STATUS", "REASON", "MESSAGE"]);
        for condition in &detail.conditions {
            table.row(
                row.state,
                [
                    clean(&condition.kind),
                    clean(&condition.status),
                    clean(&condition.reason),
                    bounded(&condition.message, MAX_MESSAGE),
                ],
            );
        }
        lines.extend(table.lines(paint, false));
    }
    if !detail.failing.is_empty() {
        lines.push(String::new());
        let mut table = Table::new(&["FAILING NODE", "REASON", "MESSAGE"]);
        for node in &detail.failing {
            table.row(
                State::Failed,
                [
                    clean(&node.node),
                    clean(&node.reason),
                    bounded(&node.message, MAX_MESSAGE),
                ],
            );
        }
        lines.extend(table.lines(paint, false));
        let hidden = usize::try_from(row.failed).unwrap_or_default();
        more(
            &mut lines,
            hidden.saturating_sub(detail.failing.len()),
            "nodes that failed",
        );
    }
    if !detail.runtimes.is_empty() {
        lines.push(String::new());
        let mut table = Table::new(&["RUNTIME", "NODES", "READY", "CANNOT ENFORCE IT"]);
        for runtime in &detail.runtimes {
            table.row(State::Ready, of_runtime(runtime));
        }
        lines.extend(table.lines(paint, false));
    }
    notes(&mut lines, &detail.notes, paint);
    lines
}

/// The totals in one line, as they are printed while somebody watches without a terminal.
pub(super) fn totals(view: &View) -> String {
    let mut parts = vec![
        share("policies", view.policies.count),
        share("nodes", view.nodes.count),
    ];
    if view.trust_roots.count.total > 0 {
        parts.push(share("trust roots", view.trust_roots.count));
    }
    parts.join(", ")
}

/// A policy in one line.
pub(super) fn row(row: &PolicyRow) -> String {
    let PolicyRow {
        policy,
        ready,
        reason,
        nodes,
        ..
    } = row;
    let (policy, ready, reason) = (clean(policy), clean(ready), clean(reason));
    format!(
        "policy {policy}: Ready {ready} {reason}, {} nodes",
        clean(nodes)
    )
}

fn share(what: &str, count: Count) -> String {
    let Count {
        ready,
        waiting,
        failed,
        total,
    } = count;
    let mut text = format!("{what} {ready}/{total} ready");
    for (number, word) in [(failed, "failed"), (waiting, "waiting")] {
        if number > 0 {
            text = format!("{text} ({number} {word})");
        }
    }
    text
}

fn headline(view: &View, paint: Paint) -> String {
    let (word, style) = if view.ready {
        ("ready", Style::Green)
    } else {
        ("NOT READY", Style::Red)
    };
    let config = &view.configuration;
    let mut parts = vec![totals(view)];
    parts.push(format!("enforcement {}", config.enforcement));
    parts.push(format!("default {}", config.default_action));
    if !config.present {
        parts.push("no EnforcementConfig".to_owned());
    }
    if let Some(limit) = &config.max_unavailable {
        parts.push(format!("{} at once", clean(limit)));
    }
    if config.paused {
        parts.push(paint.apply(Style::Yellow, "rollouts paused"));
    }
    if config.halted > 0 {
        let halted = format!("{} rollouts halted", config.halted);
        parts.push(paint.apply(Style::Red, halted));
    }
    format!("{}: {}", paint.apply(style, word), parts.join(" · "))
}

fn waits(count: Count) -> bool {
    count.waiting > 0
}

/// How far the nodes are.
fn bar(count: Count, paint: Paint) -> String {
    let Count {
        ready,
        failed,
        total,
        ..
    } = count;
    let of = |part: usize| part * BAR / total.max(1);
    let (done, broken) = (of(ready), of(failed).max(usize::from(failed > 0)));
    let done = done.min(BAR - broken);
    let done_part = paint.apply(Style::Green, "#".repeat(done));
    let broken_part = paint.apply(Style::Red, "!".repeat(broken));
    let rest = "-".repeat(BAR - done - broken);
    let percent = ready * 100 / total.max(1);
    format!("[{done_part}{broken_part}{rest}] {ready}/{total} nodes, {percent} %")
}

fn policies(lines: &mut Vec<String>, rows: &Rows<PolicyRow>, paint: Paint) {
    if rows.items.is_empty() {
        return;
    }
    lines.push(String::new());
    let mut table = Table::new(&["POLICY", "READY", "NODES", "MODE", "REASON"]);
    for row in &rows.items {
        table.row(
            row.state,
            [
                clean(&row.policy),
                clean(&row.ready),
                clean(&row.nodes),
                row.mode.to_owned(),
                clean(&row.reason),
            ],
        );
    }
    lines.extend(table.lines(paint, true));
    more(lines, rows.hidden, "policies (--all shows them)");
}

fn nodes(lines: &mut Vec<String>, rows: &Rows<NodeRow>, paint: Paint) {
    if rows.items.is_empty() {
        return;
    }
    lines.push(String::new());
    let columns = [
        "NODE", "RUNTIME", "VERSION", "DESIRED", "APPLIED", "READY", "REASON",
    ];
    let mut table = Table::new(&columns);
    let known = |text: Option<&String>| text.map_or_else(|| "-".to_owned(), |text| clean(text));
    for row in &rows.items {
        table.row(
            row.state,
            [
                clean(&row.node),
                known(row.runtime.as_ref()),
                known(row.version.as_ref()),
                short(row.desired.as_deref()),
                short(row.applied.as_deref()),
                clean(&row.ready),
                clean(&row.reason),
            ],
        );
    }
    lines.extend(table.lines(paint, true));
    more(lines, rows.hidden, "nodes (--nodes shows them)");
}

fn roots(lines: &mut Vec<String>, rows: &Rows<RootRow>, paint: Paint) {
    if rows.items.is_empty() {
        return;
    }
    lines.push(String::new());
    let mut table = Table::new(&["TRUST ROOT", "READY", "SOURCE", "EXPIRES", "REASON"]);
    for row in &rows.items {
        let expires = row.earliest_expiry;
        table.row(
            row.state,
            [
                clean(&row.trust_root),
                clean(&row.ready),
                row.source.to_owned(),
                expires.map_or_else(|| "-".to_owned(), |time| time.strftime("%F").to_string()),
                clean(&row.reason),
            ],
        );
    }
    lines.extend(table.lines(paint, true));
    more(lines, rows.hidden, "trust roots (--all shows them)");
}

fn of_runtime(row: &RuntimeRow) -> [String; 4] {
    let name = if row.runtime.is_empty() {
        "not told yet".to_owned()
    } else {
        clean(format!("{} {}", row.runtime, row.version).trim())
    };
    let cannot: Vec<String> = row
        .cannot
        .iter()
        .map(|(reason, count)| format!("{} on {count}", clean(reason)))
        .collect();
    let cannot = if cannot.is_empty() {
        "-".to_owned()
    } else {
        cannot.join(", ")
    };
    [name, row.nodes.to_string(), row.ready.to_string(), cannot]
}

fn of_lag(lag: &Lag, paint: Paint) -> String {
    let what = match (lag.kind, lag.count) {
        ("node", 1) => "node".to_owned(),
        ("node", count) => format!("{count} nodes"),
        ("trustRoot", _) => "trust root".to_owned(),
        (kind, _) => kind.to_owned(),
    };
    let names = lag.names.join(", ");
    let others = match lag.count.saturating_sub(lag.names.len()) {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    let reason = paint.apply(style(lag.state), clean(&lag.reason));
    let mut text = format!("{what} {}{others}: {reason}", clean(&names));
    if !lag.message.is_empty() {
        text.push_str(": ");
        text.push_str(&bounded(&lag.message, MAX_MESSAGE));
    }
    if !lag.advice.is_empty() {
        text.push_str(" → ");
        text.push_str(&lag.advice);
    }
    text
}

fn notes(lines: &mut Vec<String>, notes: &[String], paint: Paint) {
    let word = paint.apply(Style::Cyan, "note:");
    lines.extend(
        notes
            .iter()
            .map(|note| format!("{word} {}", bounded(note, MAX_MESSAGE))),
    );
}

fn more(lines: &mut Vec<String>, hidden: usize, what: &str) {
    if hidden > 0 {
        lines.push(format!("… and {hidden} more {what}"));
    }
}

/// The first 12 digits of a bundle's digest.
fn short(bundle: Option<&str>) -> String {
    let digits = bundle.map(|name| name.strip_prefix("sha256-").unwrap_or(name));
    digits.map_or_else(
        || "-".to_owned(),
        |digits| clean(digits.get(..12).unwrap_or(digits)),
    )
}

/// One cell: nothing in it moves the cursor.
fn clean(text: &str) -> String {
    bounded(text, 253)
}

fn style(state: State) -> Style {
    match state {
        State::Failed => Style::Red,
        State::Waiting => Style::Yellow,
        State::Ready => Style::Green,
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Failed => "NOT READY",
        State::Waiting => "on its way",
        State::Ready => "ready",
    }
}

/// Aligned columns.
struct Table<const N: usize> {
    head: [&'static str; N],
    rows: Vec<(State, [String; N])>,
}

impl<const N: usize> Table<N> {
    fn new(head: &[&'static str; N]) -> Self {
        Self {
            head: *head,
            rows: Vec::new(),
        }
    }

    fn row(&mut self, state: State, cells: [String; N]) {
        self.rows.push((state, cells));
    }

    /// With `coloured` the last column has the colour of the row's state.
    fn lines(&self, paint: Paint, coloured: bool) -> Vec<String> {
        let mut widths = self.head.map(|cell| cell.chars().count());
        for (_, cells) in &self.rows {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: [&str; N], last: Option<Style>| {
            let padded = cells.iter().zip(widths).enumerate();
            let padded = padded.map(|(index, (cell, width))| match last {
                _ if index + 1 < N => format!("{cell:width$}"),
                Some(style) => paint.apply(style, cell),
                None => (*cell).to_owned(),
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut lines = vec![paint.apply(Style::Bold, line(self.head, None))];
        lines.extend(self.rows.iter().map(|(state, cells)| {
            let cells = cells.each_ref().map(String::as_str);
            line(cells, coloured.then(|| style(*state)))
        }));
        lines
    }
}
