use bytes::Bytes;
use http::{HeaderName, Uri, header};

use super::answer::Answer;
use super::call::Call;

/// Headers of one connection, which the next one has anew.
const OF_CONNECTION: [HeaderName; 5] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
];

/// The emulator.
#[derive(Debug)]
pub(super) struct Upstream {
    client: reqwest::Client,
    endpoint: String,
}

impl Upstream {
    pub(super) fn new(endpoint: &str) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()
            .expect("a client");
        Self { client, endpoint: endpoint.to_owned() }
    }

    /// `http://127.0.0.1:PORT` of the emulator.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Forwards the call as it came.
    pub(super) async fn send(&self, call: &Call) -> Answer {
        self.send_with(call, call.body.clone()).await
    }

    /// Forwards another form under this call's signature, which no emulator checks.
    pub(super) async fn send_form(&self, call: &Call, form: &[(String, String)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send_with(call, body.into()).await
    }

    async fn send_with(&self, call: &Call, body: Bytes) -> Answer {
        let path = call.parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri: Uri = format!("{}{path}", self.endpoint).parse().expect("an address");
        let mut headers = call.parts.headers.clone();
        for name in OF_CONNECTION {
            headers.remove(name);
        }
        let request = self.client.request(call.parts.method.clone(), uri.to_string());
        let is_head = call.parts.method == http::Method::HEAD;
        match receive(request.headers(headers).body(body), is_head).await {
            Ok(answer) => answer,
            // A code that no SDK knows: the test shows it.
            Err(error) => Answer::new(502, "text/plain", format!("the emulator: {error}")),
        }
    }
}

/// The length of what a HEAD request asks about is part of its answer.
async fn receive(
    request: reqwest::RequestBuilder,
    is_head: bool,
) -> Result<Answer, reqwest::Error> {
    let mut response = request.send().await?;
    let status = response.status();
    let mut headers = std::mem::take(response.headers_mut());
    for name in OF_CONNECTION {
        if !is_head || name != header::CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    Ok(Answer { status, headers, body: response.bytes().await? })
}
