//! What jobs of one's own, schedules and looks at their queues cost: their calls of AWS, counted.

use diogenes_e2e::aws::stack::{BATCHES, OUTBOUND, Stack};
use diogenes_e2e::target::{Target, answer};
use http::Method;
use serde_json::json;

use crate::calls::Mark;
use crate::jobs::{create, open, request, until};

#[tokio::test]
async fn jobs_and_schedules_cost_what_they_did() {
    let Some(stack) = Stack::with(open()).await else { return };
    let admin = stack.admin().await;
    let target = Target::start(&[&answer("200 OK", "", "done")]).await;
    let mark = Mark::new(&stack);
    let mut job = request(&target);
    job["delay"] = json!("1h");
    let waiting = create(&admin, &job).await;
    stack.host.wait_idle().await;
    let mut found = vec![format!("POST /api/v1/jobs: {}", mark.words(BATCHES).join(", "))];
    found.push(format!("a look at what is due later: {}", mark.words(OUTBOUND).join(", ")));
    let mark = Mark::new(&stack);
    let done = create(&admin, &request(&target)).await;
    until(&admin, &done, "completed").await;
    stack.host.wait_idle().await;
    // How often it looks depends on the machine.
    let mut words = mark.words(OUTBOUND);
    words.retain(|word| word.starts_with("PutItem") || word.starts_with("UpdateItem"));
    found.push(format!("what an http job writes: {}", words.join(", ")));
    for (method, path, body) in [
        ("POST", format!("/api/v1/jobs/{waiting}/cancel"), json!({})),
        (
            "PUT",
            "/api/v1/schedules/yearly".into(),
            json!({"cron": "@yearly", "job": request(&target)}),
        ),
        ("GET", "/api/v1/schedules".into(), json!(null)),
        ("DELETE", "/api/v1/schedules/yearly".into(), json!(null)),
        ("GET", "/api/v1/jobs/templates".into(), json!(null)),
        ("GET", "/api/v1/webhooks/secret".into(), json!(null)),
        ("GET", "/api/v1/webhooks/secret".into(), json!(null)),
    ] {
        let mark = Mark::new(&stack);
        let mut request = admin.request(method.parse::<Method>().expect("a method"), &path);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = admin.send(request).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        let path = path.replace(&waiting, "ID");
        found.push(format!("{method} {path}: {}", mark.words(BATCHES).join(", ")));
        stack.host.wait_idle().await;
    }
    insta::assert_snapshot!(found.join("\n"));
}
