use serde::de::DeserializeOwned;
use serde_json::Value;

use super::list::{InvalidPriceList, ModelPrices, PriceList};

/// More than anybody reads.
const MOST_PROBLEMS: usize = 100;

impl PriceList {
    /// Reads a list as [`parse`](Self::parse) does, and tells everything that is wrong with it.
    pub fn parse_all(json: &[u8]) -> Result<Self, Vec<InvalidPriceList>> {
        let first = match Self::parse(json) {
            Ok(list) => return Ok(list),
            Err(first) => first,
        };
        let Ok(list) = serde_json::from_slice::<Value>(json) else { return Err(vec![first]) };
        let sections = list.get("providers").and_then(Value::as_object);
        let models = sections.into_iter().flatten().flat_map(|(name, section)| {
            let models = section.get("models").and_then(Value::as_array);
            models
                .into_iter()
                .flatten()
                .enumerate()
                .map(move |(place, model)| (format!("providers.{name}.models[{place}]"), model))
        });
        let problems = models.flat_map(|(place, model)| problems::<ModelPrices>(&place, model));
        let problems: Vec<_> = problems.take(MOST_PROBLEMS).collect();
        // What is wrong may stand around the models, and everything may be right with each of them.
        Err(if problems.is_empty() { vec![first] } else { problems })
    }
}

/// What is wrong with a part of a list that stands at `place`: each value that cannot be read is
/// taken out of the way for the next one to be seen.
fn problems<T: DeserializeOwned>(place: &str, part: &Value) -> Vec<InvalidPriceList> {
    let (mut part, mut problems) = (part.clone(), Vec::new());
    while problems.len() < MOST_PROBLEMS {
        let Err(error) = serde_path_to_error::deserialize::<_, T>(&part) else { break };
        let (path, problem) = (error.path().to_string(), error.inner().to_string());
        let is_here = path == ".";
        let place = if is_here { place.to_owned() } else { format!("{place}.{path}") };
        let is_unknown = problem.starts_with("unknown field");
        problems.push(InvalidPriceList::At { place, problem });
        if is_here || !mend(&mut part, &path, is_unknown) {
            break;
        }
    }
    problems
}

/// Puts a price in the place of a value that is none, or takes out a field that nobody knows. What
/// else is wrong ends the search.
fn mend(part: &mut Value, path: &str, is_unknown: bool) -> bool {
    let pointer = format!("/{}", path.replace('[', "/").replace(']', "").replace('.', "/"));
    let Some((parent, field)) = pointer.rsplit_once('/') else { return false };
    let Some(parent) = part.pointer_mut(parent).and_then(Value::as_object_mut) else {
        return false;
    };
    if is_unknown {
        return parent.remove(field).is_some();
    }
    match parent.get_mut(field) {
        Some(value) if !value.is_object() && !value.is_array() && *value != "0" => {
            *value = "0".into();
            true
        }
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let list = format!(r#"{{"source": "s", "date": "2026-11-27", "providers": {text}}}"#);
        let problems = PriceList::parse_all(list.as_bytes()).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_bad_value_is_named_with_its_place() {
        let found = problems(
            r#"{"a": {"models": [
                {"match": ["x"], "price": {"input": "-1", "output": "x", "outptu": "1",
                    "above": [{"tokens": 5, "price": {"input": 1, "output": "1"}}]}},
                {"match": ["y"], "price": {"input": "1"}},
                {"match": ["z"], "price": {"input": "1", "output": "1"}}]},
              "b": {"models": [{"match": [""]}]}}"#,
        );
        let mut places: Vec<&str> =
            found.iter().filter_map(|text| text.split('`').nth(1)).collect();
        places.sort_unstable();
        assert_eq!(
            places,
            [
                "providers.a.models[0].price.above[0].price.input",
                "providers.a.models[0].price.input",
                "providers.a.models[0].price.outptu",
                "providers.a.models[0].price.output",
                "providers.a.models[1].price",
                "providers.b.models[0].match[0]",
            ],
            "{found:?}"
        );
    }

    #[test]
    fn what_is_wrong_around_the_models_is_told_too() {
        let found = problems(r#"{"a": {"fallback": ["b"], "models": []}}"#);
        assert_eq!(found, ["`providers.a.fallback`: `b` is not among the providers of the list"]);
        assert_eq!(PriceList::parse_all(b"{").unwrap_err().len(), 1);
    }
}
