use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use diogenes_core::Timestamp;
use diogenes_core::batches::{
    FILE_LIFE, FileError, FileId, FilePurpose, FileRecord, Files, MAX_FILE_BYTES, MAX_FILE_NAME,
    NewFile,
};
use diogenes_core::jobs::Creator;
use diogenes_core::ports::{BlobError, BlobWriter};
use diogenes_core::tenancy::may;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use multer::{Field, Multipart};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::BatchesArea;
use super::paging::{after, invalid, limit};
use crate::control::extract::{Allow, PathOf, QueryString};
use crate::error::{ApiError, ErrorKind, store_error};

/// How long a client may send nothing in the middle of a file.
pub(crate) const STALL: Duration = Duration::from_secs(30);
/// How long a URL is good that a file is read from. A download that has begun goes on.
const URL_LIFE: Duration = Duration::from_mins(5);
/// How much of a file is sent at once, in bytes.
const CHUNK: u64 = 1 << 20;
/// The longest text of a field that is not the file, in bytes.
const MAX_FIELD: usize = 1024;
/// The least and the most seconds that a file is kept whose upload says so, OpenAI's limits.
const LIFE: std::ops::RangeInclusive<u64> = 3_600..=2_592_000;

/// A file, as OpenAI's clients read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileBody {
    pub id: String,
    /// `file`.
    pub object: String,
    pub bytes: u64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// When it goes away; null for never.
    pub expires_at: Option<i64>,
    pub filename: String,
    pub purpose: String,
    /// `processed`: a file that is listed is whole.
    pub status: String,
}

impl FileBody {
    pub(crate) fn of(file: FileRecord) -> Self {
        Self {
            id: file.id.to_string(),
            object: "file".into(),
            bytes: file.bytes,
            created_at: file.created_at.as_second(),
            expires_at: file.expires_at.map(Timestamp::as_second),
            filename: file.filename,
            purpose: file.purpose.as_str().into(),
            status: "processed".into(),
        }
    }
}

/// A page of files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileList {
    /// `list`.
    pub object: String,
    pub data: Vec<FileBody>,
    pub first_id: Option<String>,
    pub last_id: Option<String>,
    pub has_more: bool,
}

/// A file that was deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileDeleted {
    pub id: String,
    /// `file`.
    pub object: String,
    pub deleted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListFiles {
    after: Option<String>,
    limit: Option<usize>,
    order: Option<String>,
    purpose: Option<String>,
}

pub(super) async fn list(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    QueryString(query): QueryString<ListFiles>,
) -> Result<Json<FileList>, ApiError> {
    const MOST: usize = 10_000;
    let limit = limit(query.limit, MOST, MOST)?;
    let ascends = match query.order.as_deref() {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(invalid("order", "`order` must be `asc` or `desc`")),
    };
    let purpose = match query.purpose.as_deref() {
        None => None,
        Some(text) => Some(FilePurpose::parse(text).ok_or_else(|| bad_purpose(text))?),
    };
    let after = after(query.after.as_deref(), "file", FileId::from_caller)?;
    let files = area.batches.files();
    let page = files.list(by.principal(), purpose, after.as_ref(), limit, ascends).await;
    let page = page.map_err(|error| file_error(&error))?;
    let data: Vec<_> = page.files.into_iter().map(FileBody::of).collect();
    Ok(Json(FileList {
        object: "list".into(),
        first_id: data.first().map(|file| file.id.clone()),
        last_id: data.last().map(|file| file.id.clone()),
        has_more: page.has_more,
        data,
    }))
}

