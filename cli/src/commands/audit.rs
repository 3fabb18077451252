use std::cmp::Reverse;

use diogenes_api::control::{AuditBody, AuditPageBody, ProjectPage};
use diogenes_core::Timestamp;
use diogenes_core::tenancy::ProjectId;
use serde_json::{Value, json};

use super::options::Options;
use super::{output, time};
use crate::client::{Client, decode};
use crate::exit::Failure;

/// Show who changed keys, models, routes, providers, projects and budgets, newest first.
///
/// Records are kept for 400 days.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes audit
  diogenes audit --subject ada@example.com --since 7d
  diogenes audit --since 2026-11-01 --until 2026-12-01
  diogenes audit --action key. --project search
  diogenes audit --all-projects --since 24h
  diogenes audit --target model/demo -o json | jq -r '.data[] | [.at, .subject, .action] | @tsv'")]
pub(crate) struct AuditArgs {
    /// The project [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
    /// Every project that the key reaches
    #[arg(long, conflicts_with = "project")]
    all_projects: bool,
    /// Only changes by this address, or by `operator`
    #[arg(long)]
    subject: Option<String>,
    /// Only changes of this action, such as `key.create`, or of this kind, such as `key.`
    #[arg(long)]
    action: Option<String>,
    /// Only changes of this target, such as `key/3kTMd9XbQ2LpVw7z` or `model/demo`
    #[arg(long)]
    target: Option<String>,
    /// Only changes from this time on: RFC 3339, a date in UTC, or how long ago, such as `2h` or
    /// `7d`
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<Timestamp>,
    /// Only changes before this time, in the same form
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    until: Option<Timestamp>,
    /// Maximum number of rows
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = crate::wording::number::<usize>)]
    limit: usize,
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(args: AuditArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let whole = if args.all_projects {
        rows_of_all(&client, &args).await?
    } else {
        rows(&client, &args, args.project.as_ref()).await?
    };
    output::result(args.options.output, &whole, || {
        let records = decode::<AuditPageBody>(whole.clone())?.data;
        if records.is_empty() {
            output::note("no changes");
            return Ok(String::new());
        }
        Ok(table(&records, args.all_projects))
    })
}

/// The newest records of all projects: each has a log of its own.
async fn rows_of_all(client: &Client, args: &AuditArgs) -> Result<Value, Failure> {
    let projects = client.get_all(&["api", "v1", "projects"], &[]).await?;
    let mut all: Vec<(Timestamp, Value)> = Vec::new();
    for project in decode::<ProjectPage>(projects)?.data {
        let of_one = rows(client, args, Some(&project.id)).await?;
        let of_one = of_one.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        for record in of_one {
            all.push((decode::<AuditBody>(record.clone())?.at, record));
        }
    }
    all.sort_by_key(|(at, _)| Reverse(*at));
    all.truncate(args.limit);
    let data: Vec<Value> = all.into_iter().map(|(_, record)| record).collect();
    Ok(json!({"data": data, "next_cursor": null}))
}

/// As many of the newest records as are asked for, over several pages.
async fn rows(
    client: &Client,
    args: &AuditArgs,
    project: Option<&ProjectId>,
) -> Result<Value, Failure> {
    let time = |at: &Option<Timestamp>| at.map(|at| at.to_string());
    let filters = [
        ("project", project.map(ToString::to_string)),
        ("subject", args.subject.clone()),
        ("action", args.action.clone()),
        ("target", args.target.clone()),
        ("since", time(&args.since)),
        ("until", time(&args.until)),
    ];
    let filters: Vec<(&str, String)> =
        filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let (mut data, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let limit = args.limit.saturating_sub(data.len()).clamp(1, 500).to_string();
        let mut query: Vec<(&str, &str)> =
            filters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        query.push(("limit", &limit));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let mut page = client.get(&["api", "v1", "audit"], &query).await?;
        if let Some(rows) = page.get_mut("data").and_then(Value::as_array_mut) {
            data.append(rows);
        }
        let next = page.get("next_cursor").and_then(Value::as_str).map(ToOwned::to_owned);
        if next.is_none() || data.len() >= args.limit {
            data.truncate(args.limit);
            return Ok(json!({"data": data, "next_cursor": next}));
        }
        cursor = next;
    }
}

fn table(records: &[AuditBody], with_project: bool) -> String {
    let mut header = vec!["TIME", "SUBJECT", "ACTION", "TARGET", "FROM", "SUMMARY"];
    if with_project {
        header.insert(1, "PROJECT");
    }
    let row = |record: &AuditBody| {
        let mut row = vec![
            time::stamp(record.at),
            record.subject.clone(),
            record.action.to_string(),
            record.target.clone(),
            record.address.clone().unwrap_or_else(|| "-".into()),
            record.summary.clone(),
        ];
        if with_project {
            row.insert(1, record.project.to_string());
        }
        row
    };
    output::table(&header, records.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_one_a_line() {
        let records: Vec<AuditBody> = serde_json::from_value(json!([{
            "at": "2026-01-01T00:00:00.5Z", "project": "default", "subject": "ada@example.com",
            "key": "3kTMd9XbQ2LpVw7z", "action": "model.up", "target": "model/demo",
            "summary": "", "address": "127.0.0.1", "user_agent": "diogenes/0.1.0",
        }]))
        .expect("records");
        assert_eq!(
            table(&records, false),
            "TIME                  SUBJECT          ACTION    TARGET      FROM       SUMMARY\n\
             2026-01-01T00:00:00Z  ada@example.com  model.up  model/demo  127.0.0.1"
        );
        assert_eq!(
            table(&records, true),
            "TIME                  PROJECT  SUBJECT          ACTION    TARGET      FROM       SUMMARY\n\
             2026-01-01T00:00:00Z  default  ada@example.com  model.up  model/demo  127.0.0.1"
        );
    }
}
