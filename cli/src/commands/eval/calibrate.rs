use std::path::{Path, PathBuf};

use diogenes_api::control::{CalibrateEval, CalibrationBody, LabelledExample};
use diogenes_core::tenancy::ProjectId;

use super::{path, shown};
use crate::client::{Client, decode};
use crate::commands::options::in_project;
use crate::commands::output;
use crate::exit::{Failure, Kind};

/// Find out how far a judge agrees with humans.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes eval calibrate eval_0123456789abcdef0123456789abcdef --evaluator llm_judge --labels labels.csv

A labels.csv, of answers of that run that humans have looked at:
  ex_0000000001,pass
  ex_0000000007,fail

Draw the examples at random. 50 labels tell a good judge from a bad one; 200 tell how good.")]
pub(super) struct CalibrateArgs {
    /// The run's id
    id: String,
    /// The evaluator that is held against the labels
    #[arg(long, value_name = "NAME")]
    evaluator: String,
    /// A file with a label a line: the id of an example, a comma, and `pass` or `fail`
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// The project of the run [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
}

pub(super) async fn run(
    client: &Client,
    args: &CalibrateArgs,
    format: output::Format,
) -> Result<(), Failure> {
    let labels = read(&args.labels)?;
    let body = CalibrateEval { evaluator: args.evaluator.clone(), labels };
    let query = in_project(args.project.as_ref());
    let value = client.post_to(&path(&[&args.id, "calibrate"]), &query, &body).await?;
    output::result(format, &value, || {
        Ok(shown::calibration(&decode::<CalibrationBody>(value.clone())?))
    })
}

fn read(file: &Path) -> Result<Vec<LabelledExample>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure {
        kind: Kind::Config,
        error: anyhow::Error::new(error)
            .context(format!("the labels `{}` cannot be read; check the path", file.display())),
    })?;
    parsed(&text).map_err(|(line, problem)| {
        Kind::Config.because(format!("{}:{line}: {problem}", file.display()))
    })
}

/// The labels of a text, or the line at fault and what is wrong with it.
fn parsed(text: &str) -> Result<Vec<LabelledExample>, (usize, String)> {
    let mut labels = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        let is_header = number == 0 && line.to_lowercase().starts_with("example");
        if line.is_empty() || is_header {
            continue;
        }
        let at = |problem: &str| (number + 1, problem.to_owned());
        let (id, label) = line
            .split_once(',')
            .ok_or_else(|| at("write it as `EXAMPLE,pass` or `EXAMPLE,fail`"))?;
        let passed = match label.trim().to_lowercase().as_str() {
            "pass" | "passed" | "true" | "1" | "yes" => true,
            "fail" | "failed" | "false" | "0" | "no" => false,
            _ => return Err(at("the label must be `pass` or `fail`")),
        };
        labels.push(LabelledExample { example_id: id.trim().to_owned(), passed });
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_line_by_line() {
        let labels = parsed("example_id,label\nex_1,pass\n\nex_2, Fail\n").expect("labels");
        let read: Vec<_> = labels.iter().map(|it| (it.example_id.as_str(), it.passed)).collect();
        assert_eq!(read, [("ex_1", true), ("ex_2", false)]);
        assert_eq!(parsed("ex_1,pass\nex_2").expect_err("no label").0, 2);
        assert_eq!(parsed("ex_1,maybe").expect_err("no label").0, 1);
    }
}
