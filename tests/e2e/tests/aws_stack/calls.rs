//! What each kind of request costs: its calls of AWS, counted.
//!
//! A count is exact where nothing but the request decides it. A process reads a view of the fleet
//! at most once in two seconds and stamps a use at most once in fifteen, so where a test begins
//! with a new process its first request has all of them.

use std::time::Instant;

use diogenes_core::keys::Scope;
use diogenes_e2e::aws::front::{Calls, Recorded};
use diogenes_e2e::aws::stack::{ORCHESTRATOR, Stack};
use diogenes_e2e::{Client, Event};
use serde_json::{Value, json};

use crate::{fast, slow, until_ready};

const ROUTER: &str = "RouterFunction";
const AUTHORIZER: &str = "AuthorizerFunction";
const KEYS: &str = "KeysFunction";
const CLUSTER: &str = "ClusterFunction";

/// Counts from here on.
pub(crate) struct Mark<'a> {
    stack: &'a Stack,
    from: u64,
}

impl<'a> Mark<'a> {
    pub(crate) fn new(stack: &'a Stack) -> Self {
        let last = stack.front.calls().iter().map(|call| call.number + 1).max();
        Self { stack, from: last.unwrap_or(0) }
    }

    /// The calls of one function.
    fn calls(&self, function: &str) -> Calls {
        self.stack.front.calls().by(function).that(|call| call.number >= self.from)
    }

    /// The same in words, in their order: `GetItem KEY#`, `Query index MODELS`.
    pub(crate) fn words(&self, function: &str) -> Vec<String> {
        self.calls(function).iter().flat_map(words).collect()
    }
}

/// A call in words; a transaction is its parts. Names behind the first `#` are cut off.
fn words(call: &Recorded) -> Vec<String> {
    let cut = |key: &str| match key.strip_prefix("COUNTER#") {
        Some(counter) => format!("COUNTER#{}#", counter.split('#').next().unwrap_or(counter)),
        None => key.split_inclusive('#').next().unwrap_or(key).to_owned(),
    };
    if !call.resource.parts.is_empty() {
        let parts = call.resource.parts.iter();
        return parts.map(|part| format!("{} {}", part.action, cut(&part.leading_key))).collect();
    }
    let index = if call.resource.index.is_some() { "index " } else { "" };
    let keys: Vec<String> = call.resource.leading_keys.iter().map(|key| cut(key)).collect();
    vec![format!("{} {index}{}", call.action, keys.join(" ")).trim_end().to_owned()]
}

/// A stack whose model `demo` is warm, and an administrator.
async fn warm() -> Option<(Stack, Client)> {
    let stack = Stack::start().await?;
    let admin = stack.admin().await;
    stack.apply(&admin, &fast("demo")).await;
    let up = json!({"model": "demo", "action": "pin"});
    assert_eq!(admin.post("/api/v1/cluster/scale", &up).await.status, 202);
    until_ready(&stack, &admin).await;
    stack.host.wait_idle().await;
    Some((stack, admin))
}

/// Asks for a chat with a new process of the router; its calls, in alphabetic order, as some of them
/// are made at the same time.
async fn first_of_a_process(stack: &Stack, ask: impl AsyncFnOnce()) -> Vec<String> {
    stack.host.kill(ROUTER);
    let mark = Mark::new(stack);
    ask().await;
    stack.host.wait_idle().await;
    let mut words = mark.words(ROUTER);
    words.sort();
    words
}

/// What the first request of a process costs that goes to a warm model: routes, budgets, the model's
/// partition, the stamp of the replica's use, and what the request has used.
const FIRST: [&str; 6] = [
    "GetItem GATEWAY",
    "GetItem USAGE#",
    "PutItem USAGE#",
    "PutItem USE#",
    "Query BUDGET#",
    "Query MODEL#",
];

