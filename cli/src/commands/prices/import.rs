use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context;
use diogenes_core::Timestamp;
use diogenes_core::gateway::prices::{
    Imported, InvalidPriceList, Price, PriceBook, PriceChange, PriceList,
};
use diogenes_core::money::Dollars;
use diogenes_core::name::nearest;
use serde_json::{Value, json};

use super::ImportArgs;
use crate::client::{Client, decode};
use crate::commands::change::change;
use crate::commands::confirmation;
use crate::commands::options::Options;
use crate::commands::output::{self, Format};
use crate::exit::{Failure, Kind};

const PATH: [&str; 4] = ["api", "v1", "prices", "imported"];

pub(super) async fn run(options: &Options, args: &ImportArgs) -> Result<(), Failure> {
    let client = options.client()?;
    let now = Timestamp::now();
    let (name, text) = read(&args.file)?;
    let Imported { list, skipped } = imported(&text, &name, now)?;
    let list = only(list, &args.provider, &name)?;
    let total = list.entries(now).count();
    let changes = write(&client, &list, args.dry_run, now).await?;
    let added = changes.iter().filter(|change| change.is_new).count();
    let replaced = changes.len() - added;
    let value = json!({
        "imported": !changes.is_empty() && !args.dry_run,
        "added": added, "changed": replaced, "unchanged": total - changes.len(), "skipped": skipped,
        "changes": changes.iter().map(value_of).collect::<Vec<_>>(),
    });
    output::result(options.output, &value, || {
        Ok(if changes.is_empty() { String::new() } else { table(&changes) })
    })?;
    if options.output == Format::Table {
        output::note(&format!(
            "{added} added, {replaced} changed, {} unchanged, {skipped} skipped because they are \
             not priced by tokens or cannot be requested here",
            total - changes.len()
        ));
        output::note(match (changes.is_empty(), args.dry_run) {
            (true, _) => "the imported prices stay as they are",
            (false, true) => "nothing was imported; leave out --dry-run to do so",
            (false, false) => "requests are counted by these prices from now on",
        });
    }
    Ok(())
}

/// Lays a list over the one that was imported before, and writes that; returns what changes.
async fn write(
    client: &Client,
    list: &PriceList,
    is_dry_run: bool,
    now: Timestamp,
) -> Result<Vec<PriceChange>, Failure> {
    let changes = RefCell::default();
    let written = change(client, &PATH, |standing| {
        let standing = standing.map(decode::<PriceList>).transpose()?;
        let standing = standing.unwrap_or_else(|| PriceList::empty(list.source(), list.date()));
        let (merged, newer) = standing.with_newer(list.clone(), now);
        let is_wanted = !newer.is_empty() && !is_dry_run;
        changes.replace(newer);
        Ok(is_wanted.then_some(merged))
    });
    written.await?;
    Ok(changes.into_inner())
}

/// Deletes what was imported.
pub(super) async fn clear(options: &Options, is_sure: bool) -> Result<(), Failure> {
    let client = options.client()?;
    let question = "delete the imported prices? Requests will be counted by those of the release";
    if !is_sure && !confirmation::ask("deleting the imported prices", question)? {
        output::note("nothing was deleted");
        return Ok(());
    }
    let deleted = client.delete(&PATH).await?;
    output::result(options.output, &deleted, || Ok("the imported prices are deleted".into()))
}

/// The text of the file that is imported, and its name for messages.
fn read(file: &Path) -> Result<(String, Vec<u8>), Failure> {
    let mut text = Vec::new();
    let name = if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let read = if file == Path::new("-") {
        io::stdin().lock().read_to_end(&mut text)
    } else {
        File::open(file).and_then(|mut file| file.read_to_end(&mut text))
    };
    read.with_context(|| format!("{name} cannot be read")).map_err(Kind::Config.failure())?;
    Ok((name, text))
}

/// The prices of a list in either form.
fn imported(text: &[u8], name: &str, now: Timestamp) -> Result<Imported, Failure> {
    let file: Value = serde_json::from_slice(text)
        .with_context(|| format!("{name} is not valid JSON"))
        .map_err(Kind::Config.failure())?;
    let Value::Object(file) = file else {
        return Err(Kind::Config.because(format!("{name} is not a list of prices: {FORMS}")));
    };
    let found = if file.contains_key("providers") {
        PriceList::parse_all(text).map(|list| Imported { list, skipped: 0 })
    } else if Imported::is_litellm(&file) {
        let book = PriceBook::embedded().context("the embedded prices")?;
        let known = book.lists().next_back().map(|(_, list)| list.clone());
        let known = known.context("the embedded prices are missing")?;
        Imported::from_litellm(&file, now, &known)
    } else {
        return Err(Kind::Config.because(format!("{name} is not a list of prices: {FORMS}")));
    };
    found.map_err(|problems| wrong(name, &problems))
}

const FORMS: &str = "it has neither `source`, `date` and `providers`, nor models with a \
                     `litellm_provider`";

fn wrong(name: &str, problems: &[InvalidPriceList]) -> Failure {
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    let count = match problems.len() {
        1 => "a bad value".to_owned(),
        count => format!("{count} bad values"),
    };
    Kind::Config.because(format!("{name} has {count}, and nothing was imported:{}", lines.concat()))
}

/// The prices of the providers that were asked for; of all if none was.
fn only(list: PriceList, providers: &[String], name: &str) -> Result<PriceList, Failure> {
    let unknown =
        providers.iter().find(|wanted| !list.providers().any(|known| known == wanted.as_str()));
    match unknown {
        Some(unknown) => {
            let near = nearest(unknown, list.providers());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Err(Kind::NotFound.because(format!("{name} has no provider `{unknown}`{near}")))
        }
        None if providers.is_empty() => Ok(list),
        None => Ok(list.of_providers(providers)),
    }
}

fn value_of(change: &PriceChange) -> Value {
    let PriceChange { provider, models, is_new, before, after } = change;
    let what = if *is_new { "added" } else { "changed" };
    json!({
        "change": what, "provider": provider, "models": models,
        "before": before, "price": after,
    })
}

fn table(changes: &[PriceChange]) -> String {
    let both = |price: Option<&Price>| {
        let rates = price.map(|price| [price.base().input, price.base().output]);
        rates.map_or(["-"; 2].map(str::to_owned), |rates| rates.map(|one| Dollars(one).to_string()))
    };
    let rows = changes.iter().map(|change| {
        let [input, output] = both(change.after.as_ref());
        let (what, before) = if change.is_new {
            ("added", String::new())
        } else {
            ("changed", both(change.before.as_ref()).join(" / "))
        };
        let models = change.models.join(",");
        vec![what.to_owned(), change.provider.clone(), models, input, output, before]
    });
    output::table(&["CHANGE", "PROVIDER", "MODELS", "INPUT", "OUTPUT", "BEFORE"], rows)
}
