//! Go's `filepath.Clean`, `filepath.Match` and `filepath.Glob` for absolute Unix paths.
//!
//! containerd expands `imports` with them, and they differ from a shell's: `*` and `?` match a
//! leading dot, a class is negated by `^`, there is no `**`, and matches come in byte order of
//! their names, folder by folder (Go's `path/filepath`, match.go).

use std::io;

use super::files::Files;

/// How many paths one pattern may give.
const MAX_MATCHES: usize = 1_000;

/// Removes empty parts, `.` and `..` from an absolute path (`filepath.Clean`).
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The folder of an absolute path (`filepath.Dir`).
pub(super) fn folder(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// An `imports` entry as an absolute path or pattern
/// (`cmd/containerd/server/config/config.go@2.2.1:resolveImports`, the same in all versions).
pub(super) fn absolute(entry: &str, importer: &str) -> String {
    if entry.starts_with('/') {
        clean(entry)
    } else {
        clean(&format!("{}/{entry}", folder(importer)))
    }
}

/// containerd takes an entry as a pattern only when it holds a star (`resolveImports`).
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains('*')
}

fn has_meta(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// Why a pattern gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum GlobError {
    #[error("the pattern is malformed")]
    Pattern,
    #[error("it matches more than {MAX_MATCHES} paths")]
    TooMany,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// All paths that match, in Go's order. Folders that cannot be read are an error here; Go passes
/// over them, but a configuration that cannot be read in full must not be judged.
pub(super) fn glob(files: &(impl Files + ?Sized), pattern: &str) -> Result<Vec<String>, GlobError> {
    matches(pattern, "").ok_or(GlobError::Pattern)?;
    let (dir, name) = (folder(pattern), pattern.rsplit('/').next().unwrap_or(""));
    let dirs = if has_meta(dir) {
        glob(files, dir)?
    } else {
        vec![dir.to_owned()]
    };
    let mut found = Vec::new();
    for dir in dirs {
        let Some(mut names) = files.list(&dir)? else {
            continue;
        };
        names.sort_unstable();
        for entry in names {
            if matches(name, &entry).ok_or(GlobError::Pattern)? {
                found.push(clean(&format!("{dir}/{entry}")));
            }
            if found.len() > MAX_MATCHES {
                return Err(GlobError::TooMany);
            }
        }
    }
    Ok(found)
}

/// Whether the whole of `name` matches; `None` for a malformed pattern (`filepath.Match`).
pub(super) fn matches(pattern: &str, name: &str) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let tokens = tokens(&pattern)?;
    let name: Vec<char> = name.chars().collect();
    // Which tokens may come next, after each character: linear, however many stars there are.
    let mut states = vec![false; tokens.len() + 1];
    states[0] = true;
    let skip_stars = |states: &mut Vec<bool>| {
        for (at, token) in tokens.iter().enumerate() {
            if states[at] && matches!(token, Token::Star) {
                states[at + 1] = true;
            }
        }
    };
    skip_stars(&mut states);
    for c in name {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate() {
            if !states[at] {
                continue;
            }
            match token {
                Token::Star if c != '/' => next[at] = true,
                Token::Any if c != '/' => next[at + 1] = true,
                Token::One(one) if *one == c => next[at + 1] = true,
                Token::Class { negated, ranges }
                    if c != '/'
                        && ranges.iter().any(|(l, h)| (*l..=*h).contains(&c)) != *negated =>
                {
                    next[at + 1] = true;
                }
                _ => {}
            }
        }
        states = next;
        skip_stars(&mut states);
    }
    Some(states[tokens.len()])
}

enum Token {
    Star,
    Any,
    One(char),
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

fn tokens(pattern: &[char]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.iter().copied().peekable();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => Token::One(rest.next()?),
            '[' => {
                let negated = rest.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                // The first character of a class may not be its end.
                while ranges.is_empty() || rest.peek() != Some(&']') {
                    let mut one = || match rest.next()? {
                        '-' | ']' => None,
                        '\\' => rest.next(),
                        c => Some(c),
                    };
                    let low = one()?;
                    let high = if rest.next_if_eq(&'-').is_some() {
                        match rest.next()? {
                            '-' | ']' => return None,
                            '\\' => rest.next()?,
                            c => c,
                        }
                    } else {
                        low
                    };
                    ranges.push((low, high));
                }
                rest.next();
                Token::Class { negated, ranges }
            }
            c => Token::One(c),
        });
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::super::samples::Node;
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        // From path/filepath/match_test.go, and what a drop-in folder has.
        for (pattern, name, expected) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "ab/c", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[^e-g]", "abc", Some(true)),
            ("ab[^c]", "abc", Some(false)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("a[", "a", None),
            ("*.toml", ".hidden.toml", Some(true)),
            ("*.toml", "zz.toml.tmp", Some(false)),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_cost_little() {
        let pattern = "a*".repeat(200) + "b";
        assert_eq!(matches(&pattern, &"a".repeat(2_000)), Some(false));
    }

    #[test]
    fn paths_are_found_folder_by_folder_in_the_order_of_names() {
        let node = Node::new(&[
            ("/etc/c/b/2.toml", ""),
            ("/etc/c/a/9.toml", ""),
            ("/etc/c/a/.h.toml", ""),
            ("/etc/c/a/x.txt", ""),
            ("/etc/c/file", ""),
        ]);
        let found = glob(&node, "/etc/c/*/*.toml").unwrap();
        assert_eq!(
            found,
            ["/etc/c/a/.h.toml", "/etc/c/a/9.toml", "/etc/c/b/2.toml"]
        );
        assert!(glob(&node, "/etc/none/*.toml").unwrap().is_empty());
        assert!(matches!(glob(&node, "/etc/c/[*"), Err(GlobError::Pattern)));
    }

    #[test]
    fn entries_are_relative_to_the_file_that_imports_them() {
        assert_eq!(
            absolute("conf.d/*.toml", "/etc/c/config.toml"),
            "/etc/c/conf.d/*.toml"
        );
        assert_eq!(absolute("../x.toml", "/etc/c/config.toml"), "/etc/x.toml");
        assert_eq!(absolute("/a//b/./c/../d", "/etc/c/config.toml"), "/a/b/d");
        assert_eq!(absolute("x", "/config.toml"), "/x");
    }
}
