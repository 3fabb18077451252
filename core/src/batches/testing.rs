use super::{
    Batch, BatchEndpoint, BatchId, BatchStatus, BatchTimes, Bill, FileId, FilePurpose, FileRecord,
    RequestCounts, WINDOW,
};
use crate::Timestamp;
use crate::jobs::{Creator, JobId};
use crate::keys::KeyId;
use crate::ports::Entropy;
use crate::tenancy::{ProjectId, Subject};

fn creator() -> Creator {
    Creator::new(&Subject::new("a@b.c"), &KeyId::from_caller("k"))
}

/// A file that does not expire.
pub(super) fn file(now: Timestamp, entropy: &dyn Entropy) -> FileRecord {
    FileRecord {
        id: FileId::new(now, entropy),
        project: ProjectId::default(),
        purpose: FilePurpose::Batch,
        filename: "requests.jsonl".into(),
        bytes: 1,
        created_at: now,
        created_by: creator(),
        expires_at: None,
    }
}

/// A batch whose input file was not read yet.
pub(super) fn batch(now: Timestamp, entropy: &dyn Entropy) -> Batch {
    Batch {
        id: BatchId::new(now, entropy),
        project: ProjectId::default(),
        endpoint: BatchEndpoint::ChatCompletions,
        input_file: FileId::new(now, entropy),
        status: BatchStatus::Validating,
        job: JobId::new(now, entropy),
        created_by: creator(),
        created_at: now,
        expires_at: now + WINDOW,
        not_before: None,
        model: None,
        counts: RequestCounts::default(),
        bill: Bill::default(),
        problems: Vec::new(),
        output_file: None,
        error_file: None,
        output_life: None,
        times: BatchTimes::default(),
        metadata: std::collections::BTreeMap::new(),
    }
}
