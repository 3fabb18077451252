use serde_json::{Value, json};

use super::series::MAX_SERIES;
use super::*;
use crate::telemetry::testing::record;

fn exported(records: &[RequestRecord]) -> Vec<Value> {
    let mut all = Aggregates::new("2026-11-27T07:00:00Z".parse().unwrap());
    for record in records {
        all.note(record);
    }
    let resource = [("service.name".into(), "diogenes".into())].into();
    let resource = Resource::new(&resource);
    let now = "2026-11-27T07:01:00Z".parse().unwrap();
    let exported = serde_json::to_value(all.exported(resource, now).unwrap()).unwrap();
    let of = &exported["resourceMetrics"][0];
    assert_eq!(of["resource"]["attributes"][0]["value"]["stringValue"], "diogenes");
    of["scopeMetrics"][0]["metrics"].as_array().unwrap().clone()
}

fn named<'a>(metrics: &'a [Value], name: &str) -> &'a Value {
    metrics.iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

fn attribute<'a>(point: &'a Value, key: &str) -> &'a Value {
    let all = point["attributes"].as_array().unwrap();
    all.iter().find(|attribute| attribute["key"] == key).map_or(&Value::Null, |it| &it["value"])
}

#[test]
fn before_the_first_request_there_is_nothing_to_send() {
    let all = Aggregates::new("2026-11-27T07:00:00Z".parse().unwrap());
    let nobody = std::collections::BTreeMap::new();
    let resource = Resource::new(&nobody);
    assert!(all.exported(resource, "2026-11-27T07:01:00Z".parse().unwrap()).is_none());
}

#[test]
fn a_request_is_in_every_histogram_that_is_about_it() {
    let metrics = exported(&[record(), record()]);
    for (name, unit, count, sum) in [
        ("gen_ai.server.request.duration", "s", "2", 4.0),
        ("gen_ai.server.time_to_first_token", "s", "2", 2.0),
        ("gen_ai.server.time_per_output_token", "s", "2", 0.2),
        ("gen_ai.client.inference.operation.input_tokens", "{token}", "2", 200.0),
        ("gen_ai.client.inference.operation.output_tokens", "{token}", "2", 22.0),
    ] {
        let metric = named(&metrics, name);
        assert_eq!(
            (&metric["unit"], &metric["histogram"]["aggregationTemporality"]),
            (&json!(unit), &json!(2))
        );
        let point = &metric["histogram"]["dataPoints"][0];
        assert_eq!((&point["count"], &point["sum"]), (&json!(count), &json!(sum)), "{name}");
        let (counts, bounds) = (&point["bucketCounts"], &point["explicitBounds"]);
        let (counts, bounds) = (counts.as_array().unwrap(), bounds.as_array().unwrap());
        assert_eq!(counts.len(), bounds.len() + 1);
        let filled = counts.iter().position(|count| count == "2").unwrap();
        let least = filled.checked_sub(1).map_or(0.0, |below| bounds[below].as_f64().unwrap());
        assert!(least < point["min"].as_f64().unwrap(), "{point}");
        assert!(bounds[filled].as_f64().unwrap() >= point["max"].as_f64().unwrap(), "{point}");
        assert_eq!(point["startTimeUnixNano"], "1795762800000000000");
        assert_eq!(point["timeUnixNano"], "1795762860000000000");
        for (key, value) in [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "diogenes"),
            ("gen_ai.request.model", "assistant"),
            ("gen_ai.response.model", "demo"),
        ] {
            assert_eq!(attribute(point, key)["stringValue"], value, "{name}");
        }
        assert_eq!(attribute(point, "diogenes.key.id"), &Value::Null);
    }
    let sum = &named(&metrics, "gen_ai.client.inference.usage.output_tokens")["sum"];
    assert_eq!((&sum["isMonotonic"], &sum["dataPoints"][0]["asInt"]), (&json!(true), &json!("22")));
    let modality = attribute(&sum["dataPoints"][0], "gen_ai.token.modality");
    assert_eq!(modality["stringValue"], "unknown");
    assert!(metrics.iter().all(|metric| metric["name"] != "gen_ai.client.inference.usage.cache_read.input_tokens"));
}

#[test]
fn what_failed_has_a_duration_and_its_error_and_no_first_token() {
    let failed = RequestRecord { error: Some("upstream_cut".into()), usage: None, ..record() };
    let metrics = exported(&[failed]);
    assert_eq!(metrics.len(), 1);
    let point = &metrics[0]["histogram"]["dataPoints"][0];
    assert_eq!(attribute(point, "error.type")["stringValue"], "upstream_cut");
}

#[test]
fn embeddings_have_tokens_of_their_own() {
    let embedded = RequestRecord { endpoint: "/v1/embeddings", first_content: None, ..record() };
    let names: Vec<_> = exported(&[embedded]).iter().map(|it| it["name"].clone()).collect();
    let expected =
        ["gen_ai.server.request.duration", "gen_ai.client.embeddings.operation.input_tokens"];
    assert_eq!(names, expected);
}

#[test]
fn names_that_callers_think_of_do_not_grow_into_ever_more_series() {
    let unknown = |name: String| RequestRecord {
        requested: Some(name),
        model: None,
        usage: None,
        first_content: None,
        ..record()
    };
    let metrics = exported(&[unknown("a".into()), unknown("b".into())]);
    assert_eq!(metrics[0]["histogram"]["dataPoints"].as_array().unwrap().len(), 1);
    let hosted =
        |number: usize| RequestRecord { requested: Some(format!("openai/{number}")), ..record() };
    let all: Vec<_> = (0..MAX_SERIES + 10).map(hosted).collect();
    let metrics = exported(&all);
    let points = named(&metrics, "gen_ai.server.request.duration")["histogram"]["dataPoints"]
        .as_array()
        .unwrap();
    assert_eq!(points.len(), MAX_SERIES + 1);
    let rest = points.last().unwrap();
    assert_eq!(attribute(rest, "otel.metric.overflow")["boolValue"], true);
    assert_eq!(rest["count"], "10");
}
