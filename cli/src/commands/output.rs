//! Everything that the commands print goes through here.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Row, Table};
use diogenes_core::money::{Dollars, parse_dollars};
use serde_json::Value;

use super::controls;
use crate::exit::{Failure, Kind};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns or plain text
    #[default]
    Table,
    /// The JSON of the API
    Json,
    /// The same as YAML
    Yaml,
}

/// Whoever read standard output has gone, as `head` does. That is not our failure.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
struct Closed;

/// Whether a command ended only because nobody reads on.
pub(crate) fn is_closed(failure: &Failure) -> bool {
    failure.error.is::<Closed>()
}

/// Prints a line on standard output.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    piece(&format!("{text}\n"))
}

/// Prints text on standard output, at once: as it is, but a terminal gets no control characters.
pub(crate) fn piece(text: &str) -> Result<(), Failure> {
    if is_terminal() { drawn(&controls::escaped(text)) } else { drawn(text) }
}

/// [`piece`], with the colours that are in the text.
pub(crate) fn coloured(text: &str) -> Result<(), Failure> {
    if is_terminal() { drawn(&controls::escaped_but_colours(text)) } else { drawn(text) }
}

/// Prints text on standard output as it is, with control characters of our own.
pub(crate) fn drawn(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes the content of a file on standard output.
pub(crate) fn bytes(content: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(content).and_then(|()| out.flush()).map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure { kind: Kind::Other, error: Closed.into() }
        } else {
            let error = anyhow::Error::new(error).context("standard output cannot be written");
            Failure { kind: Kind::Other, error }
        }
    })
}

/// Prints a line for the person at the terminal, on standard error.
pub(crate) fn note(text: &str) {
    let mut error = io::stderr().lock();
    // With nobody to tell there is nothing to do.
    let _ = if error.is_terminal() {
        writeln!(error, "{}", controls::escaped(text))
    } else {
        writeln!(error, "{text}")
    };
}

/// Prints a result in the wanted form.
pub(crate) fn result(
    format: Format,
    value: &Value,
    table: impl FnOnce() -> Result<String, Failure>,
) -> Result<(), Failure> {
    match format {
        Format::Table => match table()? {
            text if text.is_empty() => Ok(()),
            text => line(&text),
        },
        Format::Json => line(&json(value)),
        Format::Yaml => piece(&yaml(value)?),
    }
}

/// Prints on standard error why a command failed, in the wanted form.
pub(crate) fn failure(format: Format, failure: &Failure) {
    match format {
        Format::Table => note(&format!("error: {:#}", failure.error)),
        Format::Json => note(&json(&failure.to_value())),
        Format::Yaml => match yaml(&failure.to_value()) {
            Ok(text) => note(text.trim_end()),
            Err(_) => note(&format!("error: {:#}", failure.error)),
        },
    }
}

/// JSON over several lines.
pub(crate) fn json(value: &Value) -> String {
    format!("{value:#}")
}

/// YAML, with a line end.
pub(crate) fn yaml(value: &Value) -> Result<String, Failure> {
    serde_saphyr::to_string(value).map_err(|error| Failure {
        kind: Kind::Other,
        error: anyhow::Error::new(error).context("the result cannot be written as YAML"),
    })
}

/// Columns two spaces apart, without lines: reads well, and `awk` understands it.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    if !header.is_empty() {
        table.set_header(Row::from(header.to_vec()));
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Names and values below each other.
pub(crate) fn details(rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    table(&[], rows.into_iter().map(|(name, value)| vec![format!("{name}:"), value]))
}

/// Dollars that the API tells with all decimals, as budgets show them.
pub(crate) fn dollars(exact: &str) -> String {
    parse_dollars(exact).map_or_else(|_| exact.to_owned(), |amount| Dollars(amount).to_string())
}

/// Whether somebody reads standard output as it comes.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A colour or a style of the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    Green = 32,
    Yellow = 33,
    Red = 31,
    Dim = 2,
}

/// Colours `text` where the stream is a terminal that wants colours.
pub(crate) fn paint(text: &str, paint: Paint, stream: &impl IsTerminal) -> String {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if refused || !stream.is_terminal() {
        return text.to_owned();
    }
    format!("\x1b[{}m{text}\x1b[0m", paint as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_no_trailing_blanks_and_aligned_columns() {
        let rows = [vec!["demo".into(), "ready".into()], vec!["Qwen/Qwen3-8B".into(), "-".into()]];
        assert_eq!(
            table(&["MODEL", "STATUS"], rows),
            "MODEL          STATUS\ndemo           ready\nQwen/Qwen3-8B  -"
        );
    }

    #[test]
    fn details_stand_below_each_other() {
        let rows = [("id", "x".to_owned()), ("email", "ada@example.com".into())];
        assert_eq!(details(rows), "id:     x\nemail:  ada@example.com");
    }

    #[test]
    fn text_that_looks_like_another_type_stays_text_in_yaml() {
        let value = serde_json::json!({"a": "12", "b": "true", "c": null, "d": ["x"]});
        let yaml = yaml(&value).expect("written");
        let back: Value = serde_saphyr::from_str(&yaml).expect("read");
        assert_eq!(back, value, "{yaml}");
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let failure = Failure { kind: Kind::Other, error: Closed.into() };
        assert!(is_closed(&failure));
        assert!(!is_closed(&Kind::Other.because("x")));
    }
}
