//! A table that is missing or another's, and calls that AWS denies or throttles: each is told
//! with what is missing, and nothing is lost or launched twice.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use diogenes_core::keys::Scope;
use diogenes_e2e::aws::front::Fault;
use diogenes_e2e::aws::stack::{INSTANCE, ORCHESTRATOR, Stack, StackSettings};
use diogenes_e2e::{Answer, Client, Event};
use serde_json::json;

use crate::{fast, logged, until_ready};

const ROUTER: &str = "RouterFunction";
const AUTHORIZER: &str = "AuthorizerFunction";
const KEYS: &str = "KeysFunction";
const CLUSTER: &str = "ClusterFunction";

/// A path of each function behind the API.
const PATHS: [(&str, &str); 3] =
    [(ROUTER, "/v1/models"), (KEYS, "/api/v1/keys"), (CLUSTER, "/api/v1/models")];

/// Checks that a caller is told to try again, and not why.
fn assert_unavailable(answer: &Answer, what: &str) {
    assert_eq!(answer.refusal(), (503, "store_unavailable".into()), "{what}: {}", answer.text());
    assert_eq!(answer.json()["error"]["type"], "server_error", "{what}");
    assert!(answer.header("retry-after").is_some(), "{what}: {:?}", answer.headers);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named() {
    let mut settings = StackSettings::default();
    for function in [ROUTER, KEYS, CLUSTER, ORCHESTRATOR] {
        settings = settings.variable(function, "DIOGENES_TABLE", "elsewhere");
    }
    let Some(stack) = Stack::with(settings).await else { return };
    let admin = stack.admin().await;
    for (function, path) in PATHS {
        assert_unavailable(&admin.get(path).await, path);
        logged(&stack, function, "`elsewhere`").await;
    }
    let error = stack.tick().await.expect_err("nothing can be reconciled");
    assert!(error.contains("`elsewhere`"), "{error}");
    logged(&stack, ORCHESTRATOR, "`elsewhere`").await;
    assert!(stack.instances().await.is_empty());
}

#[tokio::test]
async fn an_authorizer_without_its_table_does_not_lock_keys_out() {
    let settings = StackSettings::default().variable(AUTHORIZER, "DIOGENES_TABLE", "elsewhere");
    let Some(stack) = Stack::with(settings).await else { return };
    let client = stack.client(&[Scope::Inference]).await;
    assert_unavailable(&client.get("/v1/models").await, "a good key");
    logged(&stack, AUTHORIZER, "`elsewhere`").await;
    let typo = Client::new(client.base_url(), "dg_typo");
    assert_eq!(typo.get("/v1/models").await.refusal(), (401, "invalid_api_key".into()));
}

/// Creates a table that has one key, `id`.
async fn foreign_table(stack: &Stack, name: &str) {
    let id = AttributeDefinition::builder().attribute_name("id");
    let id = id.attribute_type(ScalarAttributeType::S).build().expect("whole");
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
    let create = stack.front.dynamodb("test").create_table().table_name(name);
    create
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(id)
        .key_schema(key.build().expect("whole"))
        .send()
        .await
        .expect("a table");
}

/// Waits until a function has written which table is not ours, and the keys that it lacks.
async fn logged_the_keys(stack: &Stack, function: &str, table: &str) {
    for part in [table, "pk", "sk"] {
        logged(stack, function, &format!("`{part}`")).await;
    }
}

#[tokio::test]
async fn a_table_of_others_is_not_taken_for_ours() {
    let name = format!("theirs-{}", std::process::id());
    let mut settings = StackSettings::default();
    for function in [ROUTER, KEYS, CLUSTER, ORCHESTRATOR] {
        settings = settings.variable(function, "DIOGENES_TABLE", &name);
    }
    let Some(stack) = Stack::with(settings).await else { return };
    foreign_table(&stack, &name).await;
    let admin = stack.admin().await;
    for (function, path) in PATHS {
        let answer = admin.get(path).await;
        // Trying again does not help.
        assert_eq!(answer.refusal(), (500, "internal_error".into()), "{path}: {}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "server_error", "{path}");
        assert!(!answer.text().contains(&name), "causes are for the log: {}", answer.text());
        logged_the_keys(&stack, function, &name).await;
    }
    let error = stack.tick().await.expect_err("nothing can be reconciled");
    assert!(error.contains(&format!("`{name}`")), "{error}");
    logged_the_keys(&stack, ORCHESTRATOR, &name).await;
    assert!(stack.instances().await.is_empty());
}

#[tokio::test]
async fn an_authorizer_with_a_table_of_others_names_what_it_lacks() {
    let name = format!("the-authorizers-{}", std::process::id());
    let settings = StackSettings::default().variable(AUTHORIZER, "DIOGENES_TABLE", &name);
    let Some(stack) = Stack::with(settings).await else { return };
    foreign_table(&stack, &name).await;
    let client = stack.client(&[Scope::Inference]).await;
    assert_unavailable(&client.get("/v1/models").await, "a good key");
    logged_the_keys(&stack, AUTHORIZER, &name).await;
}

#[tokio::test]
async fn a_read_that_the_authorizer_may_not_do_is_no_denial_of_the_key() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.client(&[Scope::Inference]).await;
    let reads = || stack.front.rule().by(AUTHORIZER).action("GetItem");
    for (fault, said) in [(Fault::denied(), "dynamodb:GetItem"), (Fault::throttled(), "")] {
        stack.gateway.forget_authorizations();
        let refused = reads().fail(fault);
        assert_unavailable(&client.get("/v1/models").await, said);
        refused.remove();
        assert_eq!(client.get("/v1/models").await.status, 200, "the failure is not remembered");
        for part in [said, "the key could not be verified"] {
            logged(&stack, AUTHORIZER, part).await;
        }
    }
    // One throttled read nobody notices.
    stack.gateway.forget_authorizations();
    let refused = reads().first(1).fail(Fault::throttled());
    assert_eq!(client.get("/v1/models").await.status, 200);
    assert_eq!(refused.hits(), 1);
}

#[tokio::test]
async fn a_denied_call_of_the_table_is_named_in_the_log() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    let key = json!({"email": "a@example.com"});
    let mut spec = fast("demo").spec();
    spec["ladder"] = json!([{"instance_type": "g6.xlarge"}]);
    for (function, action) in [
        (ROUTER, "Query"),
        (KEYS, "Query"),
        (KEYS, "TransactWriteItems"),
        (CLUSTER, "Query"),
        (CLUSTER, "TransactWriteItems"),
    ] {
        let denied = stack.front.rule().by(function).action(action).fail(Fault::denied());
        let answer = match (function, action) {
            (KEYS, "TransactWriteItems") => admin.post("/api/v1/keys", &key).await,
            (_, "TransactWriteItems") => admin.put("/api/v1/models/demo", &spec).await,
            _ => {
                let path = PATHS.iter().find(|(of, _)| *of == function);
                admin.get(path.map_or("", |(_, path)| path)).await
            }
        };
        denied.remove();
        assert_unavailable(&answer, &format!("{function} {action}"));
        // A transaction takes the permissions of its writes, and has none of its own.
        let permission = action.replace("TransactWriteItems", "PutItem");
        logged(&stack, function, &format!("dynamodb:{permission}")).await;
    }
    assert_eq!(admin.put("/api/v1/models/demo", &spec).await.status, 201, "nothing was written");
}

