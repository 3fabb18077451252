use std::collections::BTreeMap;

use super::super::template::Route;

/// A route that fits a request, and its path parameters (still encoded).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) route: &'a Route,
    pub(super) parameters: BTreeMap<String, String>,
}

/// Finds the resource of a path, then the method: a resource without it is not a route, even if a
/// less exact resource has it. Literal parts go before `{name}`, and those before `{name+}`.
pub(super) fn find<'a>(routes: &'a [Route], method: &str, path: &str) -> Option<Found<'a>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let (_, resource, parameters) = routes
        .iter()
        .filter_map(|route| {
            let (exactness, parameters) = fit(&route.path, path)?;
            Some((exactness, &route.path, parameters))
        })
        .min_by(|one, other| one.0.cmp(&other.0))?;
    let of_method = |wanted: &str| {
        routes.iter().find(|route| route.path == *resource && route.method == wanted)
    };
    let route = of_method(method).or_else(|| of_method("ANY"))?;
    Some(Found { route, parameters })
}

/// How exactly each part of a resource fits (the less the better), and the parameters.
fn fit(resource: &str, path: &str) -> Option<(Vec<u8>, BTreeMap<String, String>)> {
    let mut exactness = Vec::new();
    let mut parameters = BTreeMap::new();
    let mut rest = path.strip_prefix('/')?;
    let mut parts = resource.strip_prefix('/')?.split('/').peekable();
    while let Some(part) = parts.next() {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        if let Some(greedy) = name.and_then(|name| name.strip_suffix('+')) {
            if rest.is_empty() {
                return None;
            }
            exactness.push(2);
            parameters.insert(greedy.to_owned(), rest.to_owned());
            return Some((exactness, parameters));
        }
        let (head, tail) = rest.split_once('/').map_or((rest, None), |(a, b)| (a, Some(b)));
        match name {
            Some(name) if !head.is_empty() => {
                exactness.push(1);
                parameters.insert(name.to_owned(), head.to_owned());
            }
            None if part == head => exactness.push(0),
            _ => return None,
        }
        match (tail, parts.peek()) {
            (Some(tail), Some(_)) => rest = tail,
            (None, None) => return Some((exactness, parameters)),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::template::{Integration, Invoked};
    use super::*;

    fn routes() -> Vec<Route> {
        [
            ("ANY", "/v1/{proxy+}"),
            ("OPTIONS", "/v1/{proxy+}"),
            ("GET", "/healthz"),
            ("ANY", "/api/v1/keys"),
            ("ANY", "/api/v1/keys/{proxy+}"),
            ("ANY", "/api/v1/{proxy+}"),
            ("GET", "/api/v1/openapi.json"),
            ("GET", "/things/{thing}/parts"),
        ]
        .map(|(method, path)| Route {
            path: path.into(),
            method: method.into(),
            integration: Integration::Function(Invoked {
                name: String::new(),
                streamed: false,
                timeout: Duration::ZERO,
            }),
            authorizer: None,
        })
        .into()
    }

    fn found(method: &str, path: &str) -> Option<String> {
        let routes = routes();
        let found = find(&routes, method, path)?;
        let parameters: Vec<_> =
            found.parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        Some(format!("{} {}{}", found.route.method, found.route.path, parameters.concat()))
    }

    #[test]
    fn the_most_exact_resource_is_found_and_then_its_method() {
        let cases = [
            ("POST", "/v1/chat/completions", "ANY /v1/{proxy+} proxy=chat/completions"),
            ("OPTIONS", "/v1/models", "OPTIONS /v1/{proxy+} proxy=models"),
            ("GET", "/healthz", "GET /healthz"),
            ("GET", "/healthz/", "GET /healthz"),
            ("POST", "/api/v1/keys", "ANY /api/v1/keys"),
            ("GET", "/api/v1/keys/k1", "ANY /api/v1/keys/{proxy+} proxy=k1"),
            ("GET", "/api/v1/keysmith", "ANY /api/v1/{proxy+} proxy=keysmith"),
            ("GET", "/api/v1/models/a/b", "ANY /api/v1/{proxy+} proxy=models/a/b"),
            ("GET", "/api/v1/openapi.json", "GET /api/v1/openapi.json"),
            ("GET", "/things/7/parts", "GET /things/{thing}/parts thing=7"),
        ];
        for (method, path, expected) in cases {
            assert_eq!(found(method, path).as_deref(), Some(expected), "{method} {path}");
        }
    }

    #[test]
    fn what_has_no_resource_or_no_method_is_not_found() {
        let cases = [
            ("POST", "/healthz"),
            ("PUT", "/api/v1/openapi.json"),
            ("GET", "/v1"),
            ("GET", "/v1/"),
            ("GET", "/"),
            ("GET", ""),
            ("GET", "/healthz/more"),
            ("GET", "/things/7"),
            ("GET", "/things//parts"),
        ];
        for (method, path) in cases {
            assert_eq!(found(method, path), None, "{method} {path}");
        }
    }
}
