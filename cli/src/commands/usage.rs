use clap::builder::{PossibleValuesParser, TypedValueParser};
use diogenes_api::control::{UsageBody, UsageCounts};
use diogenes_core::gateway::usage::By;
use diogenes_core::tenancy::ProjectId;

use super::options::Options;
use super::output;
use super::time::Days;
use crate::client::decode;
use crate::exit::Failure;

/// Show who used how much: requests, tokens and cost.
///
/// Days are in UTC. A request appears a few seconds after it has ended, and is kept for 400 days.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes usage                          # this month, by model
  diogenes usage --by key --from 7d
  diogenes usage --by day --from 2026-11-01 --to 2026-11-30
  diogenes usage --project search --by route
  diogenes usage --by project             # every project that the key may see
  diogenes usage --all-projects -o json | jq -r '.data[] | [.name, .cost_usd] | @tsv'")]
pub(crate) struct UsageArgs {
    /// What to group by
    #[arg(long, value_name = "WHAT", default_value_t, value_parser = rows())]
    by: By,
    #[command(flatten)]
    days: Days,
    /// Only this project [default: the key's own, or every one with `--by project`]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
    /// Every project that the key may see
    #[arg(long, conflicts_with = "project")]
    all_projects: bool,
    #[command(flatten)]
    options: Options,
}

fn rows() -> impl TypedValueParser<Value = By> {
    PossibleValuesParser::new(By::ALL.map(By::as_str)).try_map(|name| name.parse::<By>())
}

pub(super) async fn run(args: UsageArgs) -> Result<(), Failure> {
    let UsageArgs { by, days, project, all_projects, options } = args;
    let client = options.client()?;
    let days = days.query();
    let mut query = vec![("by", by.as_str())];
    query.extend(days.iter().map(|(name, day)| (*name, day.as_str())));
    query.extend(project.as_ref().map(|project| ("project", project.as_str())));
    if all_projects || (by == By::Project && project.is_none()) {
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
                "{estimated} of {requests} requests reported no usage; their figures are estimates"
            ));
        }
        Ok(table(&usage, by))
    })
}

fn table(usage: &UsageBody, by: By) -> String {
    let what = by.as_str().to_uppercase();
    let mut header = vec![what.as_str(), "REQUESTS", "ERRORS", "PROMPT", "COMPLETION", "COST"];
    let has_owner = by == By::Key;
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
        row.push(output::dollars(&counts.cost_usd));
        row
    };
    let rows = usage.data.iter().map(|one| {
        let (name, owner) = (one.name.as_deref(), one.subject.as_deref());
        row(name.unwrap_or("-"), owner.unwrap_or("-"), &one.counts)
    });
    output::table(&header, rows.chain([row("total", "", &usage.total)]))
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
            table(&usage("route", None, None), By::Route),
            "ROUTE  REQUESTS  ERRORS  PROMPT  COMPLETION  COST\n\
             -      13        1       3100    450         $1.234567\n\
             total  13        1       3100    450         $1.234567"
        );
        assert_eq!(
            table(&usage("key", Some("3kTM"), Some("ada@example.com")), By::Key),
            "KEY    OWNER            REQUESTS  ERRORS  PROMPT  COMPLETION  COST\n\
             3kTM   ada@example.com  13        1       3100    450         $1.234567\n\
             total                   13        1       3100    450         $1.234567"
        );
    }
}
