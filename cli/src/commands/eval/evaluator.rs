//! Evaluators on the command line.

use std::path::PathBuf;

use diogenes_core::evals::evaluators::{Evaluator, EvaluatorSpec, EvaluatorType};
use serde_json::{Map, Value};

use crate::commands::fields::{Fields, Origin};
use crate::exit::{Failure, Kind};

/// An evaluator as it was given.
#[derive(Clone, Debug)]
pub(super) enum Given {
    Spec(EvaluatorSpec),
    File(EvaluatorType, PathBuf),
}

/// Reads `TYPE`, `TYPE:FILE` or the whole as JSON.
pub(super) fn evaluator(text: &str) -> Result<Given, String> {
    if text.trim_start().starts_with('{') {
        let spec = serde_json::from_str(text).map_err(|error| error.to_string())?;
        return Ok(Given::Spec(spec));
    }
    match text.split_once(':') {
        None => Ok(Given::Spec(EvaluatorSpec::of(text.parse()?))),
        Some((_, "")) => Err("a file is missing after the colon".into()),
        Some((kind, file)) => Ok(Given::File(kind.parse()?, file.into())),
    }
}

impl Given {
    /// The whole, checked as the server will.
    pub(super) fn read(self) -> Result<EvaluatorSpec, Failure> {
        let (spec, at) = match self {
            Self::Spec(spec) => (spec, String::new()),
            Self::File(kind, file) => {
                let mut fields = Fields::read(&file)?;
                // A file of parameters, or one with what stands beside them.
                let is_whole =
                    ["params", "type", "weight", "threshold"].iter().any(|field| fields.has(field));
                let at = file.display().to_string();
                if is_whole {
                    if let Some(other) = fields.take("type").filter(|it| *it != kind.as_str()) {
                        let text = format!("{at}: its type is {other}, not `{kind}`");
                        return Err(Kind::Config.because(text));
                    }
                    fields.set("type", Some(kind));
                    let origin = Origin::File(at.clone());
                    let check = |_: &EvaluatorSpec| Ok::<_, String>(());
                    (fields.into_spec(&origin, check)?, format!("{at}: "))
                } else {
                    let origin = Origin::File(at.clone());
                    let check = |_: &Map<String, Value>| Ok::<_, String>(());
                    let params = fields.into_spec(&origin, check)?;
                    (EvaluatorSpec { params, ..EvaluatorSpec::of(kind) }, format!("{at}: "))
                }
            }
        };
        Evaluator::new(&spec).map_err(|problem| {
            let next = "see `diogenes eval evaluators`";
            Kind::Config.because(format!("{at}evaluator `{}`: {problem}; {next}", spec.name()))
        })?;
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluator_is_a_type_a_file_or_json() {
        assert!(matches!(evaluator("exact_match"), Ok(Given::Spec(_))));
        let file = evaluator("llm_judge:judge.yaml");
        assert!(matches!(file, Ok(Given::File(EvaluatorType::LlmJudge, _))));
        assert!(evaluator("{\"type\": \"regex\", \"params\": {\"pattern\": \"x\"}}").is_ok());
        for bad in ["bleu", "regex:", "{\"type\": \"bleu\"}", "bleu:x.yaml"] {
            assert!(evaluator(bad).is_err(), "{bad}");
        }
        let missing = evaluator("regex").expect("a type").read().expect_err("no pattern");
        assert!(format!("{:#}", missing.error).contains("pattern"), "{missing:?}");
    }
}