#[tokio::test]
async fn a_warm_request_is_three_reads_and_one_stamp_and_each_counts_what_it_has_used() {
    let Some((stack, admin)) = warm().await else { return };
    let plain =
        first_of_a_process(&stack, async || assert_eq!(admin.chat("demo").await.status, 200));
    assert_eq!(plain.await, FIRST);
    let stream = first_of_a_process(&stack, async || {
        let answer = admin.chat_stream("demo").await.all().await;
        assert_eq!(answer.last(), Some(&Event::Done));
    });
    assert_eq!(stream.await, FIRST);

    // Time matters: a view lives for two seconds, and a slow machine may need more for these.
    let starts = stack.host.starts(ROUTER);
    let (mark, began) = (Mark::new(&stack), Instant::now());
    for _ in 0..20 {
        assert_eq!(admin.chat("demo").await.status, 200);
    }
    let seconds = began.elapsed().as_secs();
    assert_eq!(stack.host.starts(ROUTER), starts, "one process served them all");
    let calls = mark.words(ROUTER);
    let of = |kind: &str| calls.iter().filter(|call| *call == kind).count() as u64;
    assert!(of("Query MODEL#") <= 1 + seconds, "{calls:?} in {seconds} s");
    // The last stamp may be about to be too old.
    assert!(of("PutItem USE#") <= 1 + seconds / 15, "{calls:?} in {seconds} s");
    for every_five in ["GetItem GATEWAY", "Query BUDGET#"] {
        assert!(of(every_five) <= 1 + seconds / 5, "{calls:?} in {seconds} s");
    }
    assert_eq!((of("GetItem USAGE#"), of("PutItem USAGE#")), (20, 20), "{calls:?}");
    assert!(calls.iter().all(|call| FIRST.contains(&call.as_str())), "{calls:?}");
    assert!(stack.host.invocations(AUTHORIZER) == 1, "API Gateway remembers the key");
}

#[tokio::test]
async fn many_requests_at_once_cost_each_process_its_reads_and_no_more() {
    let Some((stack, admin)) = warm().await else { return };
    stack.host.kill(ROUTER);
    let (mark, starts) = (Mark::new(&stack), stack.host.starts(ROUTER));
    let began = Instant::now();
    let requests = (0..16).map(|_| {
        let admin = admin.clone();
        tokio::spawn(async move { admin.chat("demo").await.status })
    });
    for answer in requests.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), 200);
    }
    stack.host.wait_idle().await;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    let processes = stack.host.starts(ROUTER) - starts;
    let calls = mark.words(ROUTER);
    let of = |kind: &str| calls.iter().filter(|call| *call == kind).count();
    let (stamps, reads) = (of("PutItem USE#"), of("Query MODEL#"));
    // Those that meet at one record of usage try again.
    assert!(of("PutItem USAGE#") >= 16, "{calls:?}");
    assert!(calls.iter().all(|call| FIRST.contains(&call.as_str())), "{calls:?}");
    // Each process at least once, and on a slow machine again when its time has come.
    let most = |every: usize| processes * (1 + seconds / every);
    assert!((processes..=most(15)).contains(&stamps), "{calls:?} of {processes} in {seconds} s");
    assert!((processes..=most(1)).contains(&reads), "{calls:?} of {processes} in {seconds} s");
    for every_five in ["GetItem GATEWAY", "Query BUDGET#"] {
        let reads = of(every_five);
        assert!((processes..=most(5)).contains(&reads), "{calls:?} of {processes} in {seconds} s");
    }
}

#[tokio::test]
async fn a_key_with_limits_adds_its_counters() {
    let Some((stack, admin)) = warm().await else { return };
    for (limits, counters) in [
        (json!({"requests_per_minute": 100}), 1),
        // What it can use is reserved before, and settled after.
        (json!({"tokens_per_minute": 100_000}), 2),
        (json!({"requests_per_minute": 100, "tokens_per_minute": 100_000}), 3),
    ] {
        let wanted = json!({"email": "a@example.com", "limits": limits});
        let created = admin.post("/api/v1/keys", &wanted).await.json();
        let client = Client::new(admin.base_url(), created["key"].as_str().expect("a key"));
        let mut calls = first_of_a_process(&stack, async || {
            assert_eq!(client.chat("demo").await.status, 200);
        })
        .await;
        let counts = calls.iter().filter(|call| *call == "UpdateItem COUNTER#LIMIT#").count();
        assert_eq!(counts, counters, "{limits}: {calls:?}");
        calls.retain(|call| call != "UpdateItem COUNTER#LIMIT#");
        assert_eq!(calls, FIRST, "{limits}");
    }
}

