use clap::builder::{PossibleValuesParser, TypedValueParser};
use diogenes_api::control::{CostBody, CostRowBody};
use diogenes_core::gateway::usage::CostBy;

use super::options::Options;
use super::output;
use super::time::Days;
use crate::client::decode;
use crate::exit::Failure;

/// Show what the instances of the fleet cost, beside what callers were charged.
///
/// An instance counts from its launch until Diogenes ends it or finds it ended: while it boots,
/// in use, and idle; what runs is counted once a minute. Its price is the `price_per_hour` of its rung in the model's ladder. Days are
/// in UTC, and are kept for 400 days.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes cost                           # this month, by model
  diogenes cost --by day --from 7d
  diogenes cost --by instance-type --from 2026-11-01 --to 2026-11-30
  diogenes cost -o json | jq -r '.data[] | [.name, .cost_usd.idle] | @tsv'")]
pub(crate) struct CostArgs {
    /// What to group by
    #[arg(long, value_name = "WHAT", default_value = "model", value_parser = rows())]
    by: CostBy,
    #[command(flatten)]
    days: Days,
    #[command(flatten)]
    options: Options,
}

fn rows() -> impl TypedValueParser<Value = CostBy> {
    PossibleValuesParser::new(["day", "instance-type", "model"])
        .try_map(|name| name.replace('-', "_").parse::<CostBy>())
}

pub(super) async fn run(args: CostArgs) -> Result<(), Failure> {
    let CostArgs { by, days, options } = args;
    let client = options.client()?;
    let days = days.query();
    let mut query = vec![("by", by.as_str())];
    query.extend(days.iter().map(|(name, day)| (*name, day.as_str())));
    let found = client.get(&["api", "v1", "cost"], &query).await?;
    output::result(options.output, &found, || {
        let cost: CostBody = decode(found.clone())?;
        if cost.data.is_empty() {
            output::note(&format!(
                "no instances from {} to {}; what runs is counted once a minute",
                cost.from, cost.to
            ));
            return Ok(String::new());
        }
        if cost.total.unpriced_seconds > 0.0 {
            output::note(&format!(
                "{} have no price; on AWS, set `price_per_hour` in the `ladder` of each model",
                hours(cost.total.unpriced_seconds)
            ));
        }
        Ok(table(&cost))
    })
}

fn table(cost: &CostBody) -> String {
    let what = cost.by.as_str().replace('_', " ").to_uppercase();
    let mut header = vec![what.as_str(), "BOOT", "IN USE", "IDLE", "COST", "IDLE COST"];
    let has_charges = cost.total.charged_usd.is_some() && cost.by != CostBy::InstanceType;
    if has_charges {
        header.push("CHARGED");
    }
    let row = |name: &str, of: &CostRowBody| {
        let time = &of.instance_seconds;
        let mut row = vec![name.to_owned(), hours(time.boot), hours(time.in_use), hours(time.idle)];
        row.extend([&of.cost_usd.total, &of.cost_usd.idle].map(|amount| output::dollars(amount)));
        if has_charges {
            row.push(of.charged_usd.as_deref().map_or_else(|| "-".into(), output::dollars));
        }
        row
    };
    let rows = cost.data.iter().map(|one| row(&one.name, one));
    output::table(&header, rows.chain([row("total", &cost.total)]))
}

/// A time of instances: `1h 02m`, `3m 20s`, `12s`.
fn hours(seconds: f64) -> String {
    let whole = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h {minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cost(by: &str, charged: Option<&str>) -> CostBody {
        let row = |name: &str| {
            json!({
                "name": name,
                "instance_seconds": {"boot": 65.0, "use": 3725.5, "idle": 9.0, "total": 3799.5},
                "cost_usd": {
                    "boot": "0.010000000", "use": "0.900000000", "idle": "0.002012000",
                    "total": "0.912012000",
                },
                "unpriced_seconds": 0.0, "charged_usd": charged,
            })
        };
        let body = json!({
            "from": "2026-11-01", "to": "2026-11-27", "by": by,
            "data": [row("org/demo")], "total": row(""),
        });
        serde_json::from_value(body).expect("costs")
    }

    #[test]
    fn costs_are_shown_one_row_a_line_and_the_sum_last() {
        assert_eq!(
            table(&cost("model", Some("0.310000000"))),
            "MODEL     BOOT    IN USE  IDLE  COST       IDLE COST  CHARGED\n\
             org/demo  1m 05s  1h 02m  9s    $0.912012  $0.002012  $0.31\n\
             total     1m 05s  1h 02m  9s    $0.912012  $0.002012  $0.31"
        );
        assert_eq!(
            table(&cost("instance_type", None)),
            "INSTANCE TYPE  BOOT    IN USE  IDLE  COST       IDLE COST\n\
             org/demo       1m 05s  1h 02m  9s    $0.912012  $0.002012\n\
             total          1m 05s  1h 02m  9s    $0.912012  $0.002012"
        );
    }
}
