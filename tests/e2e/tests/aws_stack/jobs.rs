//! Jobs of one's own, schedules and webhooks: what is not a batch is worked on outside of the VPC.

use std::collections::BTreeSet;

use diogenes_core::entity::{Entity as _, StoreExt as _};
use diogenes_core::jobs::{Job, JobId};
use diogenes_core::keys::Scope;
use diogenes_core::ports::StateStore as _;
use diogenes_e2e::aws::front::{Calls, Fault};
use diogenes_e2e::aws::stack::{BATCHES, JOBS, OUTBOUND, Stack, StackSettings, TEMPLATES};
use diogenes_e2e::batch::upload;
use diogenes_e2e::target::{Target, answer, body, check_signatures, header};
use diogenes_e2e::{Client, eventually};
use http::Method;
use serde_json::{Value, json};

use crate::logged;

/// A stack whose jobs may send requests to servers of the test.
pub(crate) fn open() -> StackSettings {
    [BATCHES, OUTBOUND].iter().fold(StackSettings::default(), |settings, function| {
        settings.variable(function, "DIOGENES_HTTP_ALLOW", "127.0.0.1")
    })
}

/// A job that sends a request there.
pub(crate) fn request(target: &Target) -> Value {
    json!({"kind": "http", "arguments": {"url": target.url(), "json": {"text": "hello"}}})
}

