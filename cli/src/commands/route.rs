use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use diogenes_api::control::{RouteBody, RouteList};
use diogenes_core::duration;
use diogenes_core::gateway::budget::Cap;
use diogenes_core::gateway::{RouteSpec, RouteTarget, Strategy, WhileCold};
use diogenes_core::name::ModelName;
use serde_json::Value;

use super::change::apply;
use super::completions::models;
use super::fields::{Fields, Origin};
use super::options::Options;
use super::{confirmation, output, time};
use crate::client::{decode, route_path};
use crate::exit::{Failure, Kind};

/// Add, change, list and delete routes: names that lead to one of several models.
///
/// Callers send a route's name as `model`. Its targets are models that are registered here, and
/// models of providers, such as `openai/gpt-5-mini`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes route apply assistant Qwen/Qwen3-8B openai/gpt-5-mini --egress
  diogenes route apply assistant --while-cold hold
  diogenes route list
  diogenes route delete assistant")]
pub(crate) struct RouteArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Apply(ApplyArgs),
    List(ListArgs),
    Show(ShowArgs),
    Delete(DeleteArgs),
}

/// Add or change a route. Requests follow it within seconds.
///
/// The spec comes from a file or from the route as it is, if it exists; arguments win over both.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes route apply assistant Qwen/Qwen3-8B openai/gpt-5-mini --egress
  diogenes route apply cheap a b c --strategy cost
  diogenes route apply assistant --sticky 30m
  diogenes route apply assistant --while-cold-budget 0.50
  diogenes route apply assistant --sticky none
  diogenes route apply assistant --file assistant.toml   # weights and qualities, too

The fields of a file are those of `[routes.\"…\"]` in `diogenes.toml`.")]
struct ApplyArgs {
    /// Name of the route
    name: ModelName,
    /// Names of the models that may answer, the first choice first
    #[arg(add = models())]
    targets: Vec<ModelName>,
    /// File with the spec, in TOML, JSON or YAML; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How a target is chosen
    #[arg(long, value_enum, value_name = "HOW")]
    strategy: Option<StrategyArg>,
    /// What happens to requests while the first choice has yet to start
    #[arg(long, value_enum, value_name = "HOW")]
    while_cold: Option<WhileColdArg>,
    /// What other targets may cost while a model starts; then requests wait for it. `none` for
    /// whatever they cost
    #[arg(long, value_name = "DOLLARS", value_parser = or_none(super::budget::dollars), allow_negative_numbers = true)]
    while_cold_budget: Option<Setting<Cap>>,
    /// How long a conversation stays with the target that answered it; `none` for not at all
    #[arg(long, value_name = "DURATION", value_parser = or_none(duration::parse))]
    sticky: Option<Setting<Duration>>,
    /// How long answers are kept for requests that are the same; `none` for not at all
    #[arg(long, value_name = "DURATION", value_parser = or_none(duration::parse))]
    cache_ttl: Option<Setting<Duration>>,
    /// Whether another replica continues a stream whose replica dies
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    recover: Option<bool>,
    /// Whether requests may leave for providers; their keys must allow it too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    egress: Option<bool>,
}

/// A value that can be switched off.
#[derive(Clone, Copy, Debug)]
enum Setting<T> {
    None,
    To(T),
}

/// Reads `none`, or what `parse` reads.
fn or_none<T: 'static>(
    parse: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Setting<T>, String> + Clone {
    move |text| match text {
        "none" => Ok(Setting::None),
        text => parse(text).map(Setting::To),
    }
}

