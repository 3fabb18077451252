use std::path::Path;
use std::time::Duration;

use diogenes_core::fleet::ModelSpec;

/// The name of the demonstration model.
pub(crate) const MODEL: &str = "demo";
/// The hidden command of this program that is the demonstration model's inference server.
pub(crate) const COMMAND: &str = "mock-vllm";

/// A model that needs no GPU and no download: this program run as a fake vLLM, with a few
/// seconds of boot, so that the cold start can be seen.
pub(crate) fn spec(program: &Path) -> ModelSpec {
    let arguments = [
        COMMAND,
        "--host",
        "{host}",
        "--port",
        "{port}",
        "--served-model-name",
        MODEL,
        "--load-weights-delay",
        "2s",
        "--compile-delay",
        "1s",
        "--graphs-delay",
        "500ms",
        "--ttft",
        "80ms",
        "--tokens-per-second",
        "25",
        "--tokens",
        "100",
    ];
    let command = std::iter::once(program.display().to_string())
        .chain(arguments.into_iter().map(String::from));
    let mut spec = ModelSpec::new(command);
    spec.idle_timeout = Duration::from_mins(1);
    spec
}

/// What a newcomer reads: where it is, the key, and two snippets that work as pasted.
pub(crate) fn welcome(base_url: &str, key: &str, key_path: &Path) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "diogenes".into());
    let data_dir = key_path.parent().unwrap_or(key_path).display();
    format!(
        r#"
Diogenes is up. Nothing runs yet: the first request starts the model.

  URL        {base_url}/v1
  key        {key}
             (also in {path})

Ask with curl; the comment lines show the startup progress:

curl -N {base_url}/v1/chat/completions \
  -H "Authorization: Bearer {key}" \
  -H "Content-Type: application/json" \
  -d '{{"model": "{MODEL}", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'

or with OpenAI's Python client (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="{base_url}/v1", api_key="{key}")
stream = client.chat.completions.create(
    model="{MODEL}", stream=True, messages=[{{"role": "user", "content": "Hello!"}}])
for chunk in stream:
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)

In another terminal:

export DIOGENES_URL={base_url} DIOGENES_DATA_DIR={data_dir}
{program} chat {MODEL} "Hello!"
{program} ps --watch
{program} logs {MODEL} --follow
"#,
        path = key_path.display(),
    )
}
