use diogenes_core::gateway::ProviderKind;
use diogenes_core::gateway::record::{AttemptOutcome, Host};
use diogenes_core::ports::Amount;
use serde_json::{Value, json};

use super::*;
use crate::telemetry::testing::{TRACE, record};

fn exported(record: &RequestRecord) -> Vec<Value> {
    let resource = [("service.name".into(), "diogenes".into())].into();
    let traces = serde_json::to_value(Traces::new(Resource::new(&resource), [record])).unwrap();
    let of = &traces["resourceSpans"][0];
    assert_eq!(of["resource"]["attributes"][0]["value"]["stringValue"], "diogenes");
    assert_eq!(of["scopeSpans"][0]["scope"]["name"], "diogenes");
    let spans = of["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    assert_eq!(spans.len() as u64, count(record));
    spans
}

/// The attributes of a span or an event, each without its type.
fn attributes(of: &Value) -> Value {
    let all = of["attributes"].as_array().unwrap().iter();
    let plain = all.map(|attribute| {
        let value = attribute["value"].as_object().unwrap().values().next().unwrap();
        (attribute["key"].as_str().unwrap().to_owned(), value.clone())
    });
    Value::Object(plain.collect())
}

#[test]
fn a_request_is_a_span_of_the_server_and_each_attempt_one_below_it() {
    let spans = exported(&record());
    let [server, client] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(server["traceId"], TRACE);
    assert_eq!(
        (&server["spanId"], &server["parentSpanId"]),
        (&json!("0000000000000001"), &Value::Null)
    );
    assert_eq!((&server["name"], &server["kind"]), (&json!("chat assistant"), &json!(2)));
    assert_eq!(server["startTimeUnixNano"], "1795762800000000000");
    assert_eq!(server["endTimeUnixNano"], "1795762802000000000");
    assert_eq!((&server["flags"], &server["status"]), (&json!(0x101), &json!({})));
    assert_eq!(
        attributes(server),
        json!({
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "diogenes",
            "gen_ai.request.model": "assistant",
            "gen_ai.response.model": "demo",
            "gen_ai.request.stream": true,
            "gen_ai.request.max_tokens": "64",
            "gen_ai.usage.input_tokens": "100",
            "gen_ai.usage.output_tokens": "11",
            "gen_ai.response.time_to_first_chunk": 1.0,
            "http.request.method": "POST",
            "http.route": "/v1/chat/completions",
            "url.path": "/v1/chat/completions",
            "http.response.status_code": "200",
            "diogenes.request.id": "request-1",
            "diogenes.project": "default",
            "diogenes.key.id": "key_1",
            "diogenes.model": "demo",
            "diogenes.prompt": "tutor:v1",
            "diogenes.route": "assistant",
            "diogenes.target": "0/claim",
            "diogenes.attempts": "1",
        })
    );
    assert_eq!(
        (&client["traceId"], &client["parentSpanId"]),
        (&server["traceId"], &server["spanId"])
    );
    assert_eq!((&client["name"], &client["kind"]), (&json!("chat org/demo"), &json!(3)));
    assert_eq!(client["startTimeUnixNano"], "1795762800005000000");
    assert_eq!(
        attributes(client),
        json!({
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "diogenes",
            "gen_ai.request.model": "org/demo",
            "gen_ai.request.stream": true,
            "http.request.method": "POST",
            "http.response.status_code": "200",
            "server.address": "127.0.0.1",
            "server.port": "8000",
            "diogenes.model": "demo",
            "diogenes.target": "0/claim",
            "diogenes.attempt": "1",
            "diogenes.outcome": "answered",
        })
    );
}

#[test]
fn the_parent_of_a_callers_trace_is_known_to_be_elsewhere() {
    let mut record = record();
    record.trace.parent = SpanId::new(0xabc);
    let spans = exported(&record);
    assert_eq!(spans[0]["parentSpanId"], "0000000000000abc");
    assert_eq!((&spans[0]["flags"], &spans[1]["flags"]), (&json!(0x301), &json!(0x101)));
}

#[test]
fn a_fallback_shows_what_each_target_said_and_what_it_cost() {
    let mut record = record();
    let mut answered = record.attempts[0].clone();
    answered.model = "openai/gpt-5-mini".parse().unwrap();
    answered.asked_as = "gpt-5-mini".into();
    answered.authority = "api.openai.com:443".into();
    answered.provider = Some(Host {
        name: "openai".into(),
        kind: ProviderKind::OpenAi,
        authority: "api.openai.com".into(),
    });
    record.provider = answered.provider.clone();
    record.cost = Some(Amount::saturating(1_500_000));
    let first = &mut record.attempts[0];
    (first.status, first.outcome) = (Some(503), AttemptOutcome::Refused);
    first.error = Some("503".into());
    record.attempts.push(answered);
    let other = "other".parse().unwrap();
    let (after, error) = (Duration::from_millis(1), "provider_unavailable".into());
    record.passed_over.push(PassedOver { model: other, after, error });
    record.held = Some(Stretch { after, took: Duration::from_millis(1500) });
    let spans = exported(&record);
    let [server, hold, refused, client] = &spans[..] else { panic!("{spans:?}") };
    let told = attributes(server);
    assert_eq!(
        (&told["gen_ai.provider.name"], &told["gen_ai.response.model"]),
        (&json!("openai"), &json!("openai/gpt-5-mini"))
    );
    assert_eq!(
        (&told["diogenes.cost_usd"], &told["diogenes.attempts"]),
        (&json!(0.0015), &json!("2"))
    );
    assert_eq!(told["diogenes.cold_start_ms"], 1500.0);
    let event = &server["events"][0];
    assert_eq!(
        (&event["name"], &event["timeUnixNano"]),
        (&json!("diogenes.passed_over"), &json!("1795762800001000000"))
    );
    let passed_over = json!({"diogenes.model": "other", "error.type": "provider_unavailable"});
    assert_eq!(attributes(event), passed_over);
    assert_eq!((&hold["name"], &hold["kind"]), (&json!("hold"), &json!(1)));
    assert_eq!(hold["endTimeUnixNano"], "1795762801501000000");
    assert_eq!(refused["status"], json!({"code": 2, "message": "503"}));
    assert_eq!(attributes(refused)["diogenes.outcome"], "refused");
    assert_eq!((&client["name"], &client["status"]), (&json!("chat gpt-5-mini"), &json!({})));
    assert_eq!(attributes(client)["server.address"], "api.openai.com");
    assert_eq!(server["status"], json!({}));
}

#[test]
fn a_failure_of_ours_is_an_error_and_a_callers_mistake_is_none() {
    for (status, error, is_failed) in [
        (502, "upstream_unreachable", true),
        // Its head had left.
        (200, "upstream_cut", true),
        (404, "model_not_found", false),
        (499, "client_closed_request", false),
    ] {
        let record = RequestRecord { status, error: Some(error.into()), ..record() };
        let server = &exported(&record)[0];
        assert_eq!(attributes(server)["error.type"], error);
        let expected = if is_failed { json!({"code": 2, "message": error}) } else { json!({}) };
        assert_eq!(server["status"], expected, "{error}");
    }
}

#[test]
fn a_name_that_leads_nowhere_names_no_span() {
    let record = RequestRecord {
        requested: Some("anything".into()),
        model: None,
        attempts: Vec::new(),
        ..record()
    };
    let server = &exported(&record)[0];
    assert_eq!(server["name"], "chat");
    assert_eq!(attributes(server)["gen_ai.request.model"], "anything");
    assert_eq!(attributes(server).get("gen_ai.response.model"), None);
}
