use serde_json::{Value, json};

use super::*;

fn spec(value: Value) -> EvaluatorSpec {
    serde_json::from_value(value).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "cases are written in place")]
fn check(evaluator: Value, expected: Option<Value>, answer: &str) -> Scored {
    let evaluator = Evaluator::new(&spec(evaluator)).unwrap();
    let Check::Plain(check) = evaluator.check() else { panic!("it asks somebody") };
    check.score(&Case { input: &Value::Null, expected: expected.as_ref(), answer })
}

fn passes(evaluator: Value, expected: Option<Value>, answer: &str) -> bool {
    check(evaluator, expected, answer).passed().unwrap()
}

#[test]
fn an_exact_match_minds_what_it_is_told_to() {
    let usual = || json!({"type": "exact_match"});
    assert!(passes(usual(), Some(json!("Paris")), " Paris\n"));
    assert!(!passes(usual(), Some(json!("Paris")), "paris"));
    let strict = json!({"type": "exact_match", "params": {"normalize": []}});
    assert!(!passes(strict, Some(json!("Paris")), "Paris\n"));
    let loose = || json!({"type": "exact_match", "params": {"normalize": ["lowercase", "punctuation", "whitespace"]}});
    assert!(passes(loose(), Some(json!("The  end.")), "the end"));
    assert!(passes(usual(), Some(json!({"a": 1, "b": [2]})), "{\"b\": [2.0], \"a\": 1}"));
    assert!(!passes(usual(), Some(json!({"a": 1})), "{\"a\": 1, \"b\": 2}"));
    assert!(passes(usual(), Some(json!(42)), "42.0"));
    assert!(!passes(usual(), Some(json!(42)), "forty-two"));
    let scored = check(usual(), Some(json!("Paris")), "Rome");
    assert_eq!(scored.explanation(), "expected `Paris`, got `Rome`");
    assert_eq!(check(usual(), None, "Rome").score(), None);
}

#[test]
fn an_answer_contains_all_any_or_none() {
    let contains = |params: Value| json!({"type": "contains", "params": params});
    assert!(passes(contains(json!({"values": ["a", "b"]})), None, "b a"));
    assert!(!passes(contains(json!({"values": ["a", "b"]})), None, "a"));
    assert!(passes(contains(json!({"values": ["a", "b"], "mode": "any"})), None, "xb"));
    assert!(!passes(contains(json!({"values": ["a", "b"], "mode": "none"})), None, "xb"));
    assert!(passes(
        contains(json!({"normalize": ["lowercase"]})),
        Some(json!("PARIS")),
        "in Paris"
    ));
    assert!(!passes(contains(json!({})), Some(json!(["Paris", "France"])), "Paris"));
    assert_eq!(check(contains(json!({})), Some(json!(4)), "4").score(), None);
    assert_eq!(check(contains(json!({})), None, "4").score(), None);
}

#[test]
fn patterns_are_found_or_not() {
    let regex = |params: Value| json!({"type": "regex", "params": params});
    assert!(passes(regex(json!({"pattern": "^\\d+$"})), None, "42"));
    assert!(!passes(regex(json!({"pattern": "\\d+", "mode": "full"})), None, "42 "));
    assert!(passes(regex(json!({"pattern": "a|b", "mode": "full"})), None, "b"));
    assert!(passes(regex(json!({"pattern": "sorry", "mode": "absent"})), None, "Paris"));
    assert!(!passes(
        regex(json!({"pattern": "sorry", "mode": "absent", "ignore_case": true})),
        None,
        "Sorry!"
    ));
}

