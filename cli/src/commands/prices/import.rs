use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use diogenes_core::Timestamp;
use diogenes_core::gateway::prices::{
    Imported, InvalidPriceList, Price, PriceBook, PriceChange, PriceList,
};
use diogenes_core::money::Dollars;
use diogenes_core::name::nearest;
use serde_json::{Value, json};

use super::ImportArgs;
use crate::commands::options::Options;
use crate::commands::output::{self, Format};
use crate::exit::{Failure, Kind};
use crate::serve::configured_prices;

pub(super) fn run(options: &Options, args: &ImportArgs) -> Result<(), Failure> {
    let target = configured_prices(options.config.as_deref()).map_err(Kind::Config.failure())?;
    let now = Timestamp::now();
    let (name, text) = read(&args.file)?;
    let Imported { list, skipped } = imported(&text, &name, now)?;
    let list = only(list, &args.provider, &name)?;
    let total = list.entries(now).count();
    let (merged, changes) = match standing(&target)? {
        Some(standing) => standing.with_newer(list, now),
        None => PriceList::none_like(&list).with_newer(list, now),
    };
    if !changes.is_empty() && !args.dry_run {
        write(&target, &text_of(&merged)).map_err(Kind::Other.failure())?;
    }
    let added = changes.iter().filter(|change| change.is_new).count();
    let replaced = changes.len() - added;
    let value = json!({
        "file": target, "written": !changes.is_empty() && !args.dry_run,
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
        let path = target.display();
        output::note(&match (changes.is_empty(), args.dry_run) {
            (true, _) => format!("{path} stays as it is"),
            (false, true) => format!("{path} would be written; do so by leaving out --dry-run"),
            (false, false) => format!("{path} is written; restart `diogenes serve` to use it"),
        });
    }
    Ok(())
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
        let known = book.lists().last().map(|(list, _)| list.clone());
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
    Kind::Config.because(format!("{name} has {count}, and nothing was written:{}", lines.concat()))
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

/// The prices that are in the file already; none if it is not there.
fn standing(target: &Path) -> Result<Option<PriceList>, Failure> {
    let text = match std::fs::read(target) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let error = anyhow::Error::new(error);
            let error = error.context(format!("{} cannot be read", target.display()));
            return Err(Failure { kind: Kind::Config, error });
        }
    };
    let list = PriceList::parse_all(&text);
    list.map(Some).map_err(|problems| wrong(&target.display().to_string(), &problems))
}

/// A list as a file: a line for each entry, so that a change can be read.
fn text_of(list: &PriceList) -> String {
    let document = json!(list);
    let providers = document.get("providers").and_then(Value::as_object);
    let compact = |value: &Value| value.to_string();
    let sections = providers.into_iter().flatten().map(|(name, section)| {
        let mut head = section.as_object().cloned().unwrap_or_default();
        let models = head.remove("models").unwrap_or_default();
        let models: Vec<String> = models.as_array().into_iter().flatten().map(compact).collect();
        let head = head.iter().map(|(key, value)| format!("{}:{value},", json!(key)));
        let head: String = head.collect();
        format!("{}:{{{head}\"models\":[\n{}]}}", json!(name), models.join(",\n"))
    });
    let sections: Vec<String> = sections.collect();
    format!(
        "{{\"source\":{},\"date\":{},\"providers\":{{\n{}}}}}\n",
        json!(list.source()),
        json!(list.date()),
        sections.join(",\n")
    )
}

/// Writes the file whole, or leaves it as it is.
fn write(target: &Path, text: &str) -> anyhow::Result<()> {
    let place = || format!("{} cannot be written", target.display());
    // Through a link to the file itself.
    let target = target.canonicalize().unwrap_or_else(|_| target.to_owned());
    let mut fresh = target.clone().into_os_string();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        if let Ok(standing) = target.metadata() {
            file.set_permissions(standing.permissions())?;
        }
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&fresh, &target)).with_context(place)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let list: PriceList = serde_json::from_value(json!({
            "source": "a \"contract\"", "date": "2026-11-27", "providers": {
                "b": {"models": []},
                "openai": {"hosts": ["api.openai.com"], "fallback": ["b"], "models": [
                    {"match": ["x"], "price": {"input": "1", "output": "2"}}, {"match": ["y*"]}]},
            },
        }))
        .expect("a list");
        let text = text_of(&list);
        assert_eq!(PriceList::parse(text.as_bytes()).expect("read"), list, "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
    }
}
