//! What it costs to name a prompt, beside sending what it renders to, and to divide its requests between two
//! versions.

use std::path::Path;

use serde_json::json;

use crate::load::{self, Kind};
use crate::report::median;
use crate::serve::Serve;

/// How much more CPU a request may take that names a prompt.
const MOST: f64 = 1.5;
/// How much more CPU such a request may take while a deployment of the prompt is under way.
const MOST_DIVIDED: f64 = 1.05;
/// What stands before the variable in the prompt's message.
const TEXT: &str = "You teach people who have never heard of it, in short sentences and without a \
                    single formula. Answer in at most three paragraphs, and end with a question. \
                    The subject: ";
const PLAIN: Kind = Kind { connections: 32, streamed: false };

/// Measures both, one after the other, in so many rounds.
pub(crate) async fn measure(
    programs: &Path,
    rounds: usize,
    seconds: u32,
) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let serve = Serve::start(programs, folder.path()).await?;
    let prompt = |end: &str| {
        json!({
            "messages": [{"role": "system", "content": format!("{TEXT}{{{{ subject }}}}{end}")}],
            "variables": [{"name": "subject"}],
        })
    };
    serve.push_prompt("tutor", prompt(".")).await?;
    serve.push_prompt("coach", prompt(".")).await?;
    serve.divide_prompt("coach", prompt("!")).await?;
    let mut rendered = serve.plain();
    rendered.request.preface = format!(r#"{{"role":"system","content":"{TEXT}maths."}},"#);
    let mut named = serve.plain();
    named.request.members = r#""prompt":{"id":"tutor","variables":{"subject":"maths"}},"#.into();
    let mut divided = serve.plain();
    divided.request.members = named.request.members.replace("tutor", "coach");
    let (mut costs, mut of_named, mut of_divided) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ratios, mut of_halves) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let whole = load::measure(&rendered, folder.path(), PLAIN, seconds)?.cpu_us_per_request;
        let short = load::measure(&named, folder.path(), PLAIN, seconds)?.cpu_us_per_request;
        let half = load::measure(&divided, folder.path(), PLAIN, seconds)?.cpu_us_per_request;
        costs.push(whole);
        of_named.push(short);
        of_divided.push(half);
        ratios.push(short / whole);
        of_halves.push(half / short);
    }
    let (ratio, of_half) = (median(ratios), median(of_halves));
    let verdict = |ratio: f64, most: f64| if ratio <= most { "reached" } else { "missed" };
    Ok(format!(
        "CPU of `serve` a request: {:.1} µs with the messages, {:.1} µs with the name of the prompt \
         that renders to them, {ratio:.2} × (aim: {MOST}, {}); {:.1} µs while half of the users meet \
         another version of it, {of_half:.2} × (aim: {MOST_DIVIDED}, {})",
        median(costs),
        median(of_named),
        verdict(ratio, MOST),
        median(of_divided),
        verdict(of_half, MOST_DIVIDED),
    ))
}