#[tokio::test]
async fn listings_and_mistakes_write_nothing() {
    let Some((stack, admin)) = warm().await else { return };
    let listing = first_of_a_process(&stack, async || {
        assert_eq!(admin.get("/v1/models").await.status, 200);
    });
    assert_eq!(listing.await, ["GetItem GATEWAY", "Query index MODELS"]);
    // Neither a model's name nor an alias that is new.
    let unknown = first_of_a_process(&stack, async || {
        assert_eq!(admin.chat("nobody").await.refusal(), (404, "model_not_found".into()));
    });
    assert_eq!(unknown.await, ["GetItem GATEWAY", "Query MODEL#", "Query index MODELS"]);
    for body in [json!({"messages": []}), json!({"model": "", "messages": []}), Value::Null] {
        let malformed = first_of_a_process(&stack, async || {
            let answer = admin.post("/v1/chat/completions", &body).await;
            assert!(answer.status.is_client_error(), "{body}: {}", answer.text());
        });
        assert_eq!(malformed.await, [""; 0], "{body}");
    }
    let kept_active = first_of_a_process(&stack, async || {
        let answer = stack.host.invoke(ROUTER, stack.scheduled_event(ROUTER)).await;
        let answer = answer.expect("the event that keeps the router active is answered");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains(r#""statusCode":200"#) && answer.ends_with("ok\n"), "{answer}");
    });
    assert_eq!(kept_active.await, [""; 0]);
}

#[tokio::test]
async fn a_cold_request_asks_once_and_reads_while_it_waits() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &slow("demo")).await;
    stack.host.wait_idle().await;
    let (mark, began) = (Mark::new(&stack), Instant::now());
    assert_eq!(admin.chat("demo").await.status, 200, "{}", stack.machine_logs());
    stack.host.wait_idle().await;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    let calls = mark.words(ROUTER);
    let of = |kind: &str| calls.iter().filter(|call| *call == kind).count();
    assert_eq!((of("GetItem GATEWAY"), of("Query BUDGET#")), (1, 1), "{calls:?}");
    assert_eq!(of("UpdateItem COUNTER#HELD#"), 2, "counted and given back: {calls:?}");
    // One for the model that is waited for and one for the replica, again every 15 s.
    let stamps = 2 + seconds / 15;
    assert!((2..=stamps).contains(&of("PutItem USE#")), "{calls:?} in {seconds} s");
    // Every 0.9 s a look at the model, and at the beat of a replica that boots.
    let polls = 3 + seconds * 10 / 9;
    assert!((1..=1 + polls).contains(&of("Query MODEL#")), "{calls:?} in {seconds} s");
    assert!(of("GetItem BEAT#") <= polls, "{calls:?} in {seconds} s");
    // Once for the launch, and for each beat that says more than the record, at most every 2 s.
    let asked = 2 + seconds / 2;
    assert!((1..=asked).contains(&of("Invoke")), "{calls:?} in {seconds} s");
    // Nobody else asks, so each election is won.
    assert_eq!(of("PutItem WAKE#"), of("Invoke"), "{calls:?}");
    let known = [
        "Query MODEL#",
        "PutItem USE#",
        "GetItem BEAT#",
        "UpdateItem COUNTER#HELD#",
        "PutItem WAKE#",
        "Invoke",
        "GetItem GATEWAY",
        "Query BUDGET#",
        "GetItem USAGE#",
        "PutItem USAGE#",
    ];
    assert!(calls.iter().all(|call| known.contains(&call.as_str())), "{calls:?}");
}

