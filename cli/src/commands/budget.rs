use clap::Subcommand;
use diogenes_api::control::{BudgetBody, BudgetPage, SetBudget};
use diogenes_core::Timestamp;
use diogenes_core::gateway::budget::{BudgetId, BudgetScope, Cap, Period};
use diogenes_core::keys::KeyId;
use diogenes_core::name::ModelName;
use diogenes_core::ports::Unit;
use diogenes_core::tenancy::ProjectId;
use serde_json::Value;

use super::options::Options;
use super::{confirmation, output, time};
use crate::client::{budget_path, decode};
use crate::exit::{Failure, Kind};

/// Set, list and delete budgets: what a key, a project or a route may use.
///
/// A budget is in dollars or in tokens, per day, per month or in total; days and months begin at
/// midnight UTC. A key may have several budgets, and a request must fit into each of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes budget set --project search --usd 20 --per month
  diogenes budget set --key 3kTMd9XbQ2LpVw7z --tokens 2M --per day
  diogenes budget list
  diogenes budget delete project/search/usd/month")]
pub(crate) struct BudgetArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Set(SetArgs),
    List(ListArgs),
    Show(ShowArgs),
    Delete(DeleteArgs),
}

/// Set how much a key, a project or a route may use.
///
/// If the budget exists, its cap is changed, and what was used in this period counts against the
/// new cap. The budgets of projects and routes need a key with the scope `admin`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes budget set --key 3kTMd9XbQ2LpVw7z --usd 0.50 --per day
  diogenes budget set --project search --usd 20 --per month
  diogenes budget set --project search --tokens 50M --per total
  diogenes budget set --route assistant --usd 100 --per month")]
struct SetArgs {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    much: Much,
    /// How often it resets: `day`, `month`, or `total` for never
    #[arg(long, value_name = "PERIOD")]
    per: Period,
}

/// Whose requests a budget counts.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// The requests of this key, given by its id, and of keys that replace it
    #[arg(long, value_name = "ID", value_parser = key_id)]
    key: Option<KeyId>,
    /// The requests of all keys of this project
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
    /// The requests that name this route, of all projects together
    #[arg(long, value_name = "ROUTE")]
    route: Option<ModelName>,
}

/// How much may be used.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Much {
    /// Dollars, such as `20` or `0.50`
    #[arg(long, value_name = "AMOUNT", value_parser = dollars)]
    usd: Option<Cap>,
    /// Tokens of prompts and answers, such as `500k` or `2M`
    #[arg(long, value_name = "N", value_parser = tokens)]
    tokens: Option<Cap>,
}

/// List the budgets: all of them, or those of your own project with a project's key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes budget list
  diogenes budget list --project search
  diogenes budget list -o json | jq -r '.data[] | select(.used_percent >= 80).id'")]
struct ListArgs {
    /// Only those of this project and its keys
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
}

/// Show a budget.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes budget show project/search/usd/month
  diogenes budget list   # shows the ids")]
struct ShowArgs {
    /// The budget's id
    id: BudgetId,
}

/// Delete a budget, so that it no longer refuses requests.
///
/// What was used is not forgotten: it counts if the budget is set again in the same period.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes budget delete project/search/usd/month
  diogenes budget delete key/3kTMd9XbQ2LpVw7z/tokens/day --yes")]
struct DeleteArgs {
    /// The budget's id
    id: BudgetId,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(args: BudgetArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Set(args) => {
            let (id, cap) = args.request()?;
            let set = client.put(&budget_path(&id.to_string()), &SetBudget { cap }).await?;
            show(&set, format)
        }
        Action::List(ListArgs { project }) => {
            let query = project.as_ref().map(|project| ("project", project.as_str()));
            let query: Vec<_> = query.into_iter().collect();
            let page = client.get_all(&["api", "v1", "budgets"], &query).await?;
            output::result(format, &page, || {
                let budgets = decode::<BudgetPage>(page.clone())?.data;
                if budgets.is_empty() {
                    output::note("no budgets; set one with `diogenes budget set`");
                    return Ok(String::new());
                }
                Ok(table(&budgets, Timestamp::now()))
            })
        }
        Action::Show(ShowArgs { id }) => {
            let budget = client.get(&budget_path(&id.to_string()), &[]).await?;
            show(&budget, format)
        }
        Action::Delete(DeleteArgs { id, yes }) => {
            let question = format!("delete the budget `{id}`? It will no longer refuse requests");
            if !yes && !confirmation::ask(&format!("deleting `{id}`"), &question)? {
                output::note("nothing was deleted");
                return Ok(());
            }
            let deleted = client.delete(&budget_path(&id.to_string())).await?;
            output::result(format, &deleted, || Ok(format!("budget `{id}` is deleted")))
        }
    }
}

impl SetArgs {
    fn request(self) -> Result<(BudgetId, Cap), Failure> {
        let Self { whose: Whose { key, project, route }, much: Much { usd, tokens }, per } = self;
        let scope = key.map(BudgetScope::Key);
        let scope = scope.or_else(|| project.map(BudgetScope::Project));
        let scope = scope.or_else(|| route.map(BudgetScope::Route));
        match (scope, usd.or(tokens)) {
            (Some(scope), Some(cap)) => {
                Ok((BudgetId { scope, unit: cap.unit(), period: per }, cap))
            }
            // Both groups are required.
            (None, _) | (_, None) => {
                Err(Kind::Config.because("say whose budget it is, and how much"))
            }
        }
    }
}