impl<T> Setting<T> {
    /// A field of a spec: null switches it off.
    fn field<F: Into<Value>>(self, write: impl FnOnce(T) -> F) -> Value {
        match self {
            Self::None => Value::Null,
            Self::To(value) => write(value).into(),
        }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StrategyArg {
    /// As they are listed
    Ordered,
    /// The cheapest first
    Cost,
    /// The one with the fastest first token first
    Latency,
    /// The best `quality` first
    Quality,
    /// By chance, in proportion to `weight`
    Weighted,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum WhileColdArg {
    /// The next target that runs answers, and the first starts meanwhile
    Next,
    /// Requests wait for the first
    Hold,
}

/// List the routes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes route list
  diogenes route list -o json | jq -r '.data[].name'")]
struct ListArgs {}

/// Show a route.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes route show assistant
  diogenes route show assistant -o yaml > assistant.yaml   # `route apply --file` reads it")]
struct ShowArgs {
    /// The route
    name: String,
}

/// Delete a route. Requests that name it are refused from then on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes route delete assistant
  diogenes route delete assistant --yes")]
struct DeleteArgs {
    /// The route
    name: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(args: RouteArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Apply(args) => {
            let path = route_path(args.name.as_str());
            let route = match &args.file {
                Some(file) => client.put(&path, &args.of_file(file)?).await?,
                None => apply(&client, &path, |standing| args.of_standing(standing)).await?,
            };
            output::result(format, &route, || {
                let route: RouteBody = decode(route.clone())?;
                Ok(format!("route `{}` leads to {}", route.name, targets(&route, ", ")))
            })
        }
        Action::List(ListArgs {}) => {
            let list = client.get(&["api", "v1", "routes"], &[]).await?;
            output::result(format, &list, || {
                let routes = decode::<RouteList>(list.clone())?.data;
                if routes.is_empty() {
                    output::note("no routes; add one with `diogenes route apply`");
                    return Ok(String::new());
                }
                note_missing(&routes);
                Ok(table(&routes))
            })
        }
        Action::Show(ShowArgs { name }) => {
            let route = client.get(&route_path(&name), &[]).await?;
            output::result(format, &route, || {
                let route: RouteBody = decode(route.clone())?;
                note_missing(std::slice::from_ref(&route));
                Ok(details(&route))
            })
        }
        Action::Delete(DeleteArgs { name, yes }) => {
            let question = format!("delete route `{name}`? Requests that name it will be refused");
            if !yes && !confirmation::ask(&format!("deleting `{name}`"), &question)? {
                output::note("nothing was deleted");
                return Ok(());
            }
            let deleted = client.delete(&route_path(&name)).await?;
            output::result(format, &deleted, || Ok(format!("route `{name}` is deleted")))
        }
    }
}

impl ApplyArgs {
    fn of_file(&self, file: &Path) -> Result<RouteSpec, Failure> {
        let origin = Origin::File(file.display().to_string());
        self.spec(Fields::read(file)?, &origin)
    }

    /// The route as it is, for arguments to change; none if there is none.
    fn of_standing(&self, standing: Option<Value>) -> Result<RouteSpec, Failure> {
        let fields = match standing {
            Some(route) => Fields::of_value(route)?,
            None if self.targets.is_empty() => {
                return Err(Kind::Config.because(format!(
                    "route `{}` does not exist; name its targets, or give a spec with --file",
                    self.name
                )));
            }
            None => Fields::default(),
        };
        self.spec(fields, &Origin::Server)
    }

    fn spec(&self, base: Fields, origin: &Origin) -> Result<RouteSpec, Failure> {
        base.overruled_by(self.flags()).into_spec(origin, RouteSpec::validate)
    }

    fn flags(&self) -> Fields {
        let mut fields = Fields::default();
        fields.set("targets", (!self.targets.is_empty()).then_some(&self.targets));
        fields.set("strategy", self.strategy.map(Strategy::from));
        fields.set("while_cold", self.while_cold.map(WhileCold::from));
        fields.set("while_cold_budget", self.while_cold_budget.map(|it| it.field(String::from)));
        fields.set("sticky", self.sticky.map(|it| it.field(duration::format)));
        fields.set("cache_ttl", self.cache_ttl.map(|it| it.field(duration::format)));
        fields.set("recover", self.recover);
        fields.set("egress", self.egress);
        fields
    }
}

impl From<StrategyArg> for Strategy {
    fn from(arg: StrategyArg) -> Self {
        match arg {
            StrategyArg::Ordered => Self::Ordered,
            StrategyArg::Cost => Self::Cost,
            StrategyArg::Latency => Self::Latency,
            StrategyArg::Quality => Self::Quality,
            StrategyArg::Weighted => Self::Weighted,
        }
    }
}

impl From<WhileColdArg> for WhileCold {
    fn from(arg: WhileColdArg) -> Self {
        match arg {
            WhileColdArg::Next => Self::Next,
            WhileColdArg::Hold => Self::Hold,
        }
    }
}

fn table(routes: &[RouteBody]) -> String {
    output::table(
        &["NAME", "STRATEGY", "WHILE COLD", "EGRESS", "SOURCE", "UPDATED", "TARGETS"],
        routes.iter().map(|route| {
            vec![
                route.name.to_string(),
                route.spec.strategy.as_str().into(),
                route.spec.while_cold.as_str().into(),
                yes_or_no(route.spec.egress).into(),
                route.source.as_str().into(),
                time::stamp(route.updated_at),
                targets(route, ","),
            ]
        }),
    )
}

fn details(route: &RouteBody) -> String {
    let RouteBody { name, source, created_at, updated_at, spec, missing_targets } = route;
    let sticky = spec.sticky.map_or_else(|| "no".into(), duration::format);
    let cache = spec.cache_ttl.map_or_else(|| "no".into(), duration::format);
    let while_cold = match spec.while_cold_budget {
        Some(cap) => format!("{}, for at most {cap}", spec.while_cold.as_str()),
        None => spec.while_cold.as_str().into(),
    };
    let mut rows = vec![
        ("name", name.to_string()),
        ("source", source.as_str().into()),
        ("created", time::stamp(*created_at)),
        ("updated", time::stamp(*updated_at)),
        ("strategy", spec.strategy.as_str().into()),
        ("while cold", while_cold),
        ("sticky", sticky),
        ("cache", cache),
        ("recover", yes_or_no(spec.recover).into()),
        ("egress", yes_or_no(spec.egress).into()),
    ];
    let shown = |target: &RouteTarget| {
        let rank = match spec.strategy {
            Strategy::Weighted => Some(format!("weight {}", target.weight)),
            Strategy::Quality => Some(format!("quality {}", target.quality)),
            Strategy::Ordered | Strategy::Cost | Strategy::Latency => None,
        };
        let missing = missing_targets.contains(&target.model).then(|| "missing".to_owned());
        let notes: Vec<String> = rank.into_iter().chain(missing).collect();
        match notes.as_slice() {
            [] => target.model.to_string(),
            notes => format!("{} ({})", target.model, notes.join(", ")),
        }
    };
    rows.extend(spec.targets.iter().map(|target| ("target", shown(target))));
    output::details(rows)
}

/// The targets; those that nobody answers to are marked.
fn targets(route: &RouteBody, separator: &str) -> String {
    let shown = |target: &ModelName| {
        let mark = if route.missing_targets.contains(target) { "(missing)" } else { "" };
        format!("{target}{mark}")
    };
    let names: Vec<String> = route.spec.models().map(shown).collect();
    names.join(separator)
}

/// Says what the mark means.
fn note_missing(routes: &[RouteBody]) {
    if routes.iter().any(|route| !route.missing_targets.is_empty()) {
        output::note(
            "targets marked as missing do not exist, and requests skip them; add the model or its \
             provider, or change the route",
        );
    }
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn route() -> RouteBody {
        serde_json::from_value(serde_json::json!({
            "name": "assistant", "source": "api",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
            "spec": {
                "targets": ["Qwen/Qwen3-8B", {"model": "openai/gpt-5-mini", "weight": 3}],
                "strategy": "weighted", "sticky": "30m", "egress": true,
            },
        }))
        .expect("a route")
    }

    #[derive(clap::Parser)]
    struct Apply {
        #[command(flatten)]
        args: ApplyArgs,
    }

    #[test]
    fn what_a_route_has_can_be_switched_off() {
        let standing = serde_json::json!({
            "targets": ["a"], "sticky": "30m", "cache_ttl": "10m", "while_cold_budget": "$1",
        });
        let spec = |flags: &[&str]| {
            let args = [&["apply", "r"], flags].concat();
            let args = Apply::try_parse_from(args).expect("flags").args;
            let fields = Fields::of_value(standing.clone()).expect("fields");
            let fields = fields.overruled_by(args.flags());
            fields.into_spec(&Origin::Server, RouteSpec::validate).expect("a spec")
        };
        let kept = spec(&[]);
        assert!(kept.sticky.is_some() && kept.cache_ttl.is_some());
        let set = spec(&["--while-cold-budget", "$0.50", "--sticky", "1h"]);
        assert_eq!(set.while_cold_budget.map(String::from).as_deref(), Some("$0.50"));
        assert_eq!(set.sticky, Some(Duration::from_hours(1)));
        let off = spec(&["--sticky", "none", "--cache-ttl", "none", "--while-cold-budget", "none"]);
        assert_eq!((off.sticky, off.cache_ttl, off.while_cold_budget), (None, None, None));
    }

    #[test]
    fn routes_are_shown_one_a_line() {
        insta::assert_snapshot!(table(&[route()]));
    }

    #[test]
    fn targets_that_nobody_answers_to_are_marked() {
        let mut route = route();
        route.missing_targets = vec!["Qwen/Qwen3-8B".parse().expect("a name")];
        assert_eq!(targets(&route, ","), "Qwen/Qwen3-8B(missing),openai/gpt-5-mini");
        let shown = details(&route);
        assert!(shown.contains("Qwen/Qwen3-8B (weight 1, missing)"), "{shown}");
        assert!(shown.contains("openai/gpt-5-mini (weight 3)"), "{shown}");
    }

    #[test]
    fn a_routes_details_tell_what_its_strategy_goes_by() {
        insta::assert_snapshot!(details(&route()));
    }
}
