use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde_json::{Value, json};

use super::super::answer::InvokeError;
use super::super::template::Authorizer;
use super::State;
use super::event::Context;
use super::policy::{Decision, Policy};
use super::refusal::Refusal;

/// How long API Gateway waits for an authorizer
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html>).
const LIMIT: Duration = Duration::from_secs(10);

/// What authorizers have said.
#[derive(Debug, Default)]
pub(super) struct Authorizers(Mutex<HashMap<Key, (Instant, Arc<Verdict>)>>);

/// The function and the token.
type Key = (String, String);

/// An authorizer's answer. It holds for every method: the policy is evaluated anew each time.
#[derive(Debug)]
struct Verdict {
    policy: Policy,
    /// `principalId` and the context, as texts.
    fields: BTreeMap<String, String>,
}

impl Authorizers {
    /// Forgets everything.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap().clear();
    }

    fn recall(&self, key: &Key, ttl: Duration) -> Option<Arc<Verdict>> {
        let kept = self.0.lock().unwrap();
        kept.get(key).filter(|(at, _)| at.elapsed() < ttl).map(|(_, verdict)| verdict.clone())
    }

    fn keep(&self, key: Key, verdict: &Arc<Verdict>) {
        self.0.lock().unwrap().insert(key, (Instant::now(), verdict.clone()));
    }
}

/// Asks an authorizer, or its last answer, and adds what it says to the context.
pub(super) async fn authorize(
    state: &State,
    authorizer: &Authorizer,
    headers: &HeaderMap,
    context: &mut Context,
) -> Result<(), Refusal> {
    let token = headers.get(&authorizer.header).and_then(|token| token.to_str().ok());
    let valid = |token: &&str| {
        !token.is_empty()
            && authorizer.validation.as_ref().is_none_or(|expression| expression.is_match(token))
    };
    let token = token.filter(valid).ok_or_else(Refusal::unauthorized)?;
    let key = (authorizer.function.clone(), token.to_owned());
    let verdict = if let Some(verdict) = state.authorizers.recall(&key, authorizer.ttl) {
        verdict
    } else {
        let verdict = Arc::new(ask(state, authorizer, token, context).await?);
        state.authorizers.keep(key, &verdict);
        verdict
    };
    context.authorizer = Some(verdict.fields.clone());
    match verdict.policy.decide(&context.method_arn()) {
        Decision::Allowed => Ok(()),
        Decision::Denied => Err(Refusal::denied(true)),
        Decision::NotAllowed => Err(Refusal::denied(false)),
    }
}

async fn ask(
    state: &State,
    authorizer: &Authorizer,
    token: &str,
    context: &Context,
) -> Result<Verdict, Refusal> {
    let event = json!({
        "type": "TOKEN",
        "authorizationToken": token,
        "methodArn": context.method_arn(),
    });
    let asked = state.host.invoke(&authorizer.function, event.to_string());
    let Ok(answer) = tokio::time::timeout(LIMIT, asked).await else {
        state.problem("the authorizer takes longer than 10 s");
        return Err(Refusal::authorizer_failure());
    };
    let answer = answer.map_err(|error| match error {
        InvokeError::Function { message, .. } if message == "Unauthorized" => {
            Refusal::unauthorized()
        }
        error @ InvokeError::Function { .. } => {
            state.problem(format!("the authorizer fails: {error}"));
            Refusal::authorizer_configuration()
        }
        error => {
            state.problem(format!("the authorizer cannot be asked: {error}"));
            Refusal::authorizer_failure()
        }
    })?;
    read(&answer).map_err(|problem| {
        state.problem(format!("the authorizer's answer is malformed: {problem}"));
        Refusal::authorizer_configuration()
    })
}

/// Reads an authorizer's answer
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>).
fn read(answer: &[u8]) -> Result<Verdict, String> {
    let answer: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let known = ["principalId", "policyDocument", "context", "usageIdentifierKey"];
    let fields = answer.as_object().ok_or("it is not an object")?;
    if let Some(field) = fields.keys().find(|field| !known.contains(&field.as_str())) {
        return Err(format!("`{field}` is not known"));
    }
    let principal = answer.get("principalId").and_then(Value::as_str);
    let principal = principal.ok_or("there is no `principalId`")?;
    let policy = Policy::parse(answer.get("policyDocument").ok_or("there is no policy")?)?;
    let mut fields = BTreeMap::new();
    let context = answer.get("context").filter(|context| !context.is_null());
    let context = context.map(|context| context.as_object().ok_or("the context is not an object"));
    for (name, value) in context.transpose()?.into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return Err(format!("`{name}` of the context is not a scalar")),
        };
        fields.insert(name.clone(), text);
    }
    fields.insert("principalId".into(), principal.into());
    Ok(Verdict { policy, fields })
}
