use diogenes_e2e::{Config, Model, Serve, eventually};
use serde_json::json;

use super::{caller, content, create, custom_ids, lines, tokens, until, upload};

/// The whole of it: the model sleeps, is woken, answers every line and goes, though its idle timeout
/// is an hour.
#[tokio::test]
async fn a_batch_wakes_its_model_is_answered_and_lets_it_go() {
    let model =
        Model::mock("demo", &["--load-weights-delay", "300ms"]).line("idle_timeout = \"1h\"");
    let card = "[rate_cards.demo]\nversion = \"1\"\nprice = { input = \"1\", output = \"2\" }\n";
    let serve = Serve::start(Config::with([model]).tables(card)).await;
    let (admin, client) = (serve.client(), caller(&serve.client()).await);
    let input = upload(&client, &lines(40, "demo")).await;
    let batch = create(&client, &input).await;
    let done = until(&client, &batch, "completed").await;
    assert_eq!(done["request_counts"], json!({"total": 40, "completed": 40, "failed": 0}));
    assert_eq!((&done["model"], &done["error_file_id"]), (&json!("demo"), &json!(null)));
    assert_eq!(done["metadata"], json!({"name": "nightly"}));
    for time in ["in_progress_at", "finalizing_at", "completed_at"] {
        assert!(done[time].as_i64() >= done["created_at"].as_i64(), "{time}: {done}");
    }
    let output = content(&client, &done["output_file_id"]).await;
    let expected: Vec<_> = (1..=40).map(|number| format!("r{number}")).collect();
    assert_eq!(custom_ids(&output), expected, "in the order of the input");
    for line in &output {
        let response = &line["response"];
        assert_eq!((&response["status_code"], &line["error"]), (&json!(200), &json!(null)));
        assert!(response["body"]["choices"][0]["message"]["content"].is_string(), "{line}");
        assert_eq!(response["request_id"], line["id"]);
    }
    let (input, output) = tokens(&output);
    let cost = input * 1_000 + output * 2_000;
    let bill = &done["usage"];
    assert!(input > 0 && output > 0, "{bill}");
    assert_eq!((&bill["input_tokens"], &bill["output_tokens"]), (&json!(input), &json!(output)));
    assert_eq!(bill["total_tokens"], input + output);
    assert_eq!(bill["cost_usd"], format!("0.{cost:09}"), "in dollars, of nano-dollars");
    // Nobody else has used it.
    admin.until("demo", "asleep").await;
    // What was used is the creator's.
    let usage = eventually("the usage of the batch", async || {
        let usage = admin.get("/api/v1/usage?by=key").await.json();
        let requests = usage["data"][0]["requests"].as_u64();
        if requests == Some(40) { Ok(usage) } else { Err(usage) }
    })
    .await;
    assert_eq!(usage["data"].as_array().unwrap().len(), 1, "{usage}");
}

/// Lines that fail are told in a file of their own, and the rest is answered.
#[tokio::test]
async fn lines_that_fail_have_their_errors_in_a_file_of_their_own() {
    let (serve, _) = Serve::ready(Model::mock("demo", &[])).await;
    let client = caller(&serve.client()).await;
    let mut text = lines(3, "demo");
    text += &super::line("bad", "demo").replace("\"max_tokens\":4", "\"max_tokens\":\"x\"");
    let batch = create(&client, &upload(&client, &text).await).await;
    let done = until(&client, &batch, "completed").await;
    assert_eq!(done["request_counts"], json!({"total": 4, "completed": 3, "failed": 1}));
    let errors = content(&client, &done["error_file_id"]).await;
    assert_eq!(custom_ids(&errors), ["bad"]);
    assert_eq!(errors[0]["response"]["status_code"], 400);
    assert!(errors[0]["response"]["body"]["error"]["message"].is_string(), "{}", errors[0]);
}

/// A cancel keeps what was answered, and says of the rest that it was not.
#[tokio::test]
async fn a_cancelled_batch_keeps_what_was_answered() {
    let model = Model::mock("demo", &["--ttft", "20ms"]).line("target_concurrency = 2");
    let (serve, _) = Serve::ready(model).await;
    let client = caller(&serve.client()).await;
    let batch = create(&client, &upload(&client, &lines(2_000, "demo")).await).await;
    eventually("the first answers", async || {
        let batch = client.get(&format!("/v1/batches/{batch}")).await.json();
        if batch["request_counts"]["completed"].as_u64() > Some(0) { Ok(()) } else { Err(batch) }
    })
    .await;
    let answer = client.post(&format!("/v1/batches/{batch}/cancel"), &json!({})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!("cancelling")));
    let done = until(&client, &batch, "cancelled").await;
    let output = content(&client, &done["output_file_id"]).await;
    let errors = content(&client, &done["error_file_id"]).await;
    assert_eq!(output.len() + errors.len(), 2_000);
    assert_eq!(done["request_counts"]["completed"], output.len());
    assert!(!output.is_empty() && !errors.is_empty());
    assert_eq!(errors[0]["error"]["code"], "batch_cancelled");
    let again = client.post(&format!("/v1/batches/{batch}/cancel"), &json!({})).await;
    assert_eq!((again.status.as_u16(), again.code().as_str()), (409, "conflict"));
}

/// Two batches of one model share its wake-up.
#[tokio::test]
async fn batches_of_one_model_share_one_wake_up() {
    let model =
        Model::mock("demo", &["--load-weights-delay", "300ms"]).line("idle_timeout = \"1h\"");
    let serve = Serve::start(Config::with([model])).await;
    let client = caller(&serve.client()).await;
    let input = upload(&client, &lines(20, "demo")).await;
    let batches = [create(&client, &input).await, create(&client, &input).await];
    for batch in &batches {
        let done = until(&client, batch, "completed").await;
        assert_eq!(done["request_counts"]["completed"], 20);
    }
    let listed = client.get("/v1/batches?limit=1").await.json();
    assert_eq!((&listed["data"][0]["id"], &listed["has_more"]), (&json!(batches[1]), &json!(true)));
    let next = client.get(&format!("/v1/batches?after={}", batches[1])).await.json();
    assert_eq!((&next["data"][0]["id"], &next["has_more"]), (&json!(batches[0]), &json!(false)));
    let boots = serve.log().matches("from=\"launching\" to=\"booting\"").count();
    assert_eq!(boots, 1, "{}", serve.log());
}

/// A model that a caller uses stays for its idle timeout, whatever a batch has done with it.
#[tokio::test]
async fn a_model_that_callers_use_stays_after_a_batch() {
    let model = Model::mock("demo", &[]).line("idle_timeout = \"1h\"");
    let serve = Serve::start(Config::with([model])).await;
    let client = caller(&serve.client()).await;
    assert_eq!(client.chat("demo").await.status, 200);
    let batch = create(&client, &upload(&client, &lines(5, "demo")).await).await;
    until(&client, &batch, "completed").await;
    let admin = serve.client();
    // The batch's wake-up has been looked at once its lease is gone and the model was asked again.
    assert_eq!(client.chat("demo").await.status, 200);
    assert_eq!(admin.state("demo").await["standing"], "ready");
}