#[tokio::test]
async fn the_authorizer_reads_a_key_once_and_a_typo_never() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.client(&[Scope::Inference]).await;
    let mark = Mark::new(&stack);
    assert_eq!(client.get("/v1/models").await.status, 200);
    assert_eq!(mark.words(AUTHORIZER), ["GetItem KEY#"]);
    assert_eq!(client.get("/v1/models").await.status, 200);
    assert_eq!(mark.words(AUTHORIZER), ["GetItem KEY#"], "API Gateway remembers the answer");
    stack.gateway.forget_authorizations();
    assert_eq!(client.get("/v1/models").await.status, 200);
    assert_eq!(mark.words(AUTHORIZER), ["GetItem KEY#", "GetItem KEY#"]);

    let mark = Mark::new(&stack);
    let typo = Client::new(client.base_url(), "dg_typo");
    assert_eq!(typo.get("/v1/models").await.refusal(), (401, "invalid_api_key".into()));
    assert_eq!(mark.words(AUTHORIZER), [""; 0], "the checksum tells");
    assert_eq!(stack.host.invocations(ROUTER), 3);
}

#[tokio::test]
async fn the_control_plane_costs_what_it_did() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    let new = json!({"email": "a@example.com"});
    let created = admin.post("/api/v1/keys", &new).await.json();
    let key = format!("/api/v1/keys/{}", created["id"].as_str().expect("an id"));
    let mut spec = fast("demo").spec();
    spec["ladder"] = json!([{"instance_type": "g6.xlarge"}]);
    let up = json!({"model": "demo", "action": "unpin"});
    let none = Value::Null;
    let rotate = format!("{key}/rotate");
    let mut found = Vec::new();
    for (method, path, body, function) in [
        ("POST", "/api/v1/keys", &new, KEYS),
        ("GET", "/api/v1/keys", &none, KEYS),
        ("GET", &key, &none, KEYS),
        ("POST", &rotate, &none, KEYS),
        ("DELETE", &key, &none, KEYS),
        ("PUT", "/api/v1/models/demo", &spec, CLUSTER),
        ("PUT", "/api/v1/models/demo", &spec, CLUSTER),
        ("GET", "/api/v1/models", &none, CLUSTER),
        ("GET", "/api/v1/models/demo", &none, CLUSTER),
        ("GET", "/api/v1/cluster", &none, CLUSTER),
        ("POST", "/api/v1/cluster/scale", &up, CLUSTER),
        ("DELETE", "/api/v1/models/demo", &none, CLUSTER),
        ("GET", "/api/v1/openapi.json", &none, CLUSTER),
    ] {
        stack.host.kill(function);
        let mark = Mark::new(&stack);
        let mut request = admin.request(method.parse().expect("a method"), path);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = admin.send(request).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text());
        let path = path.replace(created["id"].as_str().unwrap_or_default(), "ID");
        // The catalog and a model are read at the same time.
        let either = ("Query MODEL#, GetItem GATEWAY", "GetItem GATEWAY, Query MODEL#");
        let words = mark.words(function).join(", ").replace(either.0, either.1);
        found.push(format!("{method} {path}: {words}"));
        stack.host.wait_idle().await;
    }
    insta::assert_snapshot!(found.join("\n"));
}

#[tokio::test]
async fn the_schedule_costs_a_listing_and_the_records_of_each_model() {
    let Some(stack) = Stack::start().await else { return };
    let mark = Mark::new(&stack);
    stack.tick().await.expect("a reconcile");
    let asleep = mark.words(ORCHESTRATOR);
    let admin = stack.admin().await;
    stack.apply(&admin, &fast("demo")).await;
    stack.tick().await.expect("a reconcile");
    let mark = Mark::new(&stack);
    stack.tick().await.expect("a reconcile");
    let with_a_model = mark.words(ORCHESTRATOR);
    insta::assert_snapshot!(format!("{}\n{}", asleep.join(", "), with_a_model.join(", ")));
}
