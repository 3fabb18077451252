//! `prices`: what requests cost here.

mod card;
mod import;
mod list;

use std::path::PathBuf;

use clap::Subcommand;

use super::options::Options;
use crate::exit::Failure;

/// Show and set what requests cost, and import price lists.
///
/// A price is looked up in the `prices` file of the configuration, then among those that were imported,
/// then among those of the server's release. Models of your own cost nothing without a rate card.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prices list openai/gpt-5-mini
  diogenes prices list --provider anthropic
  diogenes prices set Qwen/Qwen3-8B --version 2026-11 --input-price 0.10 --output-price 0.40
  diogenes prices import model_prices_and_context_window.json --provider openai --dry-run")]
pub(crate) struct PricesArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(ListArgs),
    Set(card::SetArgs),
    Unset(card::UnsetArgs),
    Import(ImportArgs),
    Clear(ClearArgs),
}

/// List the prices that the server uses, in dollars per million tokens.
///
/// A name without `*` shows what requests for that very model cost.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prices list                          # everything
  diogenes prices list openai/gpt-5-mini        # by the provider `openai`
  diogenes prices list 'gpt-5*' --provider openai
  diogenes prices list Qwen/Qwen3-8B            # the rate card of a model of your own
  diogenes prices list -o json | jq -r '.data[] | [.provider, .models[0], .price.input] | @tsv'")]
struct ListArgs {
    /// A model, or a pattern in which `*` is any text
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// Only this provider, by its name here or in the price lists
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
}

/// Import a price list. Requests are counted by it within seconds.
///
/// The prices come from LiteLLM's model_prices_and_context_window.json, or from a list in the form
/// of the `prices` file. They take the place of prices that were imported before for the same
/// models, and go before those of the release; prices of other models stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prices import model_prices_and_context_window.json --provider openai --provider groq
  diogenes prices import contract.json --dry-run
  curl -s https://example.com/prices.json | diogenes prices import -")]
struct ImportArgs {
    /// The list to import; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Import the prices of this provider only; may be repeated
    #[arg(long, value_name = "PROVIDER")]
    provider: Vec<String>,
    /// Show what would change, and import nothing
    #[arg(long)]
    dry_run: bool,
}

/// Delete the imported prices. Requests are counted by those of the release again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prices clear
  diogenes prices clear --yes")]
struct ClearArgs {
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(args: PricesArgs) -> Result<(), Failure> {
    let PricesArgs { action, options } = args;
    match action {
        Action::List(args) => list::run(&options, &args).await,
        Action::Set(args) => card::set(&options, args).await,
        Action::Unset(args) => card::unset(&options, args).await,
        Action::Import(args) => import::run(&options, &args).await,
        Action::Clear(ClearArgs { yes }) => import::clear(&options, yes).await,
    }
}