pub(super) async fn show(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<FileBody>, ApiError> {
    let file = area.batches.files().get(by.principal(), &id).await;
    file.map(|file| Json(FileBody::of(file))).map_err(|error| file_error(&error))
}

pub(super) async fn delete(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<FileDeleted>, ApiError> {
    let file = area.batches.files().delete(by.principal(), &id).await;
    let file = file.map_err(|error| file_error(&error))?;
    Ok(Json(FileDeleted { id: file.id.to_string(), object: "file".into(), deleted: true }))
}

pub(super) async fn content(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Response, ApiError> {
    let files = area.batches.files();
    let file = files.get(by.principal(), &id).await.map_err(|error| file_error(&error))?;
    content_of(files, file).await
}

/// The content of a file: a piece at a time, or from where it is, if that has URLs for others.
pub(crate) async fn content_of(files: &Files, file: FileRecord) -> Result<Response, ApiError> {
    let files = files.clone();
    let key = FileRecord::blob_of(&file.project, &file.id);
    let key = key.map_err(|error| ApiError::internal(&error))?;
    let name: String = file
        .filename
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '_' })
        .collect();
    let url = files.blobs().signed_url(&key, URL_LIFE, &name).await;
    if let Some(url) = url.map_err(|error| blob_error(&error))? {
        let headers = [(LOCATION, url), (CACHE_CONTROL, "no-store".into())];
        return Ok((StatusCode::FOUND, headers).into_response());
    }
    // The first piece tells whether it is there.
    let read = async move |offset: u64| -> Result<Vec<u8>, BlobError> {
        files.blobs().read(&key, offset..offset + CHUNK).await
    };
    let first = read(0).await.map_err(|error| blob_error(&error))?;
    let size = file.bytes;
    let pieces =
        stream::try_unfold((0, Some(first), read), move |(offset, first, read)| async move {
            let piece = match first {
                Some(piece) => piece,
                None if offset >= size => return Ok(None),
                None => read(offset).await?,
            };
            if piece.is_empty() {
                // Without this the answer would seem whole.
                return if offset < size { Err(cut(offset, size)) } else { Ok(None) };
            }
            let offset = offset + piece.len() as u64;
            Ok::<_, BlobError>(Some((piece, (offset, None, read))))
        });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn cut(offset: u64, size: u64) -> BlobError {
    BlobError::Unavailable {
        reason: format!("a file of {size} bytes ends after {offset}"),
        source: None,
    }
}

/// Takes a file as a form with the fields `file` and `purpose`.
pub(super) async fn create(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    request: Request,
) -> Result<Json<FileBody>, ApiError> {
    let (parts, body) = request.into_parts();
    let boundary = boundary(&parts.headers, "the fields `file` and `purpose`")?;
    let files = area.batches.files();
    let (id, key) = files.begin(&by.project).map_err(|error| ApiError::internal(&error))?;
    let room = files.room(&by.project, 1).await.map_err(|error| file_error(&error))?;
    let pieces = body.into_data_stream();
    let mut form = Multipart::new(pieces, boundary);
    let mut fields = Fields::default();
    let received = async {
        while let Some(field) = timed(form.next_field()).await? {
            match field.name() {
                Some("file") if fields.content.is_none() => {
                    fields.filename = field.file_name().map(str::to_owned);
                    let writer = files.blobs().writer(&key).await;
                    let mut writer = writer.map_err(|error| blob_error(&error))?;
                    match receive(field, &mut *writer, most_of(room)).await {
                        Ok(()) => fields.content = Some(writer),
                        Err(error) => {
                            writer.abort().await;
                            return Err(error);
                        }
                    }
                }
                Some("file") => {
                    return Err(invalid("file", "the form has two files; send one at a time"));
                }
                name => {
                    let name = name.unwrap_or_default().to_owned();
                    fields.take(&name, &text(field).await?)?;
                }
            }
        }
        fields.check()
    };
    let checked = received.await;
    let Fields { filename, content, .. } = fields;
    let (purpose, life, content) = match (checked, content) {
        (Ok((purpose, life)), Some(content)) => (purpose, life, content),
        (Ok(_), None) => return Err(invalid("file", "the form has no field `file`")),
        (Err(error), content) => {
            if let Some(content) = content {
                content.abort().await;
            }
            return Err(error);
        }
    };
    let bytes = content.finish().await.map_err(|error| blob_error(&error))?;
    let new = NewFile {
        id,
        project: by.project.clone(),
        purpose,
        filename: filename.unwrap_or_else(|| "file".into()),
        bytes,
        created_by: Creator::new(&by.subject, &by.key),
        life,
    };
    match files.add(new).await {
        Ok(file) => Ok(Json(FileBody::of(file))),
        Err(error) => {
            if !error.is_in_doubt() {
                files.give_up(&key).await;
            }
            Err(file_error(&error))
        }
    }
}

/// What a form says of its file.
#[derive(Default)]
struct Fields {
    filename: Option<String>,
    content: Option<Box<dyn BlobWriter>>,
    purpose: Option<FilePurpose>,
    anchor: Option<String>,
    seconds: Option<u64>,
}

impl Fields {
    fn take(&mut self, name: &str, text: &str) -> Result<(), ApiError> {
        match name {
            "purpose" => {
                let purpose = FilePurpose::parse(text)
                    .filter(|purpose| FilePurpose::OF_CALLERS.contains(purpose));
                self.purpose = Some(purpose.ok_or_else(|| bad_purpose(text))?);
            }
            "expires_after[anchor]" => self.anchor = Some(text.to_owned()),
            "expires_after[seconds]" => {
                self.seconds = Some(text.parse().map_err(|_| bad_life())?);
            }
            _ => {
                let message = format!(
                    "unknown field `{}`; the fields are `file`, `purpose` and `expires_after`",
                    name.escape_debug()
                );
                return Err(ApiError::new(ErrorKind::UnknownField, message).param(name));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(FilePurpose, Option<Duration>), ApiError> {
        let missing =
            || invalid("purpose", "the form has no field `purpose`; for a batch it is `batch`");
        let purpose = self.purpose.ok_or_else(missing)?;
        if self.filename.as_ref().is_some_and(|name| name.chars().count() > MAX_FILE_NAME) {
            let message = format!("the name of the file is longer than {MAX_FILE_NAME} characters");
            return Err(invalid("file", message));
        }
        let life = match (self.anchor.as_deref(), self.seconds) {
            (None, None) => life_of(purpose, None)?,
            (Some("created_at"), Some(seconds)) => life_of(purpose, Some(seconds))?,
            _ => return Err(bad_life()),
        };
        Ok((purpose, life))
    }
}

pub(super) fn boundary(headers: &HeaderMap, fields: &str) -> Result<String, ApiError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.and_then(|text| multer::parse_boundary(text).ok()).ok_or_else(|| {
        let message = format!("send the file as `multipart/form-data` with {fields}");
        ApiError::new(ErrorKind::InvalidRequest, message)
    })
}

pub(super) async fn timed<T>(
    next: impl Future<Output = Result<T, multer::Error>>,
) -> Result<T, ApiError> {
    let incomplete =
        || ApiError::new(ErrorKind::BodyIncomplete, "the form did not arrive whole; send it again");
    let next = tokio::time::timeout(STALL, next).await.map_err(|_| incomplete())?;
    next.map_err(|error| match error {
        multer::Error::StreamReadFailed(_)
        | multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders => incomplete(),
        error => {
            ApiError::new(ErrorKind::InvalidRequest, format!("the form is malformed: {error}"))
        }
    })
}

/// The most that a field may hold, in bytes, and what is said where it holds more.
pub(super) struct Most {
    pub(super) bytes: u64,
    pub(super) exceeded: ApiError,
}

impl Most {
    pub(super) fn of(field: &str, bytes: u64) -> Self {
        let message = format!("`{field}` is larger than {bytes} bytes; split it");
        Self { bytes, exceeded: ApiError::new(ErrorKind::BodyTooLarge, message).param(field) }
    }
}

/// The most that a file may have where its project has this room.
fn most_of(room: u64) -> Most {
    if room >= MAX_FILE_BYTES {
        return Most::of("file", MAX_FILE_BYTES);
    }
    let message = format!(
        "`file` is larger than the {room} bytes that the files of the project may still take; \
         delete files that are no longer needed"
    );
    let exceeded = ApiError::new(ErrorKind::NoRoom, message).param("file").no_retry();
    Most { bytes: room, exceeded }
}

pub(super) async fn receive(
    mut field: Field<'_>,
    writer: &mut dyn BlobWriter,
    most: Most,
) -> Result<(), ApiError> {
    let mut size = 0;
    while let Some(piece) = timed(field.chunk()).await? {
        size += piece.len() as u64;
        if size > most.bytes {
            return Err(most.exceeded);
        }
        writer.write(&piece).await.map_err(|error| blob_error(&error))?;
    }
    Ok(())
}

async fn text(mut field: Field<'_>) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(piece) = timed(field.chunk()).await? {
        if bytes.len() + piece.len() > MAX_FIELD {
            let message = format!("a field of the form is longer than {MAX_FIELD} bytes");
            return Err(ApiError::new(ErrorKind::InvalidRequest, message));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes)
        .map_err(|_| ApiError::new(ErrorKind::InvalidRequest, "a field of the form is not UTF-8"))
}

pub(super) fn bad_purpose(text: &str) -> ApiError {
    let text: String = text.chars().take(40).collect();
    let known = FilePurpose::OF_CALLERS.map(|purpose| format!("`{}`", purpose.as_str())).join(", ");
    invalid("purpose", format!("`{}` is not a purpose; use one of {known}", text.escape_debug()))
}

/// How long a file is kept, if its creator said that or not.
pub(super) fn life_of(
    purpose: FilePurpose,
    seconds: Option<u64>,
) -> Result<Option<Duration>, ApiError> {
    match seconds {
        None => Ok((purpose == FilePurpose::Batch).then_some(FILE_LIFE)),
        Some(seconds) if LIFE.contains(&seconds) => Ok(Some(Duration::from_secs(seconds))),
        Some(_) => Err(bad_life()),
    }
}

pub(super) fn bad_life() -> ApiError {
    let (least, most) = (LIFE.start(), LIFE.end());
    invalid(
        "expires_after",
        format!("`expires_after` takes `anchor` `created_at` and `seconds` from {least} to {most}"),
    )
}

/// A file that was not read or written, as callers see it.
pub(crate) fn file_error(error: &FileError) -> ApiError {
    match error {
        FileError::NotFound(_) => {
            ApiError::new(ErrorKind::FileNotFound, error.to_string()).param("id")
        }
        FileError::Quota { .. } => ApiError::new(ErrorKind::NoRoom, error.to_string()).no_retry(),
        FileError::Blob(error) => blob_error(error),
        FileError::Store(error) => store_error(error),
    }
}

pub(crate) fn blob_error(error: &BlobError) -> ApiError {
    match error {
        BlobError::NotFound { .. } => {
            ApiError::new(ErrorKind::FileNotFound, "the content of the file is gone")
        }
        BlobError::NoRoom { .. } => {
            tracing::error!(error = error as &dyn std::error::Error, "no room for files");
            ApiError::new(
                ErrorKind::NoRoom,
                "the disk of the files is full; delete files that are no longer needed, or ask the operator for room",
            )
            .no_retry()
        }
        BlobError::Unavailable { .. } => {
            tracing::error!(error = error as &dyn std::error::Error, "files are not available");
            ApiError::new(ErrorKind::StoreUnavailable, "the files are not available; retry soon")
                .retry_after(Duration::from_secs(1))
        }
        BlobError::Invalid { .. } | BlobError::Exists { .. } => ApiError::internal(error),
    }
}
