//! Contents of files, to a Diogenes and from it.

use diogenes_api::batches::{FileBody, PartBody, UploadBody};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::multipart::{Form, Part};
use reqwest::{Response, StatusCode, Url};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::{CONNECT, Client, decode};
use crate::exit::{Failure, Kind};

/// The largest file that is sent at once, and the size of the parts of a larger one: on AWS an event
/// carries no more.
const AT_ONCE: usize = 4_000_000;
/// How much of a file is read at once.
const PIECE: usize = 64 << 10;

impl Client {
    /// GET without a time limit, whatever the answer's body is. It may be somewhere else, where the key
    /// is none of anybody's business.
    pub(crate) async fn download(&self, path: &[&str]) -> Result<Response, Failure> {
        self.download_at(path, &[]).await
    }

    /// The same with a query.
    pub(crate) async fn download_at(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Response, Failure> {
        let request = self.http.get(self.address.join(path, query)?);
        let answer = request.send().await.map_err(|error| self.unanswered(error))?;
        if answer.status() != StatusCode::FOUND {
            return self.checked(answer).await;
        }
        let place = answer.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        let Some(place) = place.and_then(|place| Url::parse(place).ok()) else {
            return self.checked(answer).await;
        };
        let host = place.host_str().unwrap_or_default().to_owned();
        let unread = |error: reqwest::Error| Failure {
            kind: Kind::Unavailable,
            error: anyhow::Error::new(error.without_url())
                .context(format!("the file could not be read from {host}")),
        };
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT);
        if self.address.is_loopback() {
            builder = builder.no_proxy();
        }
        let answer = builder.build().map_err(&unread)?.get(place).send().await.map_err(&unread)?;
        answer.error_for_status().map_err(unread)
    }

    /// Uploads a file of `size` bytes for `purpose`, in parts if it is large. `sent` is told how much
    /// was sent.
    pub(crate) async fn upload(
        &self,
        file: tokio::fs::File,
        size: u64,
        name: &str,
        purpose: &'static str,
        sent: impl Fn(u64) + Send + 'static,
    ) -> Result<FileBody, Failure> {
        if size > AT_ONCE as u64 {
            return self.upload_in_parts(file, size, name, purpose, sent).await;
        }
        let content = in_pieces(file, sent);
        let part = Part::stream_with_length(content, size).file_name(name.to_owned());
        let form = Form::new().text("purpose", purpose).part("file", part);
        self.send_form(&["v1", "files"], form).await
    }

    /// POST of a file of `size` bytes as it is, decoded. `sent` is told how much was sent.
    pub(crate) async fn send_file(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        file: tokio::fs::File,
        size: u64,
        sent: impl Fn(u64) + Send + 'static,
    ) -> Result<FileBody, Failure> {
        let request = self.http.post(self.address.join(path, query)?);
        let request = request
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size)
            .body(in_pieces(file, sent));
        decode(self.decoded(self.answered(request).await?).await?)
    }

    async fn upload_in_parts(
        &self,
        mut file: tokio::fs::File,
        size: u64,
        name: &str,
        purpose: &str,
        sent: impl Fn(u64),
    ) -> Result<FileBody, Failure> {
        let new = json!({
            "purpose": purpose, "filename": name, "bytes": size, "mime_type": "application/jsonl",
        });
        let upload: UploadBody = decode(self.post(&["v1", "uploads"], &new).await?)?;
        let unreadable = |error: std::io::Error| Failure {
            kind: Kind::Config,
            error: anyhow::Error::new(error).context(format!("cannot read `{name}`")),
        };
        let (mut parts, mut at) = (Vec::new(), 0);
        loop {
            let mut piece = Vec::new();
            let mut rest = (&mut file).take(AT_ONCE as u64);
            rest.read_to_end(&mut piece).await.map_err(unreadable)?;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            let form = Form::new().part("data", Part::bytes(piece).file_name(name.to_owned()));
            let part: PartBody =
                self.send_form(&["v1", "uploads", &upload.id, "parts"], form).await?;
            parts.push(part.id);
            sent(at);
        }
        let complete = self.address.join(&["v1", "uploads", &upload.id, "complete"], &[])?;
        let request = self.http.post(complete).json(&json!({ "part_ids": parts }));
        let done: UploadBody = decode(self.decoded(self.answered(request).await?).await?)?;
        done.file.ok_or_else(|| Kind::Other.because("the upload was completed without a file"))
    }

    async fn send_form<T: serde::de::DeserializeOwned>(
        &self,
        path: &[&str],
        form: Form,
    ) -> Result<T, Failure> {
        let request = self.http.post(self.address.join(path, &[])?).multipart(form);
        decode(self.decoded(self.answered(request).await?).await?)
    }
}

/// A file as the body of a request. `sent` is told how much was sent.
fn in_pieces(file: tokio::fs::File, sent: impl Fn(u64) + Send + 'static) -> reqwest::Body {
    let pieces = futures_util::stream::try_unfold((file, 0), move |(mut file, at)| {
        sent(at);
        async move {
            let mut piece = vec![0; PIECE];
            let read = file.read(&mut piece).await?;
            piece.truncate(read);
            let at = at + read as u64;
            Ok::<_, std::io::Error>((read > 0).then_some((piece, (file, at))))
        }
    });
    reqwest::Body::wrap_stream(pieces)
}