#[test]
fn a_schema_tells_where_it_fails() {
    let schema = json!({"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string"}, "inhabitants": {"type": "integer", "minimum": 1},
    }});
    let evaluator = |fenced: bool| json!({"type": "json_schema", "params": {"schema": schema, "fenced": fenced}});
    assert!(passes(evaluator(false), None, "{\"city\": \"Paris\"}"));
    let scored = check(evaluator(false), None, "{\"city\": \"Paris\", \"inhabitants\": 0}");
    assert!(
        scored.explanation().starts_with("`/inhabitants`: 0 is less than"),
        "{}",
        scored.explanation()
    );
    let scored = check(evaluator(false), None, "{}");
    assert!(
        scored.explanation().contains("\"city\" is a required property"),
        "{}",
        scored.explanation()
    );
    let fenced = "```json\n{\"city\": \"Paris\"}\n```";
    assert!(passes(evaluator(true), None, fenced));
    let scored = check(evaluator(false), None, fenced);
    assert!(scored.explanation().contains("is not JSON"), "{}", scored.explanation());
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let huge = "(a{1000}){1000}";
    for (evaluator, field, told) in [
        (json!({"type": "regex"}), "params", "missing field `pattern`"),
        (
            json!({"type": "regex", "params": {"pattern": "("}}),
            "params.pattern",
            "not a regular expression",
        ),
        (json!({"type": "regex", "params": {"pattern": "(?=a)"}}), "params.pattern", "look-around"),
        (
            json!({"type": "regex", "params": {"pattern": huge}}),
            "params.pattern",
            "smaller repetitions",
        ),
        (
            json!({"type": "regex", "params": {"pattern": "a", "flags": "i"}}),
            "params.flags",
            "unknown field",
        ),
        (json!({"type": "contains", "params": {"values": []}}), "params.values", "1 to 100"),
        (
            json!({"type": "contains", "params": {"values": ["a", " "]}}),
            "params.values",
            "none of them empty",
        ),
        (json!({"type": "contains", "params": {"mode": "most"}}), "params.mode", "unknown variant"),
        (
            json!({"type": "exact_match", "params": {"normalize": ["x"]}}),
            "params.normalize[0]",
            "unknown variant",
        ),
        (json!({"type": "json_schema", "params": {"schema": []}}), "params.schema", "object"),
        (
            json!({"type": "json_schema", "params": {"schema": {"type": "thing"}}}),
            "params.schema",
            "`/type`",
        ),
        (
            json!({"type": "json_schema", "params": {"schema": {"$ref": "#"}}}),
            "params.schema",
            "itself",
        ),
        (
            json!({"type": "json_schema", "params": {"schema": {"$ref": "http://example.com/s.json"}}}),
            "params.schema",
            "not fetched",
        ),
        (
            json!({"type": "json_schema", "params": {"schema": {"pattern": huge}}}),
            "params.schema",
            "cannot be used",
        ),
        (json!({"type": "exact_match", "weight": 0.0}), "weight", "above 0"),
        (json!({"type": "exact_match", "threshold": 0.5}), "threshold", "only passes or fails"),
        (json!({"type": "exact_match", "name": "a\nb"}), "name", "control"),
        (
            json!({"type": "llm_judge", "params": {"model": "m"}}),
            "params",
            "missing field `rubric`",
        ),
        (
            json!({"type": "llm_judge", "params": {"model": "m", "rubric": " "}}),
            "params.rubric",
            "text",
        ),
        (
            json!({"type": "llm_judge", "params": {"model": "m", "rubric": "x", "scale": {"min": 5, "max": 1}}}),
            "params.scale",
            "go up",
        ),
        (
            json!({"type": "llm_judge", "threshold": 2.0, "params": {"model": "m", "rubric": "x"}}),
            "threshold",
            "0 to 1",
        ),
        (json!({"type": "webhook", "params": {"url": "ftp://x"}}), "params.url", "http"),
        (
            json!({"type": "semantic_similarity", "params": {"model": "a b"}}),
            "params.model",
            "name",
        ),
    ] {
        let problem = Evaluator::new(&spec(evaluator.clone())).unwrap_err();
        assert_eq!(problem.field, field, "{evaluator}: {problem}");
        assert!(problem.problem.contains(told), "{evaluator}: {problem}");
    }
}

#[test]
fn evaluators_of_a_run_have_names_of_their_own() {
    let two = [
        spec(json!({"type": "exact_match"})),
        spec(json!({"type": "contains", "name": "exact_match"})),
    ];
    let problem = Evaluator::all(&two).unwrap_err();
    assert_eq!(problem.field, "evaluators[1].name");
    assert_eq!(Evaluator::all(&[]).unwrap_err().field, "evaluators");
    let bad = [
        spec(json!({"type": "exact_match"})),
        spec(json!({"type": "regex", "params": {"pattern": "("}})),
    ];
    assert_eq!(Evaluator::all(&bad).unwrap_err().field, "evaluators[1].params.pattern");
}

#[test]
fn no_number_is_made_of_what_is_none() {
    for score in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
        assert_eq!(Scored::graded(score, 0.5, "").score(), None, "{score}");
    }
}

#[test]
fn embeddings_become_a_cosine() {
    let evaluator = spec(json!({"type": "semantic_similarity", "params": {"model": "embed"}}));
    let evaluator = Evaluator::new(&evaluator).unwrap();
    let Check::Similarity(similarity) = evaluator.check() else { panic!("not one") };
    let answer =
        |a: &str, b: &str| format!("{{\"data\":[{{\"embedding\":{a}}},{{\"embedding\":{b}}}]}}");
    let read = |answer: &str| similarity.read(answer.as_bytes(), 0.8).score();
    let near = read(&answer("[1,0]", "[1,1]")).unwrap();
    assert!((near - 0.5f64.sqrt()).abs() < 1e-9);
    assert_eq!(read(&answer("[1,0]", "[-1,0]")), Some(0.0));
    for bad in [
        answer("[0,0]", "[1,1]"),
        answer("[1]", "[1,1]"),
        answer("[1e300]", "[1e300]"),
        "{}".into(),
    ] {
        assert_eq!(read(&bad), None, "{bad}");
    }
}

#[test]
fn every_type_says_what_it_takes() {
    for kind in EvaluatorType::ALL {
        let info = kind.info();
        assert_eq!(kind.as_str().parse(), Ok(kind));
        assert!(!info.description.is_empty() && !info.params.is_empty());
    }
    assert!("bleu".parse::<EvaluatorType>().unwrap_err().contains("`exact_match`"));
}
