//! A configuration that makes no sense is refused with its place and what to do.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails at once")]

use diogenes_e2e::refused_to_start;

/// Starts on a file with this text; returns the exit code and what was said, without the file's
/// folder.
fn start(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("diogenes.toml");
    std::fs::write(&file, text).expect("a file");
    let data = folder.path().join("data");
    let (code, said) = refused_to_start(&[
        "--listen",
        "127.0.0.1:0",
        "--config",
        &file.display().to_string(),
        "--data-dir",
        &data.display().to_string(),
    ]);
    assert!(!data.exists(), "nothing is created before the configuration is read");
    (code, said.replace(&folder.path().display().to_string(), "."))
}

#[test]
fn mistakes_are_named_with_file_line_and_key() {
    let mistakes = [
        ("not_toml", "listen = \"127.0.0.1:80\"\n[models"),
        ("unknown_key", "\nlisen = \"127.0.0.1:80\""),
        ("unknown_key_of_a_model", "[models.demo]\ncommand = [\"x\"]\nidel_timeout = \"1s\""),
        ("unknown_key_without_a_near_one", "zzz = 1"),
        ("wrong_type", "[models.demo]\n\ncommand = \"vllm serve\""),
        ("wrong_type_of_a_number", "max_body_bytes = \"big\""),
        ("no_address", "listen = \"localhost\""),
        ("no_duration", "drain_timeout = \"soon\""),
        ("no_choice", "on_shutdown = \"keep\""),
        ("bad_model_name", "listen = \"127.0.0.1:80\"\n\n[models.\"my model\"]\ncommand = [\"x\"]"),
        ("no_command", "[models.demo]\nmin_replicas = 1"),
        ("empty_command", "[models.demo]\ncommand = []"),
        (
            "senseless",
            "[models.\"org/demo\"]\ncommand = [\"x\"]\nmin_replicas = 3\nmax_replicas = 2",
        ),
        ("zero_timeout", "[models.demo]\ncommand = [\"x\"]\nidle_timeout = \"0s\""),
        ("bad_alias", "[models.demo]\ncommand = [\"x\"]\naliases = [\"a b\"]"),
        ("no_port", "[models.demo]\n\ncommand = [\"vllm\", \"serve\", \"x\"]"),
        (
            "nul_in_the_directory",
            "[models.demo]\ncommand = [\"{port}\"]\nworking_dir = \"/a\\u0000b\"",
        ),
        ("nul_in_a_variable", "[models.demo]\ncommand = [\"{port}\"]\nenv = { A = \"a\\u0000b\" }"),
        (
            "one_port_of_two",
            "[models.a]\ncommand = [\"x\"]\nport = 8000\n[models.b]\ncommand = [\"y\"]\nport = 8000",
        ),
        ("port_out_of_range", "[models.demo]\ncommand = [\"x\"]\nport = 99999"),
        ("port_in_quotes", "[models.demo]\ncommand = [\"x\"]\nport = \"8000\""),
        ("number_in_quotes", "max_body_bytes = \"1000\""),
        ("negative_number", "max_body_bytes = -1"),
        ("bad_network_for_jobs", "[jobs]\nhttp_allow = [\"10.0.0.0/33\"]"),
        ("bad_queue_of_jobs", "[jobs.queues]\n\"A b\" = 1"),
        ("unknown_key_of_jobs", "[jobs]\ncommand = {}"),
        ("no_program_of_a_command", "[jobs.commands.a]\nprogram = []"),
        ("chosen_program_of_a_command", "[jobs.commands.a]\nprogram = [\"{shell}\"]"),
        (
            "bad_needs_of_a_command",
            "[jobs.commands.a]\nprogram = [\"x\"]\nneeds = { memory = \"much\" }",
        ),
        (
            "bad_schema_of_a_template",
            "[jobs.templates.a]\nkind = \"http\"\nschema = { type = \"nothing\" }",
        ),
        (
            "no_schema_of_a_template",
            "[jobs.templates.a]\nkind = \"http\"\nschema = \"absent.json\"",
        ),
        ("huge_number", "[models.demo]\ncommand = [\"{port}\"]\nmax_replicas = 5000000000"),
        ("no_number", "[models.demo]\ncommand = [\"{port}\"]\nmax_replicas = 1.5"),
        (
            "ladder_of_aws",
            "[models.demo]\ncommand = [\"{port}\"]\n\
             ladder = [{ instance_type = \"g6.xlarge\", market = \"spot\" }]",
        ),
        (
            "ladder_of_aws_in_tables",
            "[models.demo]\ncommand = [\"{port}\"]\n\n[[models.demo.ladder]]\n\
             instance_type = \"g6.xlarge\"",
        ),
        (
            "ladder_of_no_backend",
            "[models.demo]\ncommand = [\"{port}\"]\nladder = [{ node_pool = \"gpu\" }]",
        ),
        ("route_without_targets", "[routes.a]\ntargets = []"),
        ("route_with_a_target_twice", "[routes.a]\ntargets = [\"x\", \"x\"]"),
        ("route_to_a_route", "[routes.a]\ntargets = [\"b\"]\n[routes.b]\ntargets = [\"a\"]"),
        (
            "route_behind_a_model",
            "[models.a]\ncommand = [\"{port}\"]\n[routes.a]\ntargets = [\"b\"]",
        ),
        ("route_of_an_unknown_strategy", "[routes.a]\ntargets = [\"b\"]\nstrategy = \"cheapest\""),
        ("route_typo", "[routes.a]\ntarget = [\"b\"]"),
        (
            "rate_card_below_zero",
            "[rate_cards.a]\nversion = \"1\"\nprice = { input = \"-1\", output = \"2\" }",
        ),
        ("rate_card_in_part", "[rate_cards.a]\nversion = \"1\"\nprice = { input = \"1\" }"),
        ("route_to_no_name", "[routes.a]\ntargets = [\"a b\"]"),
        ("telemetry_of_too_many", "[telemetry]\notlp_endpoint = \"http://a:4318\"\nsample = 2.0"),
        ("telemetry_to_no_url", "[telemetry]\notlp_endpoint = \"127.0.0.1:4318\""),
        ("telemetry_over_grpc", "\n[telemetry]\notlp_endpoint = \"grpc://a:4317\""),
        (
            "telemetry_with_a_bare_secret",
            "[telemetry]\notlp_endpoint = \"http://a\"\nheaders = { authorization = \"Bearer x\" }",
        ),
        ("telemetry_typo", "[telemetry]\nendpoint = \"http://a\""),
        ("twice", "[models.demo]\ncommand = [\"x\"]\n[models.demo]\ncommand = [\"y\"]"),
    ];
    let all = mistakes.map(|(name, text)| {
        let (code, said) = start(text);
        assert_eq!(code, Some(2), "{name}: {said}");
        assert!(said.starts_with("error: ./diogenes.toml:"), "{name}: {said}");
        format!("{name}: {said}")
    });
    insta::assert_snapshot!(all.concat());
}

