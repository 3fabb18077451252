//! The part of an import that takes time and waits for nobody: from a file to chunks. It runs in a
//! thread of its own.

use std::collections::HashSet;

use diogenes_core::datasets::{
    Checks, Chunk, ChunkBuilder, DatasetProblem, DatasetSchema, fingerprint,
};
use diogenes_formats::{BadRow, Encoding, FormatError, Mapper, Place, open};
use serde::Serialize;
use tokio::sync::mpsc;

use super::arguments::{ImportArguments, OnError};
use super::source::BlobSource;

/// How many rejected rows are passed on at once.
const MOST_REJECTED: usize = 1_000;

/// What is read from the file.
pub(super) struct Reading {
    pub(super) arguments: ImportArguments,
    pub(super) encoding: Option<Encoding>,
    /// The schema of the dataset.
    pub(super) schema: DatasetSchema,
    /// What is there already, where duplicates are left out.
    pub(super) known: Option<HashSet<u128>>,
}

/// What a reading tells while it goes on.
pub(super) enum Piece {
    Chunk(Box<Chunk>, Counts),
    Rejected(Vec<Rejected>, Counts),
}

/// How far a reading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) imported: u64,
    pub(super) rejected: u64,
    pub(super) duplicates: u64,
    #[serde(skip)]
    pub(super) bytes: u64,
}

/// A row that is not an example.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Rejected {
    line: u64,
    column: Option<String>,
    reason: String,
    /// The row itself, as far as it can be shown.
    row: String,
}

/// What a reading has come to.
pub(super) struct Summary {
    pub(super) counts: Counts,
    /// What was inferred from the examples.
    pub(super) schema: DatasetSchema,
    /// The encoding, and whether it was only told from the file.
    pub(super) encoding: Option<(String, bool)>,
    pub(super) left_out: Vec<String>,
    pub(super) first_rejected: Option<String>,
}

/// Why a reading ended before the end of the file.
pub(super) enum Failure {
    /// The file, or a row of it, is not what it should be: to be told to whoever sent it.
    File(String),
    /// It could not be read.
    Io(String),
    /// Nobody wants it any more.
    Unwanted,
}

impl Reading {
    /// Reads all of it.
    pub(super) fn run(
        mut self,
        source: BlobSource,
        to: &mpsc::Sender<Piece>,
    ) -> Result<Summary, Failure> {
        let file = &self.arguments.filename;
        let failed = |error: FormatError| match error {
            FormatError::Io(error) => Failure::Io(format!("`{file}` could not be read: {error}")),
            error => Failure::File(format!("{file}: {error}")),
        };
        let ImportArguments { format, delimiter, .. } = self.arguments;
        let opened = open(Box::new(source), format, self.encoding, delimiter).map_err(failed)?;
        let mut rows = opened.rows;
        let columns = rows.columns().map(<[String]>::to_vec);
        let mapper = Mapper::new(&self.arguments.map, columns.as_deref(), &self.schema);
        let mapper = mapper.map_err(failed)?.with_file(file.as_str());
        let checks =
            Checks::of(&self.schema).map_err(|problem| Failure::File(problem.to_string()))?;
        let mut inferred = DatasetSchema::default();
        let (mut counts, mut builder) = (Counts::default(), ChunkBuilder::default());
        let (mut rejected, mut first_rejected) = (Vec::new(), None);
        loop {
            let bytes = rows.bytes_read();
            let raw_of = rows.next().map_err(failed)?;
            let Some(row) = raw_of else { break };
            counts.rows += 1;
            counts.bytes = bytes;
            let line = match &row {
                Ok(row) => row.line,
                Err(bad) => bad.place.line,
            };
            let taken = row.and_then(|row| mapper.example(row)).and_then(|example| {
                checks.check(&example).map_err(|problem| bad_row(line, &problem))?;
                let known = self.known.as_mut();
                if known.is_some_and(|known| !known.insert(fingerprint(&example))) {
                    return Ok(None);
                }
                let full = builder.push(counts.imported + 1, &example);
                let full = full.map_err(|problem| bad_row(line, &problem))?;
                inferred.widen(&example);
                Ok(Some(full))
            });
            match taken {
                Ok(None) => counts.duplicates += 1,
                Ok(Some(full)) => {
                    counts.imported += 1;
                    if let Some(chunk) = full {
                        send(to, Piece::Chunk(Box::new(chunk), counts))?;
                    }
                }
                Err(bad) => {
                    if self.arguments.on_error == OnError::Fail {
                        return Err(Failure::File(format!(
                            "{file}: {bad}; mend it, or leave such rows out with `--on-error skip`"
                        )));
                    }
                    counts.rejected += 1;
                    first_rejected.get_or_insert_with(|| bad.to_string());
                    let row = rows.shown();
                    let BadRow { place, reason } = bad;
                    rejected.push(Rejected { line: place.line, column: place.column, reason, row });
                    if rejected.len() >= MOST_REJECTED {
                        send(to, Piece::Rejected(std::mem::take(&mut rejected), counts))?;
                    }
                }
            }
        }
        if !rejected.is_empty() {
            send(to, Piece::Rejected(rejected, counts))?;
        }
        if let Some(chunk) = builder.take() {
            send(to, Piece::Chunk(Box::new(chunk), counts))?;
        }
        let encoding = opened.encoding.map(|encoding| (encoding.to_string(), opened.is_detected));
        let left_out = mapper.left_out().into_iter().map(str::to_owned).collect();
        Ok(Summary { counts, schema: inferred, encoding, left_out, first_rejected })
    }
}

fn bad_row(line: u64, problem: &DatasetProblem) -> BadRow {
    BadRow { place: Place { line, column: None }, reason: problem.to_string() }
}

fn send(to: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Failure> {
    to.blocking_send(piece).map_err(|_| Failure::Unwanted)
}
