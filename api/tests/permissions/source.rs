//! The routes as the source of the crate names them.

use std::path::Path;

/// The sources of the crate.
pub(crate) fn sources() -> Vec<String> {
    fn read(directory: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut all = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    all
}

#[test]
fn routes_that_could_not_be_named_are_seen() {
    for unreadable in [
        r#".route("/a", any(handler))"#,
        r#".route("/a", get(handler).on(MethodFilter::PUT, other))"#,
        r#".route("/a", axum::routing::any(handler))"#,
        r#".route("/a", get(handler).fallback(other))"#,
        ".route(PATH, get(handler))",
        r#".route("/a", handlers)"#,
        r#".nest("/a", other)"#,
        r#".nest_service("/a", other)"#,
        r#".route_service("/a", other)"#,
        ".fallback_service(other)",
    ] {
        assert!(routes_in(unreadable).is_err(), "{unreadable}");
    }
    let readable = r#".route("/a", get(|a| any(a)).post(b))"#;
    let of = |method: &str| (method.to_owned(), "/a".to_owned());
    assert_eq!(routes_in(readable), Ok(vec![of("GET"), of("POST")]));
}

/// The methods and paths of `.route("PATH", get(…).post(…))`; an error for what may lead to a
/// handler in another way.
pub(crate) fn routes_in(source: &str) -> Result<Vec<(String, String)>, String> {
    const OTHERS: [&str; 4] = [".nest(", ".nest_service(", ".route_service(", ".fallback_service("];
    if let Some(other) = OTHERS.into_iter().find(|other| source.contains(other)) {
        return Err(format!("`{other}` leads to handlers that this test does not see"));
    }
    let mut routes = Vec::new();
    for call in source.split(".route(").skip(1) {
        let path = call.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let (path, rest) = path.ok_or("a route without its path beside it")?;
        let handlers = outer_calls(rest.trim_start().trim_start_matches(','));
        if handlers.is_empty() {
            return Err(format!("`{path}` has no handler beside it"));
        }
        for method in handlers {
            if !["get", "post", "put", "delete", "patch"].contains(&method) {
                return Err(format!("`{path}` has handlers by `{method}`"));
            }
            routes.push((method.to_uppercase(), path.to_owned()));
        }
    }
    Ok(routes)
}

/// `get` and `post` of `get(…).post(…)) …`.
fn outer_calls(text: &str) -> Vec<&str> {
    let mut calls = Vec::new();
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => {
                if depth == 0 {
                    calls.push(text[begin..at].trim());
                }
                depth += 1;
            }
            ')' if depth == 0 => break,
            ')' => depth -= 1,
            '.' if depth == 0 => begin = at + 1,
            _ => {}
        }
    }
    calls
}
