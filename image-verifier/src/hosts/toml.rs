//! `hosts.toml`, as containerd reads it (`core/remotes/docker/config/hosts.go`).

use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::{Address, Capabilities, Host, duration};
use crate::reason::quoted;

/// Why a file is not usable, in words for a message.
pub(super) type Bad = String;

/// The hosts of a file in their order; the last is the server itself. `folder` is where relative
/// paths begin, `upstream` the address of the image's own host.
pub(super) fn parse(text: &str, folder: &Path, upstream: &Host) -> Result<Vec<Host>, Bad> {
    let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        // Without the excerpt: it may hold a header with a secret.
        let line = error.span().map_or(0, |span| {
            text.get(..span.start)
                .map_or(0, |before| before.lines().count())
        });
        format!("no TOML near line {}: {}", line.max(1), error.message())
    })?;
    let root = document.as_table();
    let mut hosts = Vec::new();
    match root.get("host") {
        None => {}
        Some(Item::Table(tables)) => {
            for (name, item) in tables {
                let table = item
                    .as_table_like()
                    .ok_or_else(|| format!("`host.{name}` is not a table"))?;
                let host = read(table, name, folder)?;
                // containerd finds the order of hosts by their headers `[host."..."]`, and knows
                // only those.
                if item.as_table().is_some_and(|table| !table.is_dotted()) {
                    hosts.push(host.ok_or_else(|| format!("`host.{name}` names no host"))?);
                }
            }
        }
        Some(Item::Value(Value::InlineTable(tables))) => {
            for (name, value) in tables {
                let table = value.as_inline_table().map(|table| table as &dyn TableLike);
                read(
                    table.ok_or("`host` is not a table of tables")?,
                    name,
                    folder,
                )?;
            }
        }
        Some(_) => return Err("`host` is not a table of tables".to_owned()),
    }
    let server = match root.get("server") {
        None => "",
        Some(item) => item.as_str().ok_or("`server` is not a string")?,
    };
    hosts.push(last(root, server, folder, upstream)?);
    Ok(hosts)
}

/// The server: without a name it is the image's own host, with the file's settings for TLS and
/// headers.
fn last(root: &Table, server: &str, folder: &Path, upstream: &Host) -> Result<Host, Bad> {
    if let Some(host) = read(root, server, folder)? {
        return Ok(host);
    }
    let settings = settings(root, folder)?;
    Ok(Host {
        header: settings.header,
        ca: settings.ca,
        client: settings.client,
        skip_verify: settings.skip_verify,
        dial_timeout: settings.dial_timeout,
        ..upstream.clone()
    })
}

/// The host at `name` with the settings of `table`; nothing if the name holds no host.
fn read(table: &dyn TableLike, name: &str, folder: &Path) -> Result<Option<Host>, Bad> {
    let settings = settings(table, folder)?;
    let override_path = match table.get("override_path") {
        None => false,
        Some(item) => item
            .as_bool()
            .ok_or("`override_path` is not true or false")?,
    };
    let address = address(name, override_path)?;
    Ok(address.map(|address| Host {
        address,
        ..settings
    }))
}

