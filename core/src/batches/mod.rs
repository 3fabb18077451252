//! Files, and batches of requests that are answered when there is time: OpenAI's Files and Batches.
//!
//! A [`Batch`] is run by a job. Its input file is read whole before the first request is sent: all of
//! it is good, or nothing is run. What comes of each line is kept in a [`LineAnswer`] before another
//! one is begun in its place, so that whoever goes on with the batch knows which lines are done. At
//! the end the answers become the output files.

mod answer;
mod batch;
mod bill;
mod file;
mod files;
mod line;
mod service;
mod sweep;
#[cfg(test)]
mod testing;
mod upload;
mod uploads;

pub use answer::{LineAnswer, MAX_IN_RECORD, answered, unanswered};
pub use batch::{
    Batch, BatchEndpoint, BatchEvent, BatchId, BatchStatus, BatchTimes, MAX_EMBEDDING_INPUTS,
    MAX_LINES, MAX_PROBLEMS, RequestCounts, WINDOW, WINDOW_NAME,
};
pub use bill::Bill;
pub use file::{
    FILE_LIFE, FILE_QUOTA, FileId, FilePurpose, FileRecord, MAX_FILE_BYTES, MAX_FILE_NAME,
};
pub use files::{FileError, FilePage, Files, NewFile};
pub use line::{BatchLine, LineProblem, Validator};
pub use service::{BatchError, Batches, MAX_METADATA, NewBatch};
pub use sweep::Sweeper;
pub use upload::{MAX_PART_BYTES, MAX_PARTS, PartId, UPLOAD_LIFE, Upload, UploadId, UploadStatus};
pub use uploads::{NewUpload, UploadError, Uploads};
