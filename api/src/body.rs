use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, header};

use crate::error::{ApiError, ErrorKind};

/// How long a client may send nothing in the middle of a request body.
const BODY_STALL: Duration = Duration::from_secs(30);

/// Reads a request body whole: at most `most` bytes.
pub(crate) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        ApiError::new(
            ErrorKind::BodyTooLarge,
            format!("the request body is larger than {most} bytes; send less"),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let incomplete = || {
        ApiError::new(
            ErrorKind::BodyIncomplete,
            "the request body did not arrive whole; send it again",
        )
    };
    let mut pieces = body.into_data_stream();
    let mut next = async || -> Result<Option<Bytes>, ApiError> {
        let piece = tokio::time::timeout(BODY_STALL, pieces.next()).await;
        piece.map_err(|_| incomplete())?.transpose().map_err(|_| incomplete())
    };
    let Some(first) = next().await? else {
        return Ok(Bytes::new());
    };
    if announced == Some(first.len()) {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    while let Some(piece) = next().await? {
        if whole.len() + piece.len() > most {
            return Err(too_large());
        }
        whole.extend_from_slice(&piece);
    }
    if whole.len() > most { Err(too_large()) } else { Ok(whole.freeze()) }
}
