//! The HTTP client of the operator's commands.

mod address;
mod boot;
mod failure;
mod files;
mod gateway;
mod key;
mod unconnected;

use std::time::Duration;

use diogenes_core::secret::Secret;
use reqwest::header::{
    AUTHORIZATION, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, USER_AGENT,
};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use address::{
    Address, DEFAULT_URL, budget_path, model_path, rate_card_path, route_path,
};
pub(crate) use boot::Boot;
pub(crate) use failure::of_event;
pub(crate) use key::Key;

use crate::exit::{Failure, Kind};

/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a control call may take.
const CONTROL: Duration = Duration::from_secs(30);

/// Speaks with one Diogenes.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: Address,
    key: Key,
    verbose: bool,
}

/// What must stand on the server for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Whatever stands there: the server does not tell.
    None,
    /// Nothing.
    Absent,
    /// What had this tag.
    Is(HeaderValue),
}

impl Client {
    /// A client of the Diogenes at `address`. Nothing is sent yet.
    pub(crate) fn new(address: Address, key: Key, verbose: bool) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("diogenes/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(key) = key.secret() {
            headers.insert(AUTHORIZATION, bearer(key)?);
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            // A key that is sent on to another host is a leaked key.
            .redirect(reqwest::redirect::Policy::none());
        if address.is_loopback() {
            // A proxy would look for our `localhost` on its own machine.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| Failure {
            kind: Kind::Other,
            error: anyhow::Error::new(error).context("the HTTP client cannot be set up"),
        })?;
        Ok(Self { http, address, key, verbose })
    }

    /// Whether error messages carry code and request id.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// GET, decoded.
    pub(crate) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        self.call(Method::GET, self.address.join(path, query)?, None::<&()>).await
    }

    /// Every page of a list of OpenAI's form, as one.
    pub(crate) async fn whole_list(
        &self,
        path: &[&str],
        filter: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        #[derive(Deserialize)]
        struct Page {
            data: Vec<Value>,
            last_id: Option<String>,
            has_more: bool,
        }
        let mut data = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![("limit", "100")];
            query.extend(filter);
            query.extend(after.as_deref().map(|after| ("after", after)));
            let page: Page = decode(self.get(path, &query).await?)?;
            data.extend(page.data);
            match page.last_id.filter(|_| page.has_more) {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        let id = |item: Option<&Value>| item.and_then(|item| item.get("id")).cloned();
        Ok(json!({
            "object": "list",
            "first_id": id(data.first()),
            "last_id": id(data.last()),
            "has_more": false,
            "data": data,
        }))
    }

    /// GET of something that may not be there, and under which condition it may be changed.
    pub(crate) async fn read(&self, path: &[&str]) -> Result<(Option<Value>, Condition), Failure> {
        let request = self.http.get(self.address.join(path, &[])?);
        match self.send(request).await {
            Ok(response) => {
                let condition =
                    response.headers().get(ETAG).cloned().map_or(Condition::None, Condition::Is);
                Ok((Some(self.decoded(response).await?), condition))
            }
            Err(failure) if failure.kind == Kind::NotFound => Ok((None, Condition::Absent)),
            Err(failure) => Err(failure),
        }
    }

    /// Where it asks.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether its requests carry a key.
    pub(crate) fn has_key(&self) -> bool {
        self.key.secret().is_some()
    }

    /// GET, whatever the answer's body is.
    pub(crate) async fn ping(&self, path: &[&str]) -> Result<(), Failure> {
        self.send(self.http.get(self.address.join(path, &[])?)).await.map(|_| ())
    }

    /// GET of a listing: every page in one, as the server would answer if it had one.
    pub(crate) async fn get_all(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        #[derive(Deserialize)]
        struct Page {
            data: Vec<Value>,
            next_cursor: Option<String>,
        }
        let mut data = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            query.push(("limit", "500"));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page = decode(self.get(path, &query).await?)?;
            data.extend(page.data);
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(serde_json::json!({"data": data, "next_cursor": null})),
            }
        }
    }

    /// POST, decoded.
    pub(crate) async fn post(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<Value, Failure> {
        self.post_to(path, &[], body).await
    }

    /// POST with a query, decoded.
    pub(crate) async fn post_to(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: &impl Serialize,
    ) -> Result<Value, Failure> {
        self.call(Method::POST, self.address.join(path, query)?, Some(body)).await
    }

    /// PATCH, decoded.
    pub(crate) async fn patch(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<Value, Failure> {
        self.call(Method::PATCH, self.address.join(path, &[])?, Some(body)).await
    }

    /// A call with a query, decoded.
    pub(crate) async fn call_at(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
    ) -> Result<Value, Failure> {
        self.call(method, self.address.join(path, query)?, body).await
    }

    /// PUT, decoded.
    pub(crate) async fn put(&self, path: &[&str], body: &impl Serialize) -> Result<Value, Failure> {
        self.call(Method::PUT, self.address.join(path, &[])?, Some(body)).await
    }

    /// PUT where nobody has written in the meantime, decoded.
    pub(crate) async fn put_if(
        &self,
        condition: &Condition,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<Value, Failure> {
        let request = self.http.put(self.address.join(path, &[])?).json(body);
        let request = match condition {
            Condition::None => request,
            Condition::Absent => request.header(IF_NONE_MATCH, "*"),
            Condition::Is(tag) => request.header(IF_MATCH, tag),
        };
        self.decoded(self.send(request).await?).await
    }

    /// DELETE, decoded.
    pub(crate) async fn delete(&self, path: &[&str]) -> Result<Value, Failure> {
        self.call(Method::DELETE, self.address.join(path, &[])?, None::<&()>).await
    }

    /// POST without a time limit: the answer may be a stream, or wait for a cold start.
    pub(crate) async fn open(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<Response, Failure> {
        self.answered(self.http.post(self.address.join(path, &[])?).json(body)).await
    }

    /// What became of a connection in the middle of an answer.
    pub(crate) fn broken(&self, error: reqwest::Error) -> Failure {
        Failure {
            kind: Kind::Unavailable,
            error: anyhow::Error::new(error.without_url())
                .context(format!("the connection to {} was lost", self.address)),
        }
    }

    async fn call(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
    ) -> Result<Value, Failure> {
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.decoded(self.send(request).await?).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        self.answered(request.timeout(CONTROL)).await
    }

    async fn answered(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.unanswered(error))?;
        self.checked(response).await
    }

    async fn decoded(&self, response: Response) -> Result<Value, Failure> {
        let text = response.bytes().await.map_err(|error| self.broken(error))?;
        serde_json::from_slice(&text).map_err(|error| Failure {
            kind: Kind::Other,
            error: anyhow::Error::new(error).context(format!(
                "{} answered, but does not look like Diogenes; check --url",
                self.address
            )),
        })
    }

    async fn checked(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let request_id = response
            .headers()
            .get(HeaderName::from_static("x-request-id"))
            .and_then(|id| id.to_str().ok())
            .map(ToOwned::to_owned);
        let body = response.bytes().await.map_err(|error| self.broken(error))?;
        Err(failure::of_response(status, &body, &self.address, &self.key, self.verbose, request_id))
    }

    fn unanswered(&self, error: reqwest::Error) -> Failure {
        if error.is_connect() || error.is_timeout() {
            let text = if error.is_connect() {
                unconnected::explain(&self.address, &error)
            } else {
                format!("{} did not answer in time; check --url, or try again later", self.address)
            };
            if !self.verbose {
                return Kind::Unavailable.because(text);
            }
            let error = anyhow::Error::new(error.without_url()).context(text);
            return Failure { kind: Kind::Unavailable, error };
        }
        self.broken(error)
    }
}

/// Reads an answer into its type.
pub(crate) fn decode<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_path_to_error::deserialize(value).map_err(|error| Failure {
        kind: Kind::Other,
        error: anyhow::Error::new(error).context(
            "the server's response could not be read; use a `diogenes` of the same version",
        ),
    })
}

fn bearer(key: &Secret) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| {
        Kind::Config
            .because("the API key contains invalid characters; check that it was copied completely")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
