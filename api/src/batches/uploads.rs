use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use diogenes_core::batches::{
    FilePurpose, FileRecord, MAX_FILE_NAME, MAX_PART_BYTES, NewUpload, Upload, UploadError,
    UploadStatus,
};
use diogenes_core::tenancy::may;
use diogenes_core::{Timestamp, hex};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::BatchesArea;
use super::files::{
    FileBody, Most, bad_life, bad_purpose, blob_error, boundary, file_error, life_of, receive,
    timed,
};
use super::paging::invalid;
use crate::control::extract::{Allow, JsonBody, PathOf};
use crate::error::{ApiError, ErrorKind};

/// An upload, as OpenAI's clients read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UploadBody {
    pub id: String,
    /// `upload`.
    pub object: String,
    pub bytes: u64,
    /// Seconds since the epoch, as all times here.
    pub created_at: i64,
    pub expires_at: i64,
    pub filename: String,
    pub purpose: String,
    /// `pending`, `completed`, `cancelled` or `expired`.
    pub status: String,
    /// What came of it.
    pub file: Option<FileBody>,
}

impl UploadBody {
    fn of(upload: Upload, file: Option<FileRecord>) -> Self {
        let status = match upload.status {
            UploadStatus::Pending => "pending",
            UploadStatus::Completed => "completed",
            UploadStatus::Cancelled => "cancelled",
        };
        Self {
            id: upload.id.to_string(),
            object: "upload".into(),
            bytes: upload.bytes,
            created_at: upload.created_at.as_second(),
            expires_at: upload.expires_at.as_second(),
            filename: upload.filename,
            purpose: upload.purpose.as_str().into(),
            status: status.into(),
            file: file.map(FileBody::of),
        }
    }
}

/// A part of an upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartBody {
    pub id: String,
    /// `upload.part`.
    pub object: String,
    pub created_at: i64,
    pub upload_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateUpload {
    bytes: u64,
    filename: String,
    #[expect(dead_code, reason = "OpenAI's clients send it, and nobody needs it")]
    mime_type: String,
    purpose: String,
    #[serde(default)]
    expires_after: Option<Expiry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expiry {
    anchor: String,
    seconds: u64,
}

pub(super) async fn create(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    JsonBody(body): JsonBody<CreateUpload>,
) -> Result<Json<UploadBody>, ApiError> {
    let purpose = FilePurpose::parse(&body.purpose)
        .filter(|purpose| FilePurpose::OF_CALLERS.contains(purpose))
        .ok_or_else(|| bad_purpose(&body.purpose))?;
    if body.filename.chars().count() > MAX_FILE_NAME {
        let message = format!("`filename` is longer than {MAX_FILE_NAME} characters");
        return Err(invalid("filename", message));
    }
    let life: Option<Duration> = match &body.expires_after {
        None => life_of(purpose, None)?,
        Some(after) if after.anchor == "created_at" => life_of(purpose, Some(after.seconds))?,
        Some(_) => return Err(bad_life()),
    };
    let new = NewUpload { purpose, filename: body.filename, bytes: body.bytes, life };
    let upload = area.uploads.create(by.principal(), new).await;
    upload.map(|upload| Json(UploadBody::of(upload, None))).map_err(|error| upload_error(&error))
}

/// Takes a part as a form with the field `data`.
pub(super) async fn add_part(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    PathOf(id): PathOf<String>,
    request: Request,
) -> Result<Json<PartBody>, ApiError> {
    let (parts, body) = request.into_parts();
    let boundary = boundary(&parts.headers, "the field `data`")?;
    let begun = area.uploads.begin_part(by.principal(), &id).await;
    let (upload, part, key) = begun.map_err(|error| upload_error(&error))?;
    let blobs = area.batches.files().blobs();
    let mut form = multer::Multipart::new(body.into_data_stream(), boundary);
    let missing = || invalid("data", "the form has no field `data`");
    let field = timed(form.next_field()).await?.ok_or_else(missing)?;
    if field.name() != Some("data") {
        return Err(missing());
    }
    let mut writer = blobs.writer(&key).await.map_err(|error| blob_error(&error))?;
    if let Err(error) = receive(field, &mut *writer, most_of(&upload)).await {
        writer.abort().await;
        return Err(error);
    }
    // Whatever follows the part has to be the end of the form.
    let rest = timed(form.next_field()).await;
    if let Ok(None) = rest {
        writer.finish().await.map_err(|error| blob_error(&error))?;
    } else {
        writer.abort().await;
        rest?;
        return Err(invalid("data", "the form has more than the field `data`"));
    }
    let at = part.made_at().map_or(0, Timestamp::as_second);
    Ok(Json(PartBody {
        id: part.to_string(),
        object: "upload.part".into(),
        created_at: at,
        upload_id: upload.id.to_string(),
    }))
}

/// The most that a part may have.
fn most_of(upload: &Upload) -> Most {
    if upload.bytes >= MAX_PART_BYTES {
        return Most::of("data", MAX_PART_BYTES);
    }
    let message =
        format!("`data` is larger than the upload, which was created for {} bytes", upload.bytes);
    let exceeded = ApiError::new(ErrorKind::BodyTooLarge, message).param("data");
    Most { bytes: upload.bytes, exceeded }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompleteUpload {
    part_ids: Vec<String>,
    #[serde(default)]
    md5: Option<String>,
}

pub(super) async fn complete(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    PathOf(id): PathOf<String>,
    JsonBody(body): JsonBody<CompleteUpload>,
) -> Result<Json<UploadBody>, ApiError> {
    let mut hash = Md5::new();
    let look = |piece: Option<&[u8]>| {
        let Some(piece) = piece else {
            let found = hex(&hash.finalize_reset());
            return match &body.md5 {
                Some(wanted) if !wanted.eq_ignore_ascii_case(&found) => {
                    let problem = format!("is not that of the parts, which is `{found}`");
                    Err(UploadError::Invalid { field: "md5", problem })
                }
                _ => Ok(()),
            };
        };
        if body.md5.is_some() {
            hash.update(piece);
        }
        Ok(())
    };
    let done = area.uploads.complete(by.principal(), &id, &body.part_ids, look).await;
    let (upload, file) = done.map_err(|error| upload_error(&error))?;
    Ok(Json(UploadBody::of(upload, Some(file))))
}

pub(super) async fn cancel(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<UploadBody>, ApiError> {
    let upload = area.uploads.cancel(by.principal(), &id).await;
    upload.map(|upload| Json(UploadBody::of(upload, None))).map_err(|error| upload_error(&error))
}

fn upload_error(error: &UploadError) -> ApiError {
    match error {
        UploadError::NotFound(_) => {
            ApiError::new(ErrorKind::UploadNotFound, error.to_string()).param("id")
        }
        UploadError::Invalid { field, .. } => invalid(field, error.to_string()),
        UploadError::Closed(_) => ApiError::new(ErrorKind::Conflict, error.to_string()),
        UploadError::File(error) => file_error(error),
    }
}