#[test]
fn models_that_answer_to_one_name_are_refused() {
    let text = "[models.a]\ncommand = [\"{port}\"]\naliases = [\"short\"]\n\
                [models.b]\ncommand = [\"{port}\"]\naliases = [\"short\"]";
    let (code, said) = start(text);
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(
        said,
        "error: ./diogenes.toml:3: models.a: model `b` uses `short` too; choose another alias\n"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (code, said) = refused_to_start(&["--config", "/nowhere/diogenes.toml"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("/nowhere/diogenes.toml") && said.contains("--config"), "{said}");
}

#[tokio::test]
async fn an_alias_can_move_from_one_model_to_another() {
    use diogenes_e2e::{Config, Model, Serve};
    let config = |a: &str, b: &str| {
        let model = |name, alias| {
            Model::mock(name, &["--tokens", "3"]).line(&format!("aliases = [\"{alias}\"]"))
        };
        Config::with([model("a", a), model("b", b)])
    };
    let serve = Serve::start(config("x", "y")).await;
    assert_eq!(serve.client().chat("x").await.header("x-diogenes-model"), Some("a"));
    let serve = serve.restart_with(config("y", "x")).await;
    assert_eq!(serve.client().chat("x").await.header("x-diogenes-model"), Some("b"));
    assert_eq!(serve.client().chat("y").await.header("x-diogenes-model"), Some("a"));
}

#[tokio::test]
async fn a_name_that_a_model_of_the_api_has_is_refused() {
    use diogenes_e2e::{Config, Serve};
    let mut serve = Serve::start(Config::default()).await;
    let spec = serde_json::json!({"command": ["x", "{port}"], "aliases": ["short"]});
    assert_eq!(serve.client().put("/api/v1/models/a", &spec).await.status, 201);
    serve.terminate().await;
    let file = serve.folder().path().join("other.toml");
    std::fs::write(&file, "[models.short]\ncommand = [\"x\", \"{port}\"]").expect("a file");
    let (code, said) = refused_to_start(&[
        "--listen",
        "127.0.0.1:0",
        "--config",
        &file.display().to_string(),
        "--data-dir",
        &serve.data_dir().display().to_string(),
    ]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("model `a` already uses the name `short`"), "{said}");
}