#[tokio::test]
async fn a_denied_launch_ends_the_held_calls_with_the_reason() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &fast("demo")).await;
    let launches = || stack.front.rule().by(ORCHESTRATOR).action("RunInstances");
    let denied = launches().fail(Fault::denied());
    let stream = async { admin.chat_stream("demo").await.all().await };
    let (plain, stream) = tokio::join!(admin.chat("demo"), stream);
    let code = plain.code();
    assert_eq!(plain.status, 503, "{}", plain.text());
    assert_eq!(stream.last().and_then(Event::error_code), Some(code.as_str()), "{stream:?}");
    assert!(plain.text().contains("ec2:RunInstances"), "{}", plain.text());
    logged(&stack, ORCHESTRATOR, "ec2:RunInstances").await;
    // A run that is under way would launch for the claim that has failed meanwhile.
    stack.host.wait_idle().await;
    denied.remove();
    let up = json!({"model": "demo", "action": "up"});
    assert_eq!(admin.post("/api/v1/cluster/scale", &up).await.status, 202);
    until_ready(&stack, &admin).await;
    assert_eq!(stack.instances().await.len(), 1);
}

#[tokio::test]
async fn a_denied_listing_or_termination_is_named_and_made_up_for() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &fast("demo")).await;
    let up = json!({"model": "demo", "action": "up"});
    assert_eq!(admin.post("/api/v1/cluster/scale", &up).await.status, 202);
    until_ready(&stack, &admin).await;
    let calls = || stack.front.rule().by(ORCHESTRATOR);
    let denied = calls().action("DescribeInstances").fail(Fault::denied());
    let error = stack.tick().await.expect_err("nothing is known of the instances");
    assert!(error.contains("ec2:DescribeInstances"), "{error}");
    denied.remove();

    let denied = calls().action("TerminateInstances").fail(Fault::denied());
    // It is on its way out by itself; the orchestrator ends it, or finds it ended.
    let instance = stack.alive().await.remove(0);
    stack.kill_agent(&instance.id);
    stack.interrupt(&instance.id);
    assert_eq!(admin.delete("/api/v1/models/demo").await.status, 200);
    stack
        .ticks_until("a termination that is denied", async || {
            if denied.hits() > 0 { Ok(()) } else { Err(stack.host.logs(ORCHESTRATOR)) }
        })
        .await;
    assert_eq!(stack.alive().await, [instance], "it is still owned by its record");
    logged(&stack, ORCHESTRATOR, "ec2:TerminateInstances").await;
    denied.remove();
    stack
        .ticks_until("the instance is ended", async || {
            let alive = stack.alive().await;
            if alive.is_empty() { Ok(()) } else { Err(alive) }
        })
        .await;
}

