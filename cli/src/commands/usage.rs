use diogenes_api::control::{UsageBody, UsageCounts};
use diogenes_core::Timestamp;
use diogenes_core::tenancy::ProjectId;

use super::options::Options;
use super::{output, time};
use crate::client::decode;
use crate::exit::Failure;

/// Show who used how much: requests, tokens and what they cost.
///
/// Days are those of UTC. What a request has used is told a few seconds after its end, and kept for
/// 400 days.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes usage                          # this month, by model
  diogenes usage --by key --from 7d
  diogenes usage --by day --from 2026-11-01 --to 2026-11-30
  diogenes usage --project search --by route
  diogenes usage --by project             # every project that the key reaches
  diogenes usage --all-projects -o json | jq -r '.data[] | [.name, .cost_usd] | @tsv'")]
pub(crate) struct UsageArgs {
    /// What the rows are
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    by: Rows,
    /// The first day: a date, or how long ago, as `7d` [default: the first of the month of --to]
    #[arg(long, value_name = "DATE", value_parser = time::parse)]
    from: Option<Timestamp>,
    /// The last day, written the same [default: today]
    #[arg(long, value_name = "DATE", value_parser = time::parse)]
    to: Option<Timestamp>,
    /// The project [default: that of the key; every one with `--by project`]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
    /// Every project that the key reaches
    #[arg(long, conflicts_with = "project")]
    all_projects: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Rows {
    Day,
    Key,
    #[default]
    Model,
    Project,
    Route,
}

impl Rows {
    fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Key => "key",
            Self::Model => "model",
            Self::Project => "project",
            Self::Route => "route",
        }
    }
}

pub(super) async fn run(args: UsageArgs) -> Result<(), Failure> {
    let UsageArgs { by, from, to, project, all_projects, options } = args;
    let client = options.client()?;
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let (from, to) = (from.map(day), to.map(day));
    let mut query = vec![("by", by.as_str())];
    query.extend(from.as_deref().map(|from| ("from", from)));
    query.extend(to.as_deref().map(|to| ("to", to)));
    query.extend(project.as_ref().map(|project| ("project", project.as_str())));
    if all_projects || (by == Rows::Project && project.is_none()) {
        query.push(("all_projects", "true"));
    }
    let found = client.get(&["api", "v1", "usage"], &query).await?;
    output::result(options.output, &found, || {
        let usage: UsageBody = decode(found.clone())?;
        if usage.data.is_empty() {
            output::note(&format!("no usage from {} to {}", usage.from, usage.to));
            return Ok(String::new());
        }
        let UsageCounts { requests, estimated, .. } = usage.total;
        if estimated > 0 {
            output::note(&format!(
                "{estimated} of {requests} requests told no usage: what they used is estimated"
            ));
        }
        Ok(table(&usage, by))
    })
}

fn table(usage: &UsageBody, by: Rows) -> String {
    let what = by.as_str().to_uppercase();
    let mut header = vec![what.as_str(), "REQUESTS", "ERRORS", "PROMPT", "COMPLETION", "COST"];
    let has_owner = by == Rows::Key;
    if has_owner {
        header.insert(1, "OWNER");
    }
    let row = |name: &str, owner: &str, counts: &UsageCounts| {
        let mut row = vec![name.to_owned()];
        if has_owner {
            row.push(owner.to_owned());
        }
        let numbers =
            [counts.requests, counts.errors, counts.prompt_tokens, counts.completion_tokens];
        row.extend(numbers.iter().map(u64::to_string));
        row.push(dollars(&counts.cost_usd));
        row
    };
    let rows = usage.data.iter().map(|one| {
        let (name, owner) = (one.name.as_deref(), one.subject.as_deref());
        row(name.unwrap_or("-"), owner.unwrap_or("-"), &one.counts)
    });
    output::table(&header, rows.chain([row("total", "", &usage.total)]))
}

/// An exact number of dollars as people read it: cents, and for less than a dollar as many decimals
/// as there are, up to six.
fn dollars(exact: &str) -> String {
    let Ok(amount) = exact.parse::<f64>() else { return exact.to_owned() };
    if amount >= 1.0 || amount == 0.0 {
        return format!("${amount:.2}");
    }
    if amount < 0.000_001 {
        return "<$0.000001".into();
    }
    let text = format!("{amount:.6}");
    let shown = text.trim_end_matches('0').len().max("0.00".len());
    format!("${}", text.get(..shown).unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A report with one row.
    fn usage(by: &str, name: Option<&str>, subject: Option<&str>) -> UsageBody {
        let counts = json!({
            "requests": 13, "errors": 1, "estimated": 0, "prompt_tokens": 3100,
            "cached_tokens": 0, "completion_tokens": 450, "cost_usd": "1.234567000",
        });
        let mut row = counts.clone();
        for (field, value) in [("name", name), ("subject", subject), ("price_version", None)] {
            row[field] = json!(value);
        }
        let body = json!({
            "from": "2026-11-01", "to": "2026-11-27", "by": by, "data": [row], "total": counts,
        });
        serde_json::from_value(body).expect("usage")
    }

    #[test]
    fn usage_is_shown_one_row_a_line_and_the_sum_last() {
        assert_eq!(
            table(&usage("route", None, None), Rows::Route),
            "ROUTE  REQUESTS  ERRORS  PROMPT  COMPLETION  COST\n\
             -      13        1       3100    450         $1.23\n\
             total  13        1       3100    450         $1.23"
        );
        assert_eq!(
            table(&usage("key", Some("3kTM"), Some("ada@example.com")), Rows::Key),
            "KEY    OWNER            REQUESTS  ERRORS  PROMPT  COMPLETION  COST\n\
             3kTM   ada@example.com  13        1       3100    450         $1.23\n\
             total                   13        1       3100    450         $1.23"
        );
    }

    #[test]
    fn money_is_shown_as_people_read_it() {
        for (exact, shown) in [
            ("0.000000000", "$0.00"),
            ("1234.567000000", "$1234.57"),
            ("1.000000000", "$1.00"),
            ("0.500000000", "$0.50"),
            ("0.000018000", "$0.000018"),
            ("0.000000001", "<$0.000001"),
        ] {
            assert_eq!(dollars(exact), shown);
        }
    }
}
