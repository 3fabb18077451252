use std::path::Path;
use std::process::Command;

use crate::fake::Fake;

const MODELS: &str = r#"{"object": "list", "data": [{"id": "demo"}, {"id": "Qwen/Qwen3-8B"}]}"#;

/// What bash offers for the last of these words.
fn offered(server: &Fake, words: &str) -> Vec<String> {
    let programs = Path::new(env!("CARGO_BIN_EXE_diogenes")).parent().unwrap();
    let search = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let script = format!(
        "source <(diogenes completions bash)
         COMP_WORDS=({words}); COMP_CWORD=$(({{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9
         _clap_complete_diogenes diogenes \"${{COMP_WORDS[COMP_CWORD]}}\" ''
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    .replace("{#COMP", "${#COMP");
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("PATH", search)
        .env("DIOGENES_URL", &server.url)
        .env("DIOGENES_API_KEY", "dg_x")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn names_of_models_are_offered() {
    let server = Fake::answering(200, MODELS);
    let both = ["demo", "Qwen/Qwen3-8B"];
    for words in ["diogenes chat ''", "diogenes model show ''", "diogenes -v logs --follow ''"] {
        let offered = offered(&server, words);
        assert!(both.iter().all(|name| offered.iter().any(|word| word == name)), "{offered:?}");
    }
    assert_eq!(offered(&server, "diogenes up Qw"), ["Qwen/Qwen3-8B"]);
    assert!(server.asked().iter().all(|asked| asked == "GET /v1/models"));
}

#[test]
fn commands_are_offered_without_a_server() {
    let server = Fake::answering(500, "");
    assert_eq!(offered(&server, "diogenes comp"), ["completions"]);
    assert_eq!(server.asked(), [""; 0]);
    assert_eq!(offered(&server, "diogenes up d"), [""]);
}
