//! What is told to those who ask for a path or a method that does not exist.

use axum::extract::Request;
use http::{HeaderMap, header};

use crate::error::{ApiError, ErrorKind};
use crate::request_id;

/// The paths below `/v1`, without it.
const INFERENCE: [&str; 17] = [
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/responses",
    "/messages",
    "/models",
    "/rerank",
    "/score",
    "/tokenize",
    "/detokenize",
    "/audio/transcriptions",
    "/audio/translations",
    "/images/generations",
    "/images/edits",
    "/files",
    "/uploads",
    "/batches",
];

/// A path that does not exist.
pub(crate) async fn not_found(request: Request) -> ApiError {
    let path: String = request.uri().path().chars().take(200).collect();
    ApiError::new(ErrorKind::NotFound, advice(&path, request.headers()))
}

/// A path that exists, asked with another method.
pub(crate) async fn wrong_method(request: Request) -> ApiError {
    let id = request_id::of(request.headers());
    ApiError::new(
        ErrorKind::MethodNotAllowed,
        format!(
            "`{}` does not support {}; see the `Allow` header",
            request.uri().path(),
            request.method()
        ),
    )
    .header("x-request-id", id.to_str().unwrap_or_default())
}

fn advice(path: &str, headers: &HeaderMap) -> String {
    let is_inference = |path: &str| {
        INFERENCE.iter().any(|known| path == *known || path.starts_with(&format!("{known}/")))
    };
    if is_inference(path) || path.strip_prefix("/v1/v1").is_some_and(is_inference) {
        return format!(
            "unknown path `{path}`; the base URL of OpenAI clients is {}",
            base_url(headers)
        );
    }
    if path == "/v1" || path.starts_with("/v1/") {
        let known = INFERENCE.map(|known| format!("`/v1{known}`")).join(", ");
        return format!("unknown path `{path}`; the paths below `/v1` are {known}");
    }
    format!(
        "unknown path `{path}`; inference is below `/v1`, and the control plane is described \
         at `/api/v1/openapi.json`"
    )
}

/// The base URL as the client should write it. API Gateway's own host (`ID.execute-api.REGION.…`) has
/// the stage in every path, which does not reach us.
fn base_url(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = match text(header::HeaderName::from_static("x-forwarded-proto")) {
        Some("https") => "https",
        _ => "http",
    };
    let host = text(header::HOST).filter(|host| host.len() <= 255).unwrap_or("HOST");
    if host.contains(".execute-api.") {
        return format!("`{scheme}://{host}/STAGE/v1`, with the stage of the API for `STAGE`");
    }
    format!("`{scheme}://{host}/v1`")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_wrong_path_is_told_the_right_one() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8080"));
        let right = "the base URL of OpenAI clients is `http://127.0.0.1:8080/v1`";
        for path in ["/chat/completions", "/models/demo", "/models", "/v1/v1/chat/completions"] {
            assert!(advice(path, &headers).ends_with(right), "{path}");
        }
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert!(advice("/responses", &headers).contains("`https://127.0.0.1:8080/v1`"));
        assert!(advice("/embeddings", &HeaderMap::new()).contains("`http://HOST/v1`"));
        let host = HeaderValue::from_static("a1b2.execute-api.us-east-1.amazonaws.com");
        headers.insert(header::HOST, host);
        let right = "`https://a1b2.execute-api.us-east-1.amazonaws.com/STAGE/v1`";
        assert!(advice("/v1/v1/embeddings", &headers).contains(right));
        for path in ["/v1", "/v1/", "/v1/audio/speech", "/v1/v1"] {
            let advice = advice(path, &headers);
            assert!(advice.contains("`/v1/chat/completions`, `/v1/completions`"), "{advice}");
        }
        for path in ["/", "/api/v1/nothing", "/modelsx", "/api/v2/keys"] {
            assert!(advice(path, &headers).contains("`/api/v1/openapi.json`"), "{path}");
        }
    }
}
