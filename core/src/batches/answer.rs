use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Batch, BatchId, Bill};
use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::ports::{BlobError, BlobKey, Key, Query, Table};
use crate::tenancy::ProjectId;

/// The longest text of an answer that is kept in its record, in bytes. Longer ones are blobs.
pub const MAX_IN_RECORD: usize = 100 * 1024;

/// How long answers are kept after the window of their batch, should nobody remove them.
const LIFE: Duration = Duration::from_hours(48);

/// What came of one line, until the output files are written. Each line has one at most: whoever
/// goes on with a batch leaves those alone that are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineAnswer {
    pub project: ProjectId,
    pub batch: BatchId,
    /// The line of the input file, from 1.
    pub line: u32,
    /// Whether it belongs to the output file, and not to that of the errors.
    pub is_success: bool,
    /// The line of the output file; none where it is a blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What it has used.
    #[serde(default)]
    pub bill: Bill,
    pub until: Timestamp,
}

impl LineAnswer {
    /// The answer to a line of `batch`.
    pub fn new(
        batch: &Batch,
        line: u32,
        is_success: bool,
        text: Option<String>,
        bill: Bill,
    ) -> Self {
        Self {
            project: batch.project.clone(),
            batch: batch.id.clone(),
            line,
            is_success,
            text,
            bill,
            until: later(batch.expires_at, LIFE),
        }
    }

    /// What every blob of a long answer begins with.
    pub(super) const BLOBS: &'static str = "answers";

    fn partition(project: &ProjectId, batch: &BatchId) -> String {
        format!("ANSWERS#{project}#{batch}")
    }

    /// Lists the answers of a batch in the order of its lines.
    pub fn all_of(batch: &Batch) -> Query {
        Query::new(Table::Main, Self::partition(&batch.project, &batch.id), "")
    }

    /// Where the text of a long answer is.
    pub fn blob_of(batch: &Batch, line: u32) -> Result<BlobKey, BlobError> {
        BlobKey::new(format!("{}/{}/{}/{line:06}", Self::BLOBS, batch.project, batch.id))
    }
}

impl Entity for LineAnswer {
    const KIND: &'static str = "answer to a line of a batch";

    fn key(&self) -> Key {
        Key::new(Self::partition(&self.project, &self.batch), format!("{:06}", self.line))
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.until)
    }
}

/// A line of an output file with what a model answered.
pub fn answered(id: &str, custom_id: &str, status: u16, request_id: &str, body: &str) -> String {
    // Line breaks between tokens are white space; within strings JSON has none.
    let body: String =
        body.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect();
    format!(
        r#"{{"id":{},"custom_id":{},"response":{{"status_code":{status},"request_id":{},"body":{body}}},"error":null}}"#,
        Value::from(id),
        Value::from(custom_id),
        Value::from(request_id),
    )
}

/// A line of the file of errors with why a request was not answered.
pub fn unanswered(id: &str, custom_id: &str, code: &str, message: &str) -> String {
    let (id, custom_id) = (Value::from(id), Value::from(custom_id));
    let (code, message) = (Value::from(code), Value::from(message));
    format!(
        r#"{{"id":{id},"custom_id":{custom_id},"response":null,"error":{{"code":{code},"message":{message}}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_on_one_line_whatever_is_in_them() {
        let body = "{\r\n \"a\": \"x\\ny\"\n}";
        let line = answered("batch_req_1", "a \"b\"\n", 200, "r", body);
        assert!(!line.contains('\n') && !line.contains('\r'), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["custom_id"], "a \"b\"\n");
        assert_eq!(value["response"]["body"]["a"], "x\ny");
        let line = unanswered("batch_req_1", "c", "batch_expired", "too \"late\"");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["error"]["code"], "batch_expired");
        assert!(value["response"].is_null());
    }
}
