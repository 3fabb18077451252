//! OpenAI's Files and Batches: from a model that sleeps to the results, whatever ends in between.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at once"
)]

mod crashes;
mod files;
mod life;
mod refused;

use diogenes_e2e::batch::{caller, content, create, custom_ids, line, lines, until, upload};
use serde_json::Value;

/// The tokens of the prompts and answers in the lines of an output file.
fn tokens(lines: &[Value]) -> (u64, u64) {
    let sum = |field: &str| {
        let of = |line: &Value| line["response"]["body"]["usage"][field].as_u64().unwrap();
        lines.iter().map(of).sum()
    };
    (sum("prompt_tokens"), sum("completion_tokens"))
}
