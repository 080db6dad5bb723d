//! A plugin's settings, each of its type or else a problem with its place.

use super::effective::{Problem, Setting};
use super::value::{Node, Table, Value, field, subtable};

pub(super) fn wrong_type(node: &Node, expected: &str) -> Problem {
    let key = node.origin.key.join(".");
    Problem {
        message: format!(
            "`{key}` is {}, expected {expected}, so containerd does not load it",
            node.value.kind()
        ),
        origin: Some(node.origin.clone()),
    }
}

/// The value of a field if it is of the right type; a problem otherwise.
fn of_type<T>(
    table: &Table,
    key: &str,
    expected: &str,
    problems: &mut Vec<Problem>,
    of: impl Fn(&Value) -> Option<T>,
) -> Option<Setting<T>> {
    let node = field(table, key)?;
    let value = of(&node.value);
    if value.is_none() {
        problems.push(wrong_type(node, expected));
    }
    value.map(|value| Setting {
        value,
        origin: Some(node.origin.clone()),
    })
}

pub(super) fn text(
    table: &Table,
    key: &str,
    problems: &mut Vec<Problem>,
) -> Option<Setting<String>> {
    of_type(table, key, "a string", problems, |value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    })
}

pub(super) fn boolean(
    table: &Table,
    key: &str,
    default: bool,
    problems: &mut Vec<Problem>,
) -> Setting<bool> {
    of_type(table, key, "a boolean", problems, |value| match value {
        Value::Bool(boolean) => Some(*boolean),
        _ => None,
    })
    .unwrap_or_else(|| Setting::default_of(default))
}

pub(super) fn integer(
    table: &Table,
    key: &str,
    default: i64,
    problems: &mut Vec<Problem>,
) -> Setting<i64> {
    of_type(table, key, "an integer", problems, |value| match value {
        Value::Integer(number) => Some(*number),
        _ => None,
    })
    .unwrap_or_else(|| Setting::default_of(default))
}

pub(super) fn entries(table: &Table, key: &str, problems: &mut Vec<Problem>) -> Setting<usize> {
    of_type(table, key, "a table", problems, |value| match value {
        Value::Table(table) => Some(table.len()),
        _ => None,
    })
    .unwrap_or_else(|| Setting::default_of(0))
}

pub(super) fn checked_table<'a>(
    table: &'a Table,
    key: &str,
    problems: &mut Vec<Problem>,
) -> Option<&'a Table> {
    let node = field(table, key)?;
    if !matches!(node.value, Value::Table(_)) {
        problems.push(wrong_type(node, "a table"));
    }
    subtable(table, key)
}

/// Go's `time.ParseDuration` in milliseconds, rounded down: `10s`, `1m30s`, `-1.5h`, `0`.
pub(super) fn duration_ms(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    // In nanoseconds, so that a fraction of a second stays whole.
    let mut total = 0_i64;
    let mut parts = 0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let whole: i64 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        total = total.checked_add(whole.checked_mul(factor)?)?;
        let mut place = factor;
        for digit in fraction.bytes().take(18) {
            place /= 10;
            total = total.checked_add(place.checked_mul(i64::from(digit - b'0'))?)?;
        }
        parts += 1;
        rest = tail;
    }
    let milliseconds = total / 1_000_000;
    (parts > 0).then_some(if negative {
        -milliseconds
    } else {
        milliseconds
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        for (text, expected) in [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),
            (".5s", Some(500)),
            ("1.s", Some(1_000)),
            ("-2h", Some(-7_200_000)),
            ("+1ms", Some(1)),
            ("0", Some(0)),
            ("999us", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("3d", None),
            ("99999999999999h", None),
        ] {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
    }
}
