//! Runs as files: for spreadsheets, for CI, for people.

mod csv;
mod html;
mod junit;
mod markdown;
mod plots;

use std::path::{Path, PathBuf};

use diogenes_api::control::{EvalBody, EvalComparisonBody, EvalResultBody};
use serde_json::json;

use crate::commands::output;
use crate::exit::{Failure, Kind};

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    Json,
    Csv,
    Junit,
    Markdown,
    Html,
}

/// A run with everything that is to be told of it.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) run: EvalBody,
    pub(super) results: Vec<EvalResultBody>,
    /// Beside another one.
    pub(super) comparison: Option<EvalComparisonBody>,
}

/// A report that is wanted: `FORM=FILE`.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    form: Form,
    file: PathBuf,
}

/// Reads `FORM=FILE`, such as `junit=eval.xml`.
pub(super) fn wanted(text: &str) -> Result<Wanted, String> {
    let known = || "write it as FORM=FILE, with json, csv, junit, markdown or html".to_owned();
    let (form, file) = text.split_once('=').ok_or_else(known)?;
    let form = <Form as clap::ValueEnum>::from_str(form, true).map_err(|_| known())?;
    if file.is_empty() {
        return Err(known());
    }
    Ok(Wanted { form, file: file.into() })
}

impl Report {
    /// The report as a file has it.
    pub(super) fn written(&self, form: Form) -> Result<String, Failure> {
        match form {
            Form::Json => Ok(output::json(&json!({
                "run": self.run,
                "comparison": self.comparison,
                "results": self.results,
            })) + "\n"),
            Form::Csv => Ok(csv::written(self)),
            Form::Junit => junit::written(self),
            Form::Markdown => Ok(markdown::written(self)),
            Form::Html => Ok(html::written(self)),
        }
    }

    /// Writes the reports that are wanted.
    pub(super) fn write_all(&self, wanted: &[Wanted]) -> Result<(), Failure> {
        wanted.iter().try_for_each(|Wanted { form, file }| self.write(*form, file))
    }

    pub(super) fn write(&self, form: Form, file: &Path) -> Result<(), Failure> {
        std::fs::write(file, self.written(form)?).map_err(|error| Failure {
            kind: Kind::Other,
            error: anyhow::Error::new(error)
                .context(format!("the report `{}` cannot be written", file.display())),
        })?;
        output::note(&format!("wrote {}", file.display()));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
