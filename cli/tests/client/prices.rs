use serde_json::{Value, json};

use crate::fake::{Done, Fake, Program};

const LITELLM: &str = r#"{
    "sample_spec": {"litellm_provider": "one of many", "input_cost_per_token": 0.0},
    "gpt-x": {"litellm_provider": "openai", "mode": "chat",
        "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05},
    "groq/llama": {"litellm_provider": "groq", "mode": "chat",
        "input_cost_per_token": 5e-08, "output_cost_per_token": 8e-08},
    "dall-e": {"litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image": 0.04}}"#;
const CONTRACT: &str = r#"{"source": "contract", "date": "2026-11-01", "providers": {
    "openai": {"hosts": ["api.openai.com"], "models": [
        {"match": ["gpt-x"], "price": {"input": "2", "output": "9"}},
        {"match": ["gpt-y"], "price": {"input": "1", "output": "4"}}]}}}"#;

const IMPORTED: &str = "/api/v1/prices/imported";
const NONE: &str = r#"{"error": {"message": "no price list is imported", "code": "not_found"}}"#;

/// A server that takes imports, and has this list already.
fn server(standing: Option<&str>) -> Fake {
    const PUT: &str = "PUT /api/v1/prices/imported";
    match standing {
        Some(list) => Fake::with([(PUT, "{}"), (IMPORTED, list)], 404, NONE),
        None => Fake::with([(PUT, "{}")], 404, NONE),
    }
}

/// Imports a file; how that ended, and what the server was sent.
fn import(server: &Fake, arguments: &[&str], text: &str) -> (Done, Option<Value>) {
    server.forget();
    let program =
        Program::new(&["prices", "import", "list.json", "--url", &server.url]).with(arguments);
    std::fs::write(program.home().join("list.json"), text).unwrap();
    let done = program.run();
    let is_put = server.asked().iter().any(|asked| asked.starts_with("PUT "));
    let sent = server.bodies().pop().filter(|_| is_put);
    (done, sent.map(|sent| serde_json::from_str(&sent).unwrap()))
}

#[test]
fn prices_of_litellm_are_sent_to_the_server() {
    let (done, sent) = import(&server(None), &[], LITELLM);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        done.output,
        "CHANGE  PROVIDER  MODELS  INPUT  OUTPUT  BEFORE\n\
         added   groq      llama   $0.05  $0.08\n\
         added   openai    gpt-x   $2.50  $10.00\n"
    );
    assert!(done.error.starts_with("2 added, 0 changed, 0 unchanged, 1 skipped"), "{done:?}");
    assert!(done.error.ends_with("requests are counted by these prices from now on\n"), "{done:?}");
    let sent = sent.unwrap();
    assert_eq!(sent["providers"]["openai"]["hosts"], json!(["api.openai.com"]));
    assert_eq!(
        sent["providers"]["groq"]["models"],
        json!([{"match": ["llama"], "price": {"input": "0.05", "output": "0.08"}}])
    );
}

#[test]
fn imported_prices_go_before_those_of_an_earlier_import_and_others_stay() {
    let arguments = ["--provider", "openai", "-o", "json"];
    let (done, sent) = import(&server(Some(CONTRACT)), &arguments, LITELLM);
    let told: Value = serde_json::from_str(&done.output).unwrap();
    assert_eq!(
        (&told["added"], &told["changed"], &told["imported"]),
        (&json!(0), &json!(1), &json!(true))
    );
    assert_eq!(told["changes"][0]["before"], json!({"input": "2.00", "output": "9.00"}));
    assert_eq!(told["changes"][0]["price"], json!({"input": "2.50", "output": "10.00"}));
    let sent = sent.unwrap();
    let names: Vec<&Value> = sent["providers"]["openai"]["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["match"][0])
        .collect();
    assert_eq!(names, ["gpt-x", "gpt-y"]);
    assert_eq!(sent["source"], "LiteLLM's model_prices_and_context_window.json, contract");
    assert!(sent["providers"].get("groq").is_none());
}

#[test]
fn a_dry_run_and_an_import_without_a_change_send_nothing() {
    let (done, sent) = import(&server(None), &["--dry-run"], LITELLM);
    assert!(done.error.contains("nothing was imported"), "{done:?}");
    assert_eq!(sent, None);
    let (done, sent) = import(&server(Some(CONTRACT)), &[], CONTRACT);
    assert_eq!((done.code, done.output.as_str()), (0, ""));
    assert!(done.error.contains("2 unchanged") && done.error.contains("stay as they are"));
    assert_eq!(sent, None);
}

#[test]
fn a_list_is_read_from_standard_input_too() {
    let server = server(None);
    let program = Program::new(&["prices", "import", "-", "--dry-run", "--url", &server.url]);
    let done = program.piped(CONTRACT);
    assert!(done.code == 0 && done.output.contains("gpt-y"), "{done:?}");
}

#[test]
fn what_cannot_be_imported_is_named_with_its_place_and_nothing_is_sent() {
    let wrong = r#"{"a": {"litellm_provider": "x", "input_cost_per_token": "1", "output_cost_per_token": -1},
        "b": {"litellm_provider": "x", "input_cost_per_token": 2.5}}"#;
    let own = r#"{"source": "s", "date": "2026-11-01", "providers": {"x": {"models": [
        {"match": ["m"], "price": {"input": 1, "output": "y"}}]}}}"#;
    for (text, arguments, code, parts) in [
        (
            wrong,
            &[][..],
            2,
            &[
                "list.json has 3 bad values",
                "`a.input_cost_per_token`: must be a number",
                "`a.output_cost_per_token`: is negative",
                "`b.input_cost_per_token`: is more than a cent",
            ][..],
        ),
        (
            own,
            &[],
            2,
            &[
                "2 bad values",
                "`providers.x.models[0].price.input`",
                "`providers.x.models[0].price.output`",
            ],
        ),
        ("{", &[], 2, &["list.json is not valid JSON"]),
        ("[]", &[], 2, &["is not a list of prices"]),
        (r#"{"a": {"price": 1}}"#, &[], 2, &["nor models with a `litellm_provider`"]),
        (
            LITELLM,
            &["--provider", "opanai"],
            6,
            &["has no provider `opanai`; did you mean `openai`?"],
        ),
    ] {
        let server = server(None);
        let (done, _) = import(&server, arguments, text);
        assert_eq!((done.code, server.asked().len()), (code, 0), "{done:?}");
        assert!(parts.iter().all(|part| done.error.contains(part)), "{parts:?}: {done:?}");
    }
    let done = Program::new(&["prices", "import", "absent.json"]).run();
    assert!(done.code == 2 && done.error.contains("absent.json cannot be read"), "{done:?}");
}

