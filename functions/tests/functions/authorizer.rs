//! The authorizer's answers for keys whose project has an end.

use std::sync::Arc;

use diogenes_backends::system::OsEntropy;
use diogenes_core::keys::{Keys, NewKey, Weight};
use diogenes_core::ports::Limits;
use diogenes_core::tenancy::{Allowed, ProjectId, Projects, Scope};
use diogenes_functions::authorizer::Authorizer;
use serde_json::{Value, json};

use super::control::Function;

#[tokio::test]
async fn a_key_of_an_archived_project_is_denied_with_the_reason() {
    let Function { base, .. } = Function::new();
    let projects = Projects::new(base.store.clone(), base.clock.clone());
    let (by, team) = (Allowed::operator(), "team-a".parse::<ProjectId>().unwrap());
    projects.create(&by, team.clone(), String::new()).await.unwrap();
    let new = NewKey {
        project: team.clone(),
        email: "ada@example.com".into(),
        name: String::new(),
        scopes: [Scope::Inference].into(),
        models: None,
        expires_at: None,
        limits: Limits::default(),
        egress: false,
        weight: Weight::default(),
    };
    let keys = Keys::new(base.store.clone(), base.clock.clone(), Arc::new(OsEntropy));
    let (_, plain) = keys.issue(&Allowed::operator(), new).await.unwrap();
    let authorizer = Authorizer::new(&base);
    let event = json!({
        "type": "TOKEN",
        "methodArn": "arn:aws:execute-api:eu-west-1:123:api/prod/POST/v1/chat/completions",
        "authorizationToken": format!("Bearer {}", plain.expose()),
    });
    let effect = |policy: &Value| policy["policyDocument"]["Statement"][0]["Effect"].clone();
    let allowed = authorizer.answer(&event).await.unwrap();
    assert_eq!(effect(&allowed), "Allow", "{allowed}");

    projects.archive(&Allowed::operator(), &team).await.unwrap();
    let denied = authorizer.answer(&event).await.unwrap();
    assert_eq!(effect(&denied), "Deny", "{denied}");
    assert_eq!(denied["context"]["code"], "project_archived");
    let message = denied["context"]["message"].as_str().unwrap();
    assert!(message.contains("`team-a`"), "{message}");
}
