use serde_json::{Map, Value};

use super::content::{PromptContent, PromptMessage, Variable};
use super::error::PromptProblem;
use super::template::{Engine, line_of};

/// The most that the messages of a request may have, together, in bytes.
pub const MOST_RENDERED_BYTES: usize = 8 << 20;

/// The messages of a version with these values.
///
/// # Errors
/// A value that is missing, unknown or of another type, with the variable's name; and what a template
/// cannot do with its values, with message and line.
pub fn render(
    content: &PromptContent,
    given: &Map<String, Value>,
) -> Result<Vec<PromptMessage>, PromptProblem> {
    let values = values(content, given)?;
    let engine = Engine::new();
    let mut left = MOST_RENDERED_BYTES;
    let rendered = content.messages.iter().enumerate().map(|(index, message)| {
        let problem = |text| PromptProblem::new(format!("messages[{index}].content"), text);
        let text = engine.render(&message.content, &values);
        let text = text.map_err(|error| problem(error.text()))?;
        left = left.checked_sub(text.len()).ok_or_else(|| {
            problem(format!(
                "makes the messages larger than {MOST_RENDERED_BYTES} bytes; send less"
            ))
        })?;
        Ok(PromptMessage { role: message.role, content: text })
    });
    rendered.collect()
}

/// What is wrong with the templates of a version, if anything is.
pub(super) fn problem(content: &PromptContent) -> Option<PromptProblem> {
    let engine = Engine::new();
    for (index, message) in content.messages.iter().enumerate() {
        let field = || format!("messages[{index}].content");
        let names = match engine.names(&message.content) {
            Ok(names) => names,
            Err(error) => return Some(PromptProblem::new(field(), error.text())),
        };
        let is_declared = |name: &String| content.variables.iter().any(|var| var.name == *name);
        if let Some(name) = names.iter().find(|name| !is_declared(name)) {
            let place = line_of(&message.content, name);
            let place = place.map(|line| format!("line {line}: ")).unwrap_or_default();
            let text = format!("{place}`{name}` is not declared; add it to `variables`");
            return Some(PromptProblem::new(field(), text));
        }
    }
    None
}

/// The value of each variable.
fn values(
    content: &PromptContent,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, PromptProblem> {
    let field = |name: &str| format!("variables.{name}");
    let find = |name: &str| content.variables.iter().find(|variable| variable.name == name);
    for (name, value) in given {
        let Some(variable) = find(name) else {
            let text = match crate::name::nearest(name, names(content)) {
                Some(near) => format!("is not declared; did you mean `{near}`?"),
                None => format!("is not declared; the prompt has {}", listed(content)),
            };
            return Err(PromptProblem::new(field(name), text));
        };
        if !variable.kind.takes(value) {
            let text = format!("must be a {}", variable.kind.as_str());
            return Err(PromptProblem::new(field(name), text));
        }
    }
    let mut values = Map::new();
    for variable in &content.variables {
        let value = given.get(&variable.name).or(variable.default_value.as_ref());
        if let Some(value) = value {
            values.insert(variable.name.clone(), value.clone());
        } else if variable.is_required() {
            return Err(PromptProblem::new(field(&variable.name), missing(content, variable)));
        }
    }
    Ok(values)
}

fn missing(content: &PromptContent, variable: &Variable) -> String {
    let place = content.messages.iter().enumerate().find_map(|(index, message)| {
        let line = line_of(&message.content, &variable.name)?;
        Some(format!("; it stands in messages[{index}], line {line}"))
    });
    format!("is missing: send a {}{}", variable.kind.as_str(), place.unwrap_or_default())
}

fn names(content: &PromptContent) -> impl Iterator<Item = &str> {
    content.variables.iter().map(|variable| variable.name.as_str())
}

fn listed(content: &PromptContent) -> String {
    let names: Vec<_> = names(content).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "no variables".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn content(value: Value) -> PromptContent {
        serde_json::from_value(value).unwrap()
    }

    fn greeting() -> PromptContent {
        content(json!({
            "messages": [
                {"role": "system", "content": "You are {{ tone }}."},
                {"role": "user", "content": "Hi\n{{ user.name }}, {{ n }}{% if extra is defined %} {{ extra }}{% endif %}"},
            ],
            "variables": [
                {"name": "tone", "default_value": "kind"},
                {"name": "user", "type": "json"},
                {"name": "n", "type": "number"},
                {"name": "extra", "required": false},
            ],
        }))
    }

    fn rendered(given: Value) -> Result<Vec<String>, String> {
        let Value::Object(given) = given else { unreachable!() };
        let messages = render(&greeting(), &given).map_err(|problem| problem.to_string())?;
        Ok(messages.into_iter().map(|message| message.content).collect())
    }

    #[test]
    fn defaults_fill_in_and_optional_variables_may_be_absent() {
        let given = json!({"user": {"name": "Ada"}, "n": 2});
        assert_eq!(rendered(given).unwrap(), ["You are kind.", "Hi\nAda, 2"]);
        let given = json!({"user": {"name": "Ada"}, "n": 2.5, "extra": "!", "tone": "brief"});
        assert_eq!(rendered(given).unwrap(), ["You are brief.", "Hi\nAda, 2.5 !"]);
    }

    #[test]
    fn bad_values_are_told_with_their_place() {
        for (given, wrong) in [
            (
                json!({"n": 1}),
                "`variables.user` is missing: send a json; it stands in messages[1], line 2",
            ),
            (json!({"user": {}, "n": "1"}), "`variables.n` must be a number"),
            (
                json!({"user": {}, "n": 1, "ton": "x"}),
                "`variables.ton` is not declared; did you mean `tone`?",
            ),
            (
                json!({"user": {}, "n": 1, "zzz": "x"}),
                "`variables.zzz` is not declared; the prompt has `tone`, `user`, `n`, `extra`",
            ),
        ] {
            assert_eq!(rendered(given).unwrap_err(), wrong);
        }
        let error = rendered(json!({"user": {}, "n": 1})).unwrap_err();
        assert!(error.starts_with("`messages[1].content` line 2: "), "{error}");
        assert!(error.contains("user.name"), "{error}");
    }

    #[test]
    fn a_template_names_only_what_is_declared() {
        assert_eq!(problem(&greeting()), None);
        let mut undeclared = greeting();
        undeclared.variables.pop();
        assert_eq!(
            problem(&undeclared).unwrap().to_string(),
            "`messages[1].content` line 2: `extra` is not declared; add it to `variables`"
        );
    }

    #[test]
    fn the_messages_together_are_bounded() {
        let many = content(json!({
            "messages": vec![json!({"role": "user", "content": "{{ x }}"}); 3],
            "variables": [{"name": "x"}],
        }));
        let given = Map::from_iter([("x".to_owned(), "x".repeat(4 << 20).into())]);
        assert_eq!(render(&many, &given).unwrap_err().field, "messages[2].content");
    }
}