pub(crate) async fn create(client: &Client, job: &Value) -> String {
    let answer = client.post("/api/v1/jobs", job).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Waits until a job has this status.
pub(crate) async fn until(client: &Client, job: &str, status: &str) -> Value {
    let path = format!("/api/v1/jobs/{job}");
    eventually(&format!("the job {status}"), async || {
        let job = client.get(&path).await.json();
        if job["status"] == status { Ok(job) } else { Err(job) }
    })
    .await
}

/// Lets the time of a job come that waits for it.
pub(crate) async fn bring_forward(stack: &Stack, project: &str, job: &str) {
    let store = stack.store();
    let key = Job::key_of(&project.parse().unwrap(), &JobId::from_caller(job).unwrap());
    let mut stored = store.load::<Job>(&key).await.unwrap().expect("the job");
    let unchanged = stored.unchanged();
    stored.value.run_at = jiff::Timestamp::now();
    store.commit(&[stored.value.put(unchanged).unwrap()]).await.unwrap();
}

/// Lets the times of looks come until there are only so many: those find nothing that is due, and
/// arrange no other ones.
pub(crate) async fn looks_come_to(stack: &Stack, count: usize) {
    eventually("no more looks", async || {
        stack.run_schedules();
        stack.host.wait_idle().await;
        let schedules = stack.front.schedules();
        if schedules.len() == count { Ok(()) } else { Err(schedules) }
    })
    .await;
}

/// The partitions of jobs that the workers have touched.
fn of_jobs(calls: Calls) -> Calls {
    calls.by(OUTBOUND).that(|call| {
        let keys = &call.resource.leading_keys;
        keys.iter().any(|key| ["JOB", "READY", "RUNNING"].iter().any(|of| key.starts_with(of)))
    })
}

/// Nothing is invoked and nothing is read while nothing is due.
async fn assert_still(stack: &Stack) {
    let seen = || (stack.host.invocations(OUTBOUND), of_jobs(stack.front.calls()).count());
    let before = seen();
    for _ in 0..3 {
        stack.tick().await.expect("a reconcile");
    }
    stack.host.wait_idle().await;
    assert_eq!(seen(), before, "nothing is read where nothing is due");
}

/// From a call to the answer of somebody's server; then nothing looks any more.
#[tokio::test]
async fn a_request_is_sent_and_leaves_nothing_running() {
    let Some(stack) = Stack::with(open()).await else { return };
    let admin = stack.admin().await;
    let busy = answer("503 Service Unavailable", "", "busy");
    let target = Target::start(&[&busy, &answer("200 OK", "ETag: \"1\"\r\n", "done")]).await;
    let mut job = request(&target);
    (job["queue"], job["unique_key"]) = (json!("mine"), json!("one"));
    let id = create(&admin, &job).await;
    let again = admin.post("/api/v1/jobs", &job).await;
    assert_eq!(again.refusal(), (409, "conflict".into()));
    assert!(!stack.front.schedules().is_empty(), "a lost invocation would be made up for");
    let done = until(&admin, &id, "completed").await;
    assert_eq!((&done["result"]["status"], &done["result"]["body"]), (&json!(200), &json!("done")));
    assert_eq!((&done["attempt"], &done["queue"]), (&json!(2), &json!("mine")));
    let requests = target.requests();
    assert_eq!(header(&requests, "idempotency-key"), [id.clone(), id]);
    create(&admin, &job).await;

    looks_come_to(&stack, 0).await;
    assert_eq!(target.requests().len(), 3, "the name was free again");
    assert_still(&stack).await;
    assert_eq!(stack.host.invocations(JOBS), 0, "the workers of batches have no part in it");
    logged(&stack, OUTBOUND, r#""JobsCompleted":"#).await;
    logged(&stack, OUTBOUND, r#""JobsFailed":1"#).await;
}

/// What a function can reach and others cannot is refused: its own runtime, its credentials.
#[tokio::test]
async fn nothing_inward_is_reached() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    let inner = Target::start(&[&answer("200 OK", "", "secret")]).await;
    for url in [
        "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next".to_owned(),
        "http://169.254.169.254/latest/meta-data".into(),
        "http://[::1]:9001/".into(),
        inner.url(),
    ] {
        let job = json!({"kind": "http", "arguments": {"url": url}});
        let refused = admin.post("/api/v1/jobs", &job).await;
        assert_eq!(refused.status, 400, "{url}");
        assert_eq!(refused.json()["error"]["param"], "arguments.url", "{url}");
        let callback = json!({
            "kind": "http", "arguments": {"url": "https://example.com"}, "callback": {"url": url},
        });
        assert_eq!(admin.post("/api/v1/jobs", &callback).await.status, 400, "{url}");
    }
    // A name is resolved when the request is sent.
    let by_name = format!("http://localhost:{}/", inner.address.port());
    let job = json!({"kind": "http", "arguments": {"url": by_name}});
    let done = until(&admin, &create(&admin, &job).await, "discarded").await;
    let message = done["failure"]["message"].as_str().unwrap();
    assert!(message.contains("a loopback address"), "{message}");
    assert!(!message.contains("http_allow"), "nobody can open it here: {message}");
    assert_eq!(inner.requests().len(), 0);
    // Nor may a request take longer than an invocation has.
    let slow =
        json!({"kind": "http", "arguments": {"url": "https://example.com", "timeout": "6m"}});
    let refused = admin.post("/api/v1/jobs", &slow).await;
    assert_eq!(refused.json()["error"]["param"], "arguments.timeout", "{}", refused.text());
    let command = json!({"kind": "command", "arguments": {"command": "say"}});
    let refused = admin.post("/api/v1/jobs", &command).await;
    assert_eq!(refused.json()["error"]["param"], "kind", "{}", refused.text());
}

/// The end of a job is told by a signed request, again until the receiver has it; the key is made when
/// it is first needed, and is the same for everybody.
#[tokio::test]
async fn the_end_of_a_job_is_told_and_signed() {
    let Some(stack) = Stack::with(open()).await else { return };
    let admin = stack.admin().await;
    let target = Target::start(&[&answer("200 OK", "", "done")]).await;
    let busy = answer("503 Service Unavailable", "", "");
    let receiver = Target::start(&[&busy, &answer("204 No Content", "", "")]).await;
    let mut job = request(&target);
    (job["callback"], job["tags"]) = (json!({"url": receiver.url()}), json!({"run": "7"}));
    let id = create(&admin, &job).await;
    let requests = receiver.received(2).await;
    let payload: Value = serde_json::from_str(body(&requests[1])).unwrap();
    assert_eq!((&payload["type"], &payload["data"]["id"]), (&json!("job.completed"), &json!(id)));
    assert_eq!(payload["data"]["tags"], json!({"run": "7"}));
    assert_eq!(payload["data"]["result"]["body"], "done");
    let ids = header(&requests, "webhook-id");
    assert!(ids[0] == ids[1] && ids[0].starts_with("msg_"), "{ids:?}");

    let secret = admin.get("/api/v1/webhooks/secret").await.json();
    check_signatures(&requests, secret["secret"].as_str().unwrap());
    let name = format!("/diogenes/{}/webhook-key", stack.deployment());
    let parameter = stack.front.ssm("test").get_parameter().name(&name).send().await.unwrap();
    let kind = parameter.parameter().and_then(|parameter| parameter.r#type()).unwrap();
    assert_eq!(kind.as_str(), "SecureString");
    let made = stack.front.calls().action("PutParameter");
    assert_eq!(made.by(OUTBOUND).count(), 1, "whoever needs it first makes it");
    looks_come_to(&stack, 0).await;
    assert_still(&stack).await;
}

/// Every invocation is lost: the looks that were arranged beforehand make up for them, and the job
/// that comes next is never forgotten.
#[tokio::test]
async fn a_schedule_goes_on_though_every_invocation_is_lost() {
    let Some(stack) = Stack::with(open()).await else { return };
    let admin = stack.admin().await;
    let is_outbound = |function: Option<&str>| function == Some(OUTBOUND);
    let lost = stack.front.rule().to("lambda");
    lost.that(move |call| is_outbound(call.resource.function.as_deref())).fail(Fault::throttled());
    let target = Target::start(&[&answer("200 OK", "", "")]).await;
    let new = json!({"cron": "0 0 1 1 *", "job": request(&target)});
    let path = "/api/v1/schedules/yearly";
    let made = admin.put(path, &new).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let mut next = made.json();
    let mut times = BTreeSet::new();
    for fired in 1..=2 {
        let at = next["next_at"].as_str().unwrap().to_owned();
        let minute: jiff::Timestamp = at.parse().unwrap();
        let looks: Vec<_> = stack.front.schedules().into_iter().map(|one| one.at).collect();
        assert!(looks.contains(&minute), "{at} in {looks:?}");
        times.insert(at);
        let job = next["next_job"].as_str().unwrap().to_owned();
        bring_forward(&stack, "default", &job).await;
        stack.run_schedules();
        until(&admin, &job, "completed").await;
        assert_eq!(target.requests().len(), fired);
        stack.host.wait_idle().await;
        next = admin.get(path).await.json();
    }
    assert_eq!(times.len(), 2);
    // A year in which nothing is due: one look waits for its end.
    looks_come_to(&stack, 1).await;
    assert_still(&stack).await;
    assert_eq!(admin.delete(path).await.status, 200);
    looks_come_to(&stack, 0).await;
    assert_eq!(target.requests().len(), 2);
}

/// Killed while its request is under way, a worker is missed within minutes, and another one goes on.
#[tokio::test]
async fn another_worker_goes_on_where_one_was_killed() {
    let Some(stack) = Stack::with(open()).await else { return };
    let admin = stack.admin().await;
    let target = Target::start(&["hang", &answer("200 OK", "", "done")]).await;
    let id = create(&admin, &request(&target)).await;
    target.received(1).await;
    stack.host.kill(OUTBOUND);
    // Its lease lasts for a minute, longer than tests wait. A schedule's time comes at once here.
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        stack.run_schedules();
        if target.requests().len() == 2 {
            break;
        }
    }
    until(&admin, &id, "completed").await;
    let keys = header(&target.requests(), "idempotency-key");
    assert_eq!(keys, [id.clone(), id], "the server can tell that it is the same");
}

/// The end of a batch is told by those who work outside of the VPC.
#[tokio::test]
async fn the_end_of_a_batch_is_told() {
    let Some(stack) = Stack::with(open()).await else { return };
    let admin = stack.admin().await;
    let receiver = Target::start(&[&answer("204 No Content", "", "")]).await;
    let new = |file: &str| {
        json!({
            "input_file_id": file,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "callback": {"url": receiver.url()},
        })
    };
    // It fails for its file, before any model is asked.
    let file = upload(&admin, "{}").await;
    let made = admin.post("/v1/batches", &new(&file)).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let requests = receiver.received(1).await;
    let payload: Value = serde_json::from_str(body(&requests[0])).unwrap();
    assert_eq!(payload["data"]["tags"]["batch"], made.json()["id"]);
    assert_eq!(payload["data"]["kind"], "batch");
    let secret = admin.get("/api/v1/webhooks/secret").await.json();
    check_signatures(&requests, secret["secret"].as_str().unwrap());
    let mut inward = new(&file);
    inward["callback"]["url"] = json!("http://169.254.169.254/");
    let refused = admin.post("/v1/batches", &inward).await;
    assert_eq!(refused.json()["error"]["param"], "callback", "{}", refused.text());
    // Whoever may ask models may not have requests sent elsewhere.
    let client = stack.client(&[Scope::Inference]).await;
    let file = upload(&client, "{}").await;
    let refused = client.post("/v1/batches", &new(&file)).await;
    assert_eq!(refused.refusal(), (403, "insufficient_scope".into()));
}

/// Workers that have just been told of a job that is due later are not told again; what is created in
/// that moment is begun all the same.
#[tokio::test]
async fn a_job_whose_wake_up_was_merged_with_another_is_begun() {
    let Some(stack) = Stack::with(open()).await else { return };
    let admin = stack.admin().await;
    let target = Target::start(&[&answer("200 OK", "", "done")]).await;
    let mut later = request(&target);
    later["delay"] = json!("1h");
    create(&admin, &later).await;
    let id = create(&admin, &request(&target)).await;
    until(&admin, &id, "completed").await;
}

/// What the operator has prepared is kept in a parameter that the stack names.
#[tokio::test]
async fn callers_name_what_the_operator_has_prepared() {
    let name = "/diogenes/callers-name/job-templates";
    let Some(stack) = Stack::with(open().parameter("JobTemplates", name)).await else { return };
    let admin = stack.admin().await;
    let target = Target::start(&[&answer("200 OK", "", "pong")]).await;
    let templates = json!({"ping": {
        "kind": "http", "arguments": {"url": target.url()}, "tags": {"of": "template"},
    }});
    put_templates(&stack, name, &templates).await;
    let listed = admin.get("/api/v1/jobs/templates").await.json();
    let one = listed["data"].as_array().unwrap().iter().find(|one| one["name"] == "ping");
    assert_eq!(one.unwrap()["kind"], "http", "{listed}");
    let job = json!({"template": "ping", "arguments": {"json": {"text": "hi"}}});
    let done = until(&admin, &create(&admin, &job).await, "completed").await;
    assert_eq!(
        (&done["result"]["body"], &done["tags"]["of"]),
        (&json!("pong"), &json!("template"))
    );
    assert!(target.requests()[0].ends_with("{\"text\":\"hi\"}"), "{:?}", target.requests());
    let unknown = admin.post("/api/v1/jobs", &json!({"template": "pong"})).await;
    assert_eq!(unknown.json()["error"]["param"], "template", "{}", unknown.text());
}

/// Keeps templates where the stack looks for them.
pub(crate) async fn put_templates(stack: &Stack, name: &str, templates: &Value) {
    let kind = aws_sdk_ssm::types::ParameterType::String;
    let put = stack.front.ssm("test").put_parameter().name(name).r#type(kind);
    put.value(templates.to_string()).overwrite(true).send().await.expect("a parameter");
}

/// Does what can be done with jobs that send requests, and with schedules.
pub(crate) async fn everything(stack: &Stack, admin: &Client) {
    let target = Target::start(&[&answer("200 OK", "", "done")]).await;
    put_templates(stack, TEMPLATES, &json!({"ping": {"kind": "http"}})).await;
    for path in ["/api/v1/jobs/templates", "/api/v1/webhooks/secret"] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
    // Whoever needs the key of webhooks next makes it again.
    let name = format!("/diogenes/{}/webhook-key", stack.deployment());
    stack.front.ssm("test").delete_parameter().name(name).send().await.expect("it was made");
    let bounded = admin.request(Method::PATCH, "/api/v1/queues/http");
    let bounded = admin.send(bounded.json(&json!({"max_running": 2}))).await;
    assert_eq!(bounded.status, 200, "{}", bounded.text());
    let mut job = request(&target);
    (job["unique_key"], job["callback"]) = (json!("one"), json!({"url": target.url()}));
    until(admin, &create(admin, &job).await, "completed").await;
    job["delay"] = json!("1h");
    let waiting = create(admin, &job).await;
    let cancel = format!("/api/v1/jobs/{waiting}/cancel");
    assert_eq!(admin.post(&cancel, &json!({})).await.status, 200);

    let path = "/api/v1/schedules/yearly?project=search";
    let new = json!({"cron": "0 0 1 1 *", "job": request(&target)});
    let made = admin.put(path, &new).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let next = made.json()["next_job"].as_str().expect("a job").to_owned();
    bring_forward(stack, "search", &next).await;
    stack.run_schedules();
    // Of the first job and of its end, of the end of the cancelled one, and of the schedule's.
    target.received(4).await;
    for path in [path, "/api/v1/schedules"] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
    assert_eq!(admin.delete(path).await.status, 200);
    // The end of a batch wakes those who tell of it, unless somebody has in this moment: workers that
    // are idle were told longer ago.
    stack.host.wait_idle().await;
    let body = json!({
        "input_file_id": upload(admin, "{}").await,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "callback": {"url": target.url()},
    });
    let made = admin.post("/v1/batches", &body).await;
    assert_eq!(made.status, 200, "{}", made.text());
    target.received(5).await;
    stack.host.wait_idle().await;
    assert!(stack.front.calls().by(OUTBOUND).action("Invoke").count() > 0, "for another queue");
}