#[test]
fn prices_are_listed_by_the_names_that_callers_use() {
    let prices = format!(
        r#"{{"rate_cards": [{{"model": "own", "source": "api", "created_at": "2026-11-27T10:00:00Z", "updated_at": "2026-11-27T10:00:00Z", "version": "2026-11", "price": {{"input": "0.10", "output": "0.40"}}}}],
            "lists": [{{"origin": "embedded", "list": {CONTRACT}}}]}}"#
    );
    let providers = r#"{"data": [{"name": "mine", "source": "api", "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "spec": {"kind": "openai", "base_url": "https://api.openai.com/v1"}}]}"#;
    let bare = r#"{"name": "bare", "source": "api", "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z", "spec": {"command": ["vllm"]}}"#;
    let alias = bare.replace("bare", "own");
    let known = [
        ("/api/v1/prices", &*prices),
        ("/api/v1/providers", providers),
        ("/api/v1/models/bare", bare),
        ("/api/v1/models/alias", &*alias),
    ];
    let absent = r#"{"error": {"message": "no", "code": "model_not_found"}}"#;
    let server = Fake::with(known, 404, absent);
    let list = |arguments: &[&str]| {
        Program::new(&["prices", "list", "--url", &server.url]).with(arguments).run()
    };
    let done = list(&["mine/gpt-x"]);
    assert_eq!(
        done.output,
        "PROVIDER  MODELS  INPUT  CACHED  OUTPUT  SOURCE                NOTES\n\
         openai    gpt-x   $2.00  $2.00   $9.00   contract, 2026-11-01\n"
    );
    assert!(done.error.contains("prices of this release only"), "{done:?}");
    let done = list(&["own", "-o", "json"]);
    let found: Value = serde_json::from_str(&done.output).unwrap();
    assert_eq!(found["data"], json!([]));
    assert_eq!(found["rate_cards"][0]["version"], "2026-11");
    let done = list(&["alias"]);
    assert!(done.output.contains("own") && done.output.contains("$0.40"), "{done:?}");
    for (name, code, said) in [
        ("mine/gpt-z", 0, "a budget in money refuses them"),
        ("bare", 0, "`bare` has no rate card, so its requests cost nothing"),
        ("gpt-z", 6, "`gpt-z` is neither a model of this server nor in the price lists"),
        ("*z", 0, "no price is known for any such model"),
    ] {
        let done = list(&[name]);
        assert!(done.code == code && done.error.contains(said), "{name}: {done:?}");
    }
    assert_eq!(list(&["--provider", "nobody"]).code, 6);
}

#[test]
fn a_rate_card_that_lacks_something_says_what() {
    for (arguments, said) in [
        (&[][..], "give --version, --input-price and --output-price, or a file"),
        (&["--version", "v1", "--input-price", "1"], "give --output-price, or a file"),
        (&["--input-price", "-1"], "`-1` is not a number of dollars"),
    ] {
        let done = Program::new(&["prices", "set", "m"]).with(arguments).run();
        assert!(done.code == 2 && done.error.contains(said), "{arguments:?}: {done:?}");
    }
}
