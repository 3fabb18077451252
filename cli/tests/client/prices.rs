use std::path::Path;

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

/// An import in a directory whose configuration names `prices.json` in a directory of its own.
fn import(arguments: &[&str], files: &[(&str, &str)]) -> (Program, std::path::PathBuf) {
    let program = Program::new(&["prices", "import"]).with(arguments);
    let folder = program.home().join("etc");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(program.home().join("diogenes.toml"), "prices = \"etc/prices.json\"\n").unwrap();
    for (name, text) in files {
        std::fs::write(program.home().join(name), text).unwrap();
    }
    (program, folder.join("prices.json"))
}

/// Runs it; how it ended, and what is in the file then.
fn run((mut program, file): (Program, std::path::PathBuf)) -> (Done, Option<Value>) {
    let output = program.command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let done = Done {
        code: output.status.code().unwrap(),
        output: text(output.stdout),
        error: text(output.stderr),
    };
    let left: Vec<_> = std::fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert!(left.len() <= 1, "{left:?}");
    (done, read(&file))
}

fn read(file: &Path) -> Option<Value> {
    Some(serde_json::from_slice(&std::fs::read(file).ok()?).unwrap())
}

#[test]
fn prices_of_litellm_become_the_file_that_the_configuration_names() {
    let (done, file) = run(import(&["list.json"], &[("list.json", LITELLM)]));
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        done.output,
        "CHANGE  PROVIDER  MODELS  INPUT  OUTPUT  BEFORE\n\
         added   groq      llama   $0.05  $0.08\n\
         added   openai    gpt-x   $2.50  $10.00\n"
    );
    assert!(done.error.starts_with("2 added, 0 changed, 0 unchanged, 1 skipped"), "{done:?}");
    assert!(done.error.ends_with("prices.json is written; restart `diogenes serve` to use it\n"));
    let file = file.unwrap();
    assert_eq!(file["providers"]["openai"]["hosts"], json!(["api.openai.com"]));
    assert_eq!(
        file["providers"]["groq"]["models"],
        json!([{"match": ["llama"], "price": {"input": "0.05", "output": "0.08"}}])
    );
}

#[test]
fn imported_prices_go_before_those_of_the_file_and_others_stay() {
    let files = [("list.json", LITELLM), ("etc/prices.json", CONTRACT)];
    let arguments = ["list.json", "--provider", "openai", "-o", "json"];
    let (done, file) = run(import(&arguments, &files));
    let told: Value = serde_json::from_str(&done.output).unwrap();
    assert_eq!(
        (&told["added"], &told["changed"], &told["written"]),
        (&json!(0), &json!(1), &json!(true))
    );
    assert_eq!(told["changes"][0]["before"], json!({"input": "2.00", "output": "9.00"}));
    assert_eq!(told["changes"][0]["price"], json!({"input": "2.50", "output": "10.00"}));
    let file = file.unwrap();
    let names: Vec<&Value> = file["providers"]["openai"]["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["match"][0])
        .collect();
    assert_eq!(names, ["gpt-x", "gpt-y"]);
    assert_eq!(file["source"], "LiteLLM's model_prices_and_context_window.json, contract");
    assert!(file["providers"].get("groq").is_none());
}

#[test]
fn a_dry_run_and_an_import_without_a_change_write_nothing() {
    let (done, file) = run(import(&["list.json", "--dry-run"], &[("list.json", LITELLM)]));
    assert!(done.error.contains("prices.json would be written"), "{done:?}");
    assert_eq!(file, None);
    let files = [("list.json", CONTRACT), ("etc/prices.json", CONTRACT)];
    let (done, file) = run(import(&["list.json"], &files));
    assert_eq!((done.code, done.output.as_str()), (0, ""));
    assert!(
        done.error.contains("2 unchanged") && done.error.contains("stays as it is"),
        "{done:?}"
    );
    assert_eq!(file, Some(serde_json::from_str(CONTRACT).unwrap()));
}

#[test]
fn a_list_is_read_from_standard_input_too() {
    let (program, file) = import(&["-"], &[]);
    // Its home ends with it.
    let config = program.home().join("diogenes.toml");
    let target = config.with_file_name("etc").join("prices.json");
    assert_eq!(file, target);
    let done = program.with(&["--dry-run"]).piped(CONTRACT);
    assert!(done.code == 0 && done.output.contains("gpt-y"), "{done:?}");
}

#[test]
fn what_cannot_be_imported_is_named_with_its_place_and_nothing_is_written() {
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
        let (done, file) =
            run(import(&[&["list.json"], arguments].concat(), &[("list.json", text)]));
        assert_eq!((done.code, file), (code, None), "{done:?}");
        assert!(parts.iter().all(|part| done.error.contains(part)), "{parts:?}: {done:?}");
    }
    let files = [("list.json", LITELLM), ("etc/prices.json", own)];
    let (done, file) = run(import(&["list.json"], &files));
    assert!(done.code == 2 && done.error.contains("etc/prices.json has 2 bad values"), "{done:?}");
    assert_eq!(file, Some(serde_json::from_str(own).unwrap()));
    let (done, _) = run(import(&["absent.json"], &[]));
    assert!(done.code == 2 && done.error.contains("absent.json cannot be read"), "{done:?}");
}

#[test]
fn without_a_file_that_the_configuration_names_the_next_step_is_told() {
    let import = |config: Option<&str>| {
        let program = Program::new(&["prices", "import", "list.json"]);
        std::fs::write(program.home().join("list.json"), CONTRACT).unwrap();
        if let Some(config) = config {
            std::fs::write(program.home().join("diogenes.toml"), config).unwrap();
        }
        program.run()
    };
    for (config, text) in [
        (None, "name one with --config"),
        (Some("listen = \"127.0.0.1:80\"\n"), "add `prices = \"prices.json\"` to it"),
        (Some("\nprices = 5\n"), "diogenes.toml:2: "),
    ] {
        let done = import(config);
        assert!(done.code == 2 && done.error.contains(text), "{text}: {done:?}");
        assert!(done.error.contains("on AWS") || config.is_some_and(|text| text.contains('5')));
    }
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
    assert!(done.error.contains("an installation on AWS has none"), "{done:?}");
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
