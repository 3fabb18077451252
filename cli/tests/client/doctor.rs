use serde_json::Value;

use crate::fake::{Fake, Program};

#[test]
fn doctor_warns_of_targets_and_providers_that_nobody_answers_for() {
    let times = r#""created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z""#;
    let routes = format!(
        r#"{{"data": [{{"name": "assistant", "source": "api", {times}, "spec": {{"targets": ["old"]}},
            "missing_targets": ["old"]}}]}}"#
    );
    let providers = ["good", "bad"].map(|name| {
        format!(
            r#"{{"name": "{name}", "source": "api", {times},
                "spec": {{"kind": "openai", "base_url": "http://127.0.0.1:9"}}}}"#
        )
    });
    let providers = format!(r#"{{"data": [{}]}}"#, providers.join(","));
    let server = Fake::with(
        [
            ("/api/v1/openapi.json", r#"{"info": {"title": "Diogenes"}}"#),
            ("/api/v1/cluster", r#"{"data": []}"#),
            ("/api/v1/models", r#"{"data": [], "next_cursor": null}"#),
            ("/api/v1/routes", &routes),
            ("/api/v1/providers", &providers),
            ("/api/v1/providers/good/check", r#"{"ok": true, "status": 200, "models": 2}"#),
            (
                "/api/v1/providers/bad/check",
                r#"{"ok": false, "problem": "its API key cannot be used: `KEY` is not set"}"#,
            ),
        ],
        404,
        "{}",
    );
    let done = Program::new(&["doctor", "-o", "json", "--url", &server.url]).run();
    let report: Value = serde_json::from_str(&done.output).unwrap();
    let check = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        [&check["status"], &check["detail"]].map(|value| value.as_str().unwrap().to_owned())
    };
    assert_eq!(check("route `assistant`"), ["warning", "its target `old` does not exist"]);
    assert_eq!(check("provider `good`"), ["ok", "answers, with 2 models"]);
    assert_eq!(
        check("provider `bad`"),
        ["warning", "its API key cannot be used: `KEY` is not set"]
    );
    // Requests go elsewhere meanwhile.
    assert_eq!(done.code, 0, "{done:?}");
}
