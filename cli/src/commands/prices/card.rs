//! `prices set` and `prices unset`: what models of the fleet cost.

use std::path::PathBuf;

use diogenes_api::control::RateCardBody;
use diogenes_core::gateway::prices::RateCard;
use diogenes_core::money::{Dollars, parse_dollars};
use diogenes_core::name::ModelName;
use serde_json::{Map, Value};

use crate::client::{decode, rate_card_path};
use crate::commands::completions::models;
use crate::commands::fields::{Fields, Origin};
use crate::commands::options::Options;
use crate::commands::{confirmation, output};
use crate::exit::{Failure, Kind};

/// Set what a model of your own costs, in dollars per million tokens.
///
/// Requests are charged by the rate card of the model that answers: `x-diogenes-cost-usd`, usage
/// reports and budgets go by it. A price is frozen under its version; give another price another
/// version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prices set Qwen/Qwen3-8B --version 2026-11 --input-price 0.10 --output-price 0.40
  diogenes prices set Qwen/Qwen3-8B --version 2026-12 --input-price 0.10 --cached-input-price 0.02 --output-price 0.40
  diogenes prices set Qwen/Qwen3-8B --file card.toml     # prices of long prompts, too

A file has the fields of `[rate_cards.\"…\"]` in `diogenes.toml`: `version` and `price`.")]
pub(super) struct SetArgs {
    /// The model, by its registered name
    #[arg(value_name = "MODEL", add = models())]
    model: ModelName,
    /// File with the rate card, in TOML, JSON or YAML; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Your name for this price, such as `2026-11`
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,
    /// Dollars per million tokens of the prompt
    #[arg(long, value_name = "DOLLARS", value_parser = dollars, allow_negative_numbers = true, conflicts_with = "file")]
    input_price: Option<String>,
    /// The same for those read from the engine's prefix cache [default: that of --input-price]
    #[arg(long, value_name = "DOLLARS", value_parser = dollars, allow_negative_numbers = true, conflicts_with = "file")]
    cached_input_price: Option<String>,
    /// Dollars per million tokens of the answer
    #[arg(long, value_name = "DOLLARS", value_parser = dollars, allow_negative_numbers = true, conflicts_with = "file")]
    output_price: Option<String>,
}

/// Delete the rate card of a model of your own, which costs nothing from then on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prices unset Qwen/Qwen3-8B
  diogenes prices unset Qwen/Qwen3-8B --yes")]
pub(super) struct UnsetArgs {
    /// The model
    #[arg(value_name = "MODEL", add = models())]
    model: ModelName,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn set(options: &Options, args: SetArgs) -> Result<(), Failure> {
    let card = args.card()?;
    let client = options.client()?;
    let body = client.put(&rate_card_path(args.model.as_str()), &card).await?;
    output::result(options.output, &body, || {
        let RateCardBody { model, version, price, .. } = decode(body.clone())?;
        let rates = price.base();
        Ok(format!(
            "`{model}` costs {} per million tokens of prompts and {} of answers (version {version})",
            Dollars(rates.input),
            Dollars(rates.output)
        ))
    })
}

pub(super) async fn unset(options: &Options, args: UnsetArgs) -> Result<(), Failure> {
    let client = options.client()?;
    let UnsetArgs { model, yes } = args;
    let question = format!("delete the rate card of `{model}`? It costs nothing then");
    if !yes && !confirmation::ask(&format!("deleting the rate card of `{model}`"), &question)? {
        output::note("nothing was deleted");
        return Ok(());
    }
    let deleted = client.delete(&rate_card_path(model.as_str())).await?;
    output::result(options.output, &deleted, || {
        Ok(format!("the rate card of `{model}` is deleted"))
    })
}

impl SetArgs {
    /// Names the flags that are missing where no file says the rest.
    fn check_flags(&self) -> Result<(), Failure> {
        let flags = [
            ("--version", &self.version),
            ("--input-price", &self.input_price),
            ("--output-price", &self.output_price),
        ];
        let missing: Vec<_> =
            flags.iter().filter(|(_, value)| value.is_none()).map(|(flag, _)| *flag).collect();
        let all = match missing[..] {
            [] => return Ok(()),
            [one] => one.to_owned(),
            [ref others @ .., last] => format!("{} and {last}", others.join(", ")),
        };
        Err(Kind::Config.because(format!("give {all}, or a file with the rate card by --file")))
    }

    fn card(&self) -> Result<RateCard, Failure> {
        let (mut fields, origin) = match &self.file {
            Some(file) => (Fields::read(file)?, Origin::File(file.display().to_string())),
            None => (self.check_flags().map(|()| Fields::default())?, Origin::Flags),
        };
        fields.set("version", self.version.as_ref());
        let rates = [
            ("input", &self.input_price),
            ("cached_input", &self.cached_input_price),
            ("output", &self.output_price),
        ];
        let price: Map<String, Value> = rates
            .into_iter()
            .filter_map(|(name, rate)| Some((name.to_owned(), rate.clone()?.into())))
            .collect();
        fields.set("price", (!price.is_empty()).then_some(price));
        fields.into_spec(&origin, RateCard::validate)
    }
}

/// Dollars with or without their sign, which a shell would take for a variable's.
fn dollars(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix('$').unwrap_or(text);
    parse_dollars(digits).map(|_| digits.to_owned()).map_err(|error| error.to_string())
}
