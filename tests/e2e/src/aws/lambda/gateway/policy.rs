use serde_json::Value;

/// What a policy says of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    Denied,
    /// No statement speaks of it.
    NotAllowed,
}

/// The policy of an authorizer.
#[derive(Clone, Debug)]
pub(super) struct Policy(Vec<Statement>);

#[derive(Clone, Debug)]
struct Statement {
    allow: bool,
    actions: Vec<String>,
    resources: Vec<String>,
}

impl Policy {
    /// Reads a policy document; says what is wrong with it.
    pub(super) fn parse(document: &Value) -> Result<Self, String> {
        if document.get("Version").and_then(Value::as_str) != Some("2012-10-17") {
            return Err("the policy has not the version 2012-10-17".into());
        }
        let statements = match document.get("Statement") {
            Some(Value::Array(statements)) => statements.iter().collect(),
            Some(statement @ Value::Object(_)) => vec![statement],
            _ => return Err("the policy has no statements".into()),
        };
        statements.into_iter().map(Statement::parse).collect::<Result<_, _>>().map(Self)
    }

    /// What it says of a method's ARN.
    pub(super) fn decide(&self, method: &str) -> Decision {
        let about = |statement: &&Statement| {
            let action = |pattern: &String| matches(&pattern.to_lowercase(), "execute-api:invoke");
            statement.actions.iter().any(action)
                && statement.resources.iter().any(|pattern| matches(pattern, method))
        };
        let about: Vec<_> = self.0.iter().filter(about).collect();
        if about.iter().any(|statement| !statement.allow) {
            Decision::Denied
        } else if about.is_empty() {
            Decision::NotAllowed
        } else {
            Decision::Allowed
        }
    }
}

impl Statement {
    fn parse(statement: &Value) -> Result<Self, String> {
        let known = ["Sid", "Effect", "Action", "Resource"];
        let fields = statement.as_object().ok_or("a statement is not an object")?;
        if let Some(field) = fields.keys().find(|field| !known.contains(&field.as_str())) {
            return Err(format!("`{field}` in a statement is not known here"));
        }
        let allow = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err("a statement's effect is neither `Allow` nor `Deny`".into()),
        };
        let texts = |field: &str| match statement.get(field) {
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(texts)) => texts
                .iter()
                .map(|text| text.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or(format!("`{field}` has something else than texts")),
            _ => Err(format!("a statement has no `{field}`")),
        };
        Ok(Self { allow, actions: texts("Action")?, resources: texts("Resource")? })
    }
}

/// Whether a text fits a pattern with `*` (any characters) and `?` (any one).
fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern_rest.as_str();
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| matches(rest, &text[at..]))
        }
        Some(wanted) => {
            let mut text_rest = text.chars();
            text_rest.next().is_some_and(|found| wanted == '?' || wanted == found)
                && matches(pattern_rest.as_str(), text_rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const METHOD: &str = "arn:aws:execute-api:us-east-1:000000000000:abc/prod/POST/v1/chat";

    fn decide(statements: &Value) -> Decision {
        let policy = Policy::parse(&json!({"Version": "2012-10-17", "Statement": statements}));
        policy.unwrap().decide(METHOD)
    }

    fn statement(effect: &str, resource: &str) -> Value {
        json!({"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource})
    }

    #[test]
    fn a_denial_wins_and_silence_is_no_permission() {
        let all = statement("Allow", "*");
        let cases = [
            (json!([all]), Decision::Allowed),
            (json!([statement("Allow", METHOD)]), Decision::Allowed),
            (json!([statement("Allow", "arn:aws:execute-api:*:*:abc/prod/*")]), Decision::Allowed),
            (json!([statement("Allow", "*/POST/v?/chat")]), Decision::Allowed),
            (json!([statement("Allow", "*/GET/*")]), Decision::NotAllowed),
            (json!([all, statement("Deny", "*/v1/*")]), Decision::Denied),
            (json!([statement("Deny", "*/v2/*"), all]), Decision::Allowed),
            (json!([]), Decision::NotAllowed),
            (
                json!({"Effect": "Allow", "Action": ["*"], "Resource": ["x", "*"]}),
                Decision::Allowed,
            ),
            (json!([{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]), Decision::NotAllowed),
        ];
        for (statements, expected) in cases {
            assert_eq!(decide(&statements), expected, "{statements}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let statement = json!([{"Effect": "Perhaps", "Action": "*", "Resource": "*"}]);
        for document in [
            json!({}),
            json!({"Statement": []}),
            json!({"Version": "2012-10-17"}),
            json!({"Version": "2012-10-17", "Statement": statement}),
            json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]}),
        ] {
            assert!(Policy::parse(&document).is_err(), "{document}");
        }
    }
}
