use serde_json::{Value, json};

use super::*;

fn report() -> Report {
    let part = json!({
        "name": "overall", "verdict": "regressed", "reason": null, "examples_needed": null,
        "baseline": 0.9, "candidate": 0.5, "difference": -0.4, "lower": -0.6, "upper": -0.2,
        "confidence": 0.95, "p_worse": 0.001, "examples": 2, "unmeasured": 0, "method": "tango",
        "warnings": [],
    });
    let run = json!({
        "id": "eval_0123456789abcdef0123456789abcdef", "project": "default", "name": "",
        "status": "completed",
        "subject": {"kind": "model", "name": "<demo>", "prompt": null, "prompt_version": null, "model": "demo"},
        "dataset": {"name": "golden", "version": 3, "digest": "abc", "examples": 2},
        "evaluators": [{"type": "exact_match", "weight": 1.0}, {"type": "llm_judge", "weight": 1.0}],
        "parameters": {}, "concurrency": null, "timeout": "5m", "attempts": 5, "repeats": 1,
        "sample_size": null, "shuffle": false, "seed": 0, "cluster_by": null, "max_cost_usd": null,
        "min_pass_rate": null, "min_score": null, "total_examples": 2, "completed_examples": 2,
        "summary": {
            "overall_score": 0.5, "passed_count": 1, "failed_count": 1, "unmeasured_count": 0,
            "error_count": 0, "pass_rate": 0.5, "total_cost_usd": "0.001000000",
            "judge_cost_usd": null, "total_tokens": 7, "judge_tokens": 0, "avg_latency_ms": 12.0,
            "scores_by_evaluator": {
                "exact_match": {"score": 0.5, "pass_rate": 0.5, "measured_count": 2, "unmeasured_count": 0},
                "llm_judge": {"score": 0.5, "pass_rate": 0.5, "measured_count": 2, "unmeasured_count": 0},
            },
        },
        "verdict": "below_threshold", "verdict_reason": "the pass rate is 0.500, below 0.900",
        "warnings": [], "problem": null, "job_id": "0", "created_by": "ada@example.com",
        "created_at": "2026-11-30T12:00:00Z", "started_at": null, "ended_at": null,
    });
    let result = |id: &str, answer: &str, passed: bool| {
        let of = |name: &str, kind: &str| {
            json!({
                "name": name, "type": kind, "score": if passed { 1.0 } else { 0.0 }, "passed": passed,
                "explanation": if passed { "" } else { "expected `yes` | got <b>" }, "details": null,
            })
        };
        json!({
            "example_id": id, "position": 0, "repeat": 0, "input": "Is it?", "expected_output": "yes",
            "actual_output": answer, "standing": if passed { "passed" } else { "failed" },
            "evaluator_results": [of("exact_match", "exact_match"), of("llm_judge", "llm_judge")],
            "tags": ["a"], "cluster": null, "latency_ms": 12, "tokens_used": 3, "cost_usd": null,
            "judge_tokens": 0, "judge_cost_usd": null, "finish_reason": "stop", "error": null,
            "is_shortened": false,
        })
    };
    let attack = "<script>alert(1)</script>\n=cmd|'/c calc'!A1 @everyone";
    let comparison = json!({
        "verdict": "regressed", "headline": ["No: `<demo>` is worse.", "2 examples."],
        "baseline": run, "candidate": run, "overall": part, "evaluators": [], "tags": [part],
        "clusters": [], "better_count": 0, "worse_count": 1, "warnings": [],
        "changed": [{
            "example_id": "ex_2", "position": 1, "input": {"q": 1}, "expected_output": null,
            "difference": -1.0, "baseline": {"score": 1.0, "answer": "yes", "explanation": ""},
            "candidate": {"score": 0.0, "answer": attack, "explanation": ""},
        }],
    });
    let read = |value: Value| serde_json::from_value(value).expect("a result");
    Report {
        run: serde_json::from_value(run).expect("a run"),
        results: vec![read(result("ex_1", "yes", true)), read(result("ex_2", attack, false))],
        comparison: Some(serde_json::from_value(comparison).expect("a comparison")),
    }
}

#[test]
fn a_page_shows_what_models_wrote_and_runs_none_of_it() {
    let page = report().written(Form::Html).expect("written");
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
    assert!(!page.contains("<demo>") && page.contains("No: `&lt;demo&gt;` is worse."));
    assert!(page.contains("<svg") && page.contains("default-src 'none'"));
    for attribute in ["src=", "href=", "onload", "http://", "https://"] {
        assert!(!page.contains(attribute), "{attribute}");
    }
}

#[test]
fn junit_counts_failures_as_failures() {
    let text = report().written(Form::Junit).expect("written");
    assert!(text.contains("tests=\"2\"") && text.contains("failures=\"1\""), "{text}");
    assert!(text.contains("&lt;script&gt;") && text.contains("ex_2"), "{text}");
}

#[test]
fn the_first_lines_of_markdown_are_the_answer() {
    let text = report().written(Form::Markdown).expect("written");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("No: `&lt;demo&gt;` is worse."));
    assert!(
        text.contains("1 of 2 results pass (50.0 %)") && text.contains("1 results did not pass")
    );
    assert!(!text.contains("@everyone") && !text.contains("<script>"), "{text}");
}

#[test]
fn a_spreadsheet_has_a_row_per_result() {
    let text = report().written(Form::Csv).expect("written");
    assert!(text.starts_with("example_id,repeat,standing,input"), "{text}");
    assert!(text.contains("exact_match.score,exact_match.passed"), "{text}");
    let json = report().written(Form::Json).expect("written");
    let value: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(value["results"].as_array().map(Vec::len), Some(2));
}

#[test]
fn reports_are_named_by_form_and_file() {
    let Wanted { form, file } = wanted("junit=out/eval.xml").expect("a report");
    assert_eq!((form, file), (Form::Junit, PathBuf::from("out/eval.xml")));
    for bad in ["junit", "pdf=x", "html="] {
        assert!(wanted(bad).is_err(), "{bad}");
    }
}