/// The address that a server's name stands for. A path gets `/v2` at its end unless it is there
/// already, or `override_path` says that it is the whole path.
///
/// What Go's `url.Parse` refuses is refused: the parser here would drop control characters, and take
/// `\` for `/`, so that the host would be another one than containerd's.
fn address(name: &str, override_path: bool) -> Result<Option<Address>, Bad> {
    if name.is_empty() {
        return Ok(None);
    }
    let url = if name.starts_with("http") {
        name.to_owned()
    } else {
        format!("https://{name}")
    };
    let bad = || {
        // Without what may be a password.
        let shown = name.rsplit('@').next().unwrap_or_default();
        format!("the server {} is not a URL", quoted(shown))
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
    if !matches!(scheme, "http" | "https") {
        return Err(bad());
    }
    let rest = rest.split('#').next().unwrap_or_default();
    if rest.contains(|c: char| c.is_ascii_control()) {
        return Err(bad());
    }
    let rest = rest.split('?').next().unwrap_or_default();
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (user, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
    if !user.chars().all(is_of_a_user) || !authority.chars().all(is_of_a_host) {
        return Err(bad());
    }
    if authority.is_empty() || reqwest::Url::parse(&format!("{scheme}://{authority}/")).is_err() {
        return Err(bad());
    }
    // As Go writes it in a request.
    let mut path = clean(path).replace('\\', "%5C");
    if !override_path && !path.ends_with("/v2") {
        path.push_str("/v2");
    }
    Ok(Some(Address {
        plain: scheme == "http",
        authority: authority.to_owned(),
        path,
    }))
}

/// Whether Go takes a character for one of a host and its port (`net/url`, `shouldEscape`). A `%` it
/// takes before what is no ASCII alone, which no registry is called.
fn is_of_a_host(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"".contains(c)
}

/// The same of a user and password before the host (`validUserinfo`), which count for nothing here.
fn is_of_a_user(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c)
}

/// A path without empty and dot segments: `/a/b`, or nothing for the root.
fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    kept.iter().flat_map(|segment| ["/", segment]).collect()
}

/// What a table says about any host; the address is still empty.
fn settings(table: &dyn TableLike, folder: &Path) -> Result<Host, Bad> {
    let mut host = Host::default();
    let absolute = |path: &str| folder.join(path);
    if let Some(item) = table.get("capabilities") {
        let names = strings(item).ok_or("`capabilities` is not a list of strings")?;
        if !names.is_empty() {
            host.capabilities = Capabilities::default();
        }
        for name in names {
            let own = &mut host.capabilities;
            match name.to_ascii_lowercase().as_str() {
                "pull" => own.pull = true,
                "resolve" => own.resolve = true,
                "referrers" => own.referrers = true,
                "push" => {}
                _ => return Err(format!("the capability `{name}` is not known")),
            }
        }
    }
    if let Some(item) = table.get("ca") {
        let paths = one_or_more(item).ok_or("`ca` is not a string or a list of strings")?;
        host.ca = Some(paths.into_iter().map(absolute).collect());
    }
    if let Some(item) = table.get("client") {
        let bad = "`client` is not a string, a list of strings, or a list of pairs";
        if let Some(path) = item.as_str() {
            host.client.push((absolute(path), None));
        } else {
            for value in item.as_array().ok_or(bad)? {
                match (value.as_str(), value.as_array()) {
                    (Some(path), _) => host.client.push((absolute(path), None)),
                    (_, Some(pair)) => {
                        let pair: Option<Vec<&str>> = pair.iter().map(Value::as_str).collect();
                        let [certificate, key] = pair.as_deref().ok_or(bad)? else {
                            return Err("a pair of `client` has not two files".to_owned());
                        };
                        host.client
                            .push((absolute(certificate), Some(absolute(key))));
                    }
                    _ => return Err(bad.to_owned()),
                }
            }
        }
    }
    if let Some(item) = table.get("skip_verify") {
        host.skip_verify = Some(item.as_bool().ok_or("`skip_verify` is not true or false")?);
    }
    if let Some(item) = table.get("header") {
        let header = item.as_table_like().ok_or("`header` is not a table")?;
        for (name, item) in header.iter() {
            let values = one_or_more(item);
            let values =
                values.ok_or_else(|| format!("the header `{name}` is not a string or a list"))?;
            let own = |value: &str| (name.to_owned(), value.to_owned());
            host.header.extend(values.into_iter().map(own));
        }
    }
    if let Some(item) = table.get("dial_timeout") {
        let text = item.as_str().ok_or("`dial_timeout` is not a string")?;
        if !text.is_empty() {
            let time = duration::parse(text);
            host.dial_timeout = Some(time.ok_or("`dial_timeout` is not a duration such as `5s`")?);
        }
    }
    Ok(host)
}

fn strings(item: &Item) -> Option<Vec<&str>> {
    item.as_array()?.iter().map(Value::as_str).collect()
}

fn one_or_more(item: &Item) -> Option<Vec<&str>> {
    item.as_str().map(|one| vec![one]).or_else(|| strings(item))
}

#[cfg(test)]
mod tests;
