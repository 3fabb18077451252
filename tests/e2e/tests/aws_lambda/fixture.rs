use std::path::{Path, PathBuf};

use diogenes_e2e::aws::lambda::{Function, Gateway, LambdaHost, Overrides, Template, Values};
use diogenes_e2e::{Answer, Client, eventually};
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;

/// The template of these tests.
pub(crate) const TEMPLATE: &str = include_str!("template.yaml");

/// What it leaves open.
pub(crate) fn values() -> Values {
    Values::default().reference("Table", "the-table")
}

/// A program of this package.
pub(crate) fn program(name: &str) -> PathBuf {
    PathBuf::from(match name {
        "hello-function" => env!("CARGO_BIN_EXE_hello-function"),
        "echo-function" => env!("CARGO_BIN_EXE_echo-function"),
        "scripted-function" => env!("CARGO_BIN_EXE_scripted-function"),
        other => panic!("there is no `{other}`"),
    })
}

/// The function that does what its event says.
pub(crate) fn scripted() -> Function {
    Function::new("scripted", program("scripted-function"))
}

/// The template's API in front of its functions.
pub(crate) struct Fixture {
    pub(crate) host: LambdaHost,
    pub(crate) gateway: Gateway,
    http: reqwest::Client,
}

impl Fixture {
    pub(crate) fn start() -> Self {
        Self::with(TEMPLATE, Overrides::default())
    }

    pub(crate) fn with(template: &str, overrides: Overrides) -> Self {
        Self::changed(template, overrides, |function| function)
    }

    pub(crate) fn changed(
        template: &str,
        overrides: Overrides,
        change: impl Fn(Function) -> Function,
    ) -> Self {
        let template = Template::parse(template, &values()).unwrap();
        let functions =
            template.functions.values().map(|each| change(each.run(program(&each.binary))));
        let host = LambdaHost::start(functions);
        let gateway = Gateway::from_template(&template, &host, overrides).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { host, gateway, http }
    }

    /// A request without a token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.gateway.base_url()))
    }

    /// A request to the function that streams, which does what the query says.
    pub(crate) fn stream(&self, query: &[(&str, &str)]) -> RequestBuilder {
        let url = format!("{}/open", self.gateway.base_url());
        self.http.get(Url::parse_with_params(&url, query).unwrap())
    }

    /// Sends a request without a token.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        self.with_token("none").send(request).await
    }

    /// A client that sends a token.
    pub(crate) fn with_token(&self, token: &str) -> Client {
        Client::new(&self.gateway.base_url(), token)
    }

    /// Lets the function that does not stream do something.
    pub(crate) async fn plain(&self, what: &Value) -> Answer {
        self.send(self.request(Method::POST, "/open-plain").json(what)).await
    }
}

/// Waits until a process is stopped, as `/proc` shows it.
pub(crate) async fn stopped(pid: u32) {
    eventually("a stopped process", async || match state(pid) {
        Some('T') => Ok(()),
        other => Err(other),
    })
    .await;
}

/// Waits until a process has gone.
pub(crate) async fn gone(pid: u32) {
    eventually("the end of a process", async || match state(pid) {
        None | Some('Z') => Ok(()),
        other => Err(other),
    })
    .await;
}

fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Makes a file that others wait for.
pub(crate) fn open(gate: &Path) {
    std::fs::write(gate, "open").unwrap();
}