/// An id of a key could be anything, and a slash in it would name another budget.
fn key_id(text: &str) -> Result<KeyId, String> {
    let id: Result<BudgetId, _> = format!("key/{text}/usd/day").parse();
    match id.map(|id| id.scope) {
        Ok(BudgetScope::Key(id)) => Ok(id),
        _ => Err(format!("`{text}` is not the id of a key; `diogenes key list` shows the ids")),
    }
}

/// Dollars with or without their sign, which a shell would take for a variable's.
pub(super) fn dollars(text: &str) -> Result<Cap, String> {
    let cap: Result<Cap, _> = format!("${}", text.strip_prefix('$').unwrap_or(text)).parse();
    cap.map_err(|error| error.to_string())
}

fn tokens(text: &str) -> Result<Cap, String> {
    let cap: Cap = text.parse().map_err(|_| wrong_tokens(text))?;
    if cap.unit() == Unit::Tokens { Ok(cap) } else { Err(wrong_tokens(text)) }
}

fn wrong_tokens(text: &str) -> String {
    format!("`{text}` is not a number of tokens; write it as `500000`, `500k` or `2M`")
}

fn show(budget: &Value, format: output::Format) -> Result<(), Failure> {
    output::result(format, budget, || {
        let budget: BudgetBody = decode(budget.clone())?;
        let resets = match budget.resets_at {
            Some(at) => format!("{} ({})", time::stamp(at), resets(&budget, Timestamp::now())),
            None => "never".into(),
        };
        let per = budget.period.phrase();
        Ok(output::details([
            ("id", budget.id),
            ("project", budget.project.map_or_else(|| "-".into(), |project| project.to_string())),
            ("cap", format!("{} {per}", budget.cap)),
            ("charged", format!("{} ({} %)", budget.charged, budget.used_percent)),
            ("left", budget.left.to_string()),
            ("resets", resets),
            ("updated", time::stamp(budget.updated_at)),
        ]))
    })
}

fn table(budgets: &[BudgetBody], now: Timestamp) -> String {
    output::table(
        &["ID", "CAP", "CHARGED", "LEFT", "USED", "RESETS"],
        budgets.iter().map(|budget| {
            vec![
                budget.id.clone(),
                budget.cap.to_string(),
                budget.charged.to_string(),
                budget.left.to_string(),
                format!("{}%", budget.used_percent),
                resets(budget, now),
            ]
        }),
    )
}

/// When the next period begins, as people say it.
fn resets(budget: &BudgetBody, now: Timestamp) -> String {
    budget
        .resets_at
        .map_or_else(|| "never".into(), |at| format!("in {}", time::rough(time::since(now, at))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_shown_one_a_line() {
        let budget = |id: &str, cap: &str, charged: &str, left: &str, used: u64| {
            let resets_at = (!id.ends_with("total")).then_some("2026-12-01T00:00:00Z");
            let at = "2026-11-01T00:00:00Z";
            serde_json::json!({
                "id": id, "scope": "key", "scope_id": "x", "project": null, "unit": "usd",
                "period": id.rsplit('/').next(), "cap": cap, "charged": charged, "left": left,
                "used_percent": used, "resets_at": resets_at, "created_at": at, "updated_at": at,
            })
        };
        let budgets = serde_json::json!([
            budget("route/assistant/usd/month", "$100.00", "$81.27", "$18.73", 81),
            budget("key/3kTMd9XbQ2LpVw7z/tokens/total", "2M", "5k", "1995k", 0),
        ]);
        let budgets: Vec<BudgetBody> = serde_json::from_value(budgets).expect("budgets");
        let now = "2026-11-28T12:00:00Z".parse().expect("a time");
        assert_eq!(
            table(&budgets, now),
            "ID                                 CAP      CHARGED  LEFT    USED  RESETS\n\
             route/assistant/usd/month          $100.00  $81.27   $18.73  81%   in 2d\n\
             key/3kTMd9XbQ2LpVw7z/tokens/total  2M       5k       1995k   0%    never"
        );
    }

    #[test]
    fn amounts_are_read_with_and_without_their_unit() {
        for text in ["5", "$5", "5.00"] {
            assert_eq!(dollars(text).expect(text).to_string(), "$5.00");
        }
        assert_eq!(tokens("500k").expect("tokens").to_string(), "500k");
        for bad in ["", "-5", "5k", "$$5"] {
            assert!(dollars(bad).expect_err(bad).contains("not a number of dollars"), "{bad}");
        }
        for bad in ["", "$5", "0.5M"] {
            assert!(tokens(bad).expect_err(bad).contains("not a number of tokens"), "{bad}");
        }
    }

    #[test]
    fn key_is_given_by_its_id() {
        assert!(key_id("3kTMd9XbQ2LpVw7z").is_ok());
        for bad in ["", "a/b", "ada@example.com"] {
            assert!(key_id(bad).is_err(), "{bad}");
        }
    }
}