#[tokio::test]
async fn a_denied_invocation_is_named_and_made_up_for_by_the_schedule() {
    let settings = StackSettings::default().schedule(Duration::from_millis(500));
    let Some(stack) = Stack::with(settings).await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &fast("demo")).await;
    let denied = stack.front.rule().to("lambda").fail(Fault::denied());
    let answer = admin.chat("demo").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(denied.hits() > 0);
    logged(&stack, ROUTER, "lambda:InvokeFunction").await;
    assert_eq!(stack.instances().await.len(), 1);
}

#[tokio::test]
async fn throttling_everywhere_delays_a_cold_start_and_launches_once() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &fast("demo")).await;
    let mut rules = Vec::new();
    for caller in [ROUTER, ORCHESTRATOR, INSTANCE] {
        // Not the router's counters: a counter is not tried again, and its caller is told to.
        for action in ["GetItem", "PutItem", "Query", "TransactWriteItems"] {
            let calls = stack.front.rule().by(caller).action(action).first(2);
            rules.push(calls.fail(Fault::throttled()));
        }
    }
    for action in ["RunInstances", "DescribeInstances"] {
        let calls = stack.front.rule().by(ORCHESTRATOR).action(action).first(1);
        rules.push(calls.fail(Fault::throttled()));
    }
    rules.push(stack.front.rule().to("lambda").first(1).fail(Fault::throttled()));
    let (first, second) = tokio::join!(admin.chat("demo"), admin.chat("demo"));
    for answer in [first, second] {
        assert_eq!(answer.status, 200, "{}\n{}", answer.text(), stack.host.logs(ROUTER));
    }
    let hit = rules.iter().filter(|rule| rule.hits() > 0).count();
    assert!(hit >= 8, "{hit} of the rules have met a call");
    assert_eq!(stack.instances().await.len(), 1);
}

#[tokio::test]
async fn an_orchestrator_that_cannot_write_launches_nothing() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &fast("demo")).await;
    let writes = stack.front.rule().by(ORCHESTRATOR).action("PutItem").fail(Fault::throttled());
    let asked = admin.chat("demo");
    let mended = async {
        stack.front.until("a write that is throttled", |_| writes.hits() > 3).await;
        assert!(stack.instances().await.is_empty(), "the intent is written before the launch");
        writes.remove();
        stack
            .ticks_until("an instance", async || {
                let alive = stack.alive().await;
                if alive.len() == 1 { Ok(()) } else { Err(alive) }
            })
            .await;
    };
    let (answer, ()) = tokio::join!(asked, mended);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(stack.instances().await.len(), 1);
}
