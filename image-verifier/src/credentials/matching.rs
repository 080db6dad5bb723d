//! Which credentials are for which image: the kubelet's rules (`pkg/credentialprovider/keyring.go`).
//!
//! A pattern is `host[:port][/path]`. Its host is compared label by label, each of which may hold
//! wildcards; the port has to be equal, and the path is a prefix of the image's.

/// Whether `pattern` covers `image` (`host[:port]/path`, neither tag nor digest).
pub(super) fn covers(pattern: &str, image: &str) -> bool {
    let (wanted, path) = split(pattern);
    let (host, image_path) = split(image);
    let (wanted, port) = host_and_port(wanted);
    let (host, image_port) = host_and_port(host);
    let labels: Vec<&str> = wanted.split('.').collect();
    let image_labels: Vec<&str> = host.split('.').collect();
    port == image_port
        && labels.len() == image_labels.len()
        && image_path.starts_with(path)
        && labels
            .iter()
            .zip(image_labels)
            .all(|(pattern, label)| label_matches(pattern, label))
}

/// The pattern that a key of Docker's `auths` stands for: without scheme, and without the version
/// of the API that old tools wrote.
pub(super) fn key(text: &str) -> String {
    let bare = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .unwrap_or(text);
    let (host, path) = split(bare);
    let path = ["/v1/", "/v2/"]
        .iter()
        .find_map(|version| path.strip_prefix(version).map(|rest| format!("/{rest}")))
        .unwrap_or_else(|| path.to_owned());
    if path == "/" {
        return host.to_owned();
    }
    format!("{host}{path}")
}

fn split(text: &str) -> (&str, &str) {
    text.find('/')
        .map_or((text, ""), |slash| text.split_at(slash))
}

fn host_and_port(authority: &str) -> (&str, &str) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (authority, ""),
    }
}

/// Go's `filepath.Match` for one label: `*`, `?`, `[a-z]`, `[^a-z]` and `\` before any of them. A
/// pattern that is not well formed matches nothing.
fn label_matches(pattern: &str, label: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let label: Vec<char> = label.chars().collect();
    matches(&pattern, &label)
}

fn matches(mut pattern: &[char], mut label: &[char]) -> bool {
    // Where to go on when a character does not fit: after the last `*`, one further in the label.
    let mut star: Option<(&[char], &[char])> = None;
    loop {
        let step = match pattern {
            ['*', rest @ ..] => {
                star = Some((rest, label));
                pattern = rest;
                continue;
            }
            [] if label.is_empty() => return true,
            [] => None,
            _ => one(pattern, label.first().copied()),
        };
        if let (Some(rest), [_, after @ ..]) = (step, label) {
            (pattern, label) = (rest, after);
            continue;
        }
        let Some((after_star, [_, further @ ..])) = star else {
            return false;
        };
        star = Some((after_star, further));
        (pattern, label) = (after_star, further);
    }
}

/// The rest of the pattern after its first part, if that matches the character.
fn one(pattern: &[char], c: Option<char>) -> Option<&[char]> {
    let c = c?;
    match pattern {
        ['?', rest @ ..] => Some(rest),
        ['[', '^', class @ ..] => class_of(class, c).and_then(|(hit, rest)| (!hit).then_some(rest)),
        ['[', class @ ..] => class_of(class, c).and_then(|(hit, rest)| hit.then_some(rest)),
        ['\\'] | [] => None,
        ['\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == c).then_some(rest),
    }
}

/// Whether a class that begins here holds `c`, and what comes after it.
fn class_of(mut class: &[char], c: char) -> Option<(bool, &[char])> {
    let mut hit = false;
    let mut first = true;
    loop {
        match class {
            [']', rest @ ..] if !first => return Some((hit, rest)),
            [low, '-', high, rest @ ..] if *high != ']' => {
                hit |= (*low..=*high).contains(&c);
                class = rest;
            }
            ['\\', literal, rest @ ..] => {
                hit |= *literal == c;
                class = rest;
            }
            [literal, rest @ ..] if *literal != ']' => {
                hit |= *literal == c;
                class = rest;
            }
            _ => return None,
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_images_as_for_the_kubelet() {
        for (pattern, image) in [
            ("a.example", "a.example/x/y"),
            ("*.example", "a.example/x"),
            ("a.example:5000", "a.example:5000/x"),
            ("a.example/x", "a.example/x/y"),
            // A prefix of the text, not of whole names: so it is there.
            ("a.example/x", "a.example/xy"),
            (
                "*.dkr.ecr.*.amazonaws.com",
                "1.dkr.ecr.eu-1.amazonaws.com/x",
            ),
            ("a?c.ex[a-c]mple", "abc.example/x"),
            ("[^x]*z.example", "abcz.example/x"),
            ("*a*b.example", "xaxxb.example/x"),
            ("a\\b.example", "ab.example/x"),
            ("localhost", "localhost/x"),
        ] {
            assert!(covers(pattern, image), "{pattern} {image}");
        }
        for (pattern, image) in [
            ("a.example", "b.example/x"),
            ("*.example", "a.b.example/x"),
            ("*", "a.example/x"),
            ("a.example", "a.example:5000/x"),
            ("a.example:5000", "a.example/x"),
            ("a.example:*", "a.example:5000/x"),
            ("a.example/x/", "a.example/x"),
            ("a.example/*", "a.example/x"),
            ("a\\*.example", "ab.example/x"),
            ("a\\", "a/x"),
            ("a[.example", "a.example/x"),
            ("[^a].example", "a.example/x"),
            ("*a*b.example", "xbxxa.example/x"),
            ("", "a.example/x"),
        ] {
            assert!(!covers(pattern, image), "{pattern} {image}");
        }
    }

    #[test]
    fn keys_of_docker_lose_scheme_and_version() {
        for (text, expected) in [
            ("https://index.docker.io/v1/", "index.docker.io"),
            ("a.example", "a.example"),
            ("http://a.example:5000", "a.example:5000"),
            ("https://a.example/", "a.example"),
            ("a.example/v2/team", "a.example/team"),
            ("a.example/team", "a.example/team"),
        ] {
            assert_eq!(key(text), expected, "{text}");
        }
    }
}
