use diogenes_core::batches::{BatchEvent, LineProblem, Validator};
use diogenes_core::entity::Entity;
use diogenes_core::jobs::JobOutcome;
use diogenes_core::name::ModelName;
use diogenes_core::ports::BlobError;
use serde_json::json;

use super::runner::Run;
use crate::bulk::Trouble;
use crate::jobs::Ended;

impl Run<'_> {
    /// Reads the input file whole. `Some` where something is wrong with it.
    pub(super) async fn validate(&mut self) -> Result<Option<Ended>, Trouble> {
        let mut validator = Validator::new(self.batch().endpoint);
        let mut reader = self.runner.reader(self.batch())?;
        while !validator.is_full() {
            match reader.next().await {
                Ok(Some(line)) => {
                    if let Some(text) = line.text {
                        validator.take(line.number, &text);
                    } else {
                        let most = self.runner.max_line_bytes;
                        let message = format!("The line is longer than {most} bytes.");
                        validator.refuse(Some(line.number), "line_too_long", message);
                    }
                }
                Ok(None) => break,
                Err(BlobError::NotFound { .. }) => {
                    let message = "The input file was deleted.".into();
                    validator.refuse(None, "file_not_found", message);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let found = validator.finish();
        let found = found.and_then(|(lines, model)| match model.parse::<ModelName>() {
            Ok(model) => Ok((lines, model)),
            Err(error) => Err(vec![LineProblem::of_file("invalid_model", error.to_string())]),
        });
        match found {
            Ok((lines, model)) => {
                self.change(BatchEvent::Validated, |batch| {
                    batch.counts.total = lines;
                    batch.model = Some(model.clone());
                })
                .await?;
                Ok(None)
            }
            Err(problems) => {
                let now = self.now();
                let Some(mut batch) = self.batch().after(BatchEvent::Refused, now) else {
                    // Somebody wants its end; there is nothing to finish.
                    return self.finish(true, &[]).map(Some);
                };
                batch.problems = problems;
                let count = batch.problems.len();
                Ok(Some(Ended {
                    writes: vec![batch.put(self.batch.unchanged())?],
                    ..Ended::with(JobOutcome::Completed {
                        result: Some(json!({ "status": "failed", "problems": count })),
                    })
                }))
            }
        }
    }
}
