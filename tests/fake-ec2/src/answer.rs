//! What goes out: XML, or an error in EC2's form.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use quick_xml::escape::escape;

/// An XML document in the making.
#[derive(Default)]
pub(crate) struct Xml(String);

impl Xml {
    /// An element with text.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.nest(name, |xml| xml.0.push_str(&escape(text)));
    }

    /// An element with others in it.
    pub(crate) fn nest(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        for part in ["<", name, ">"] {
            self.0.push_str(part);
        }
        fill(self);
        for part in ["</", name, ">"] {
            self.0.push_str(part);
        }
    }
}

/// The answer to `action`.
pub(crate) fn success(action: &str, fill: impl FnOnce(&mut Xml)) -> Response {
    let mut xml = Xml::default();
    xml.text("requestId", "00000000-0000-0000-0000-000000000000");
    fill(&mut xml);
    let body = xml.0;
    let namespace = "http://ec2.amazonaws.com/doc/2016-11-15/";
    respond(
        StatusCode::OK,
        &format!("<{action}Response xmlns=\"{namespace}\">{body}</{action}Response>"),
    )
}

fn respond(status: StatusCode, body: &str) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
    (status, [(header::CONTENT_TYPE, "text/xml;charset=UTF-8")], body).into_response()
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    /// Of the caller's making: 400.
    pub(crate) fn client(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn invalid_value(message: impl Into<String>) -> Self {
        Self::client("InvalidParameterValue", message)
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::client(
            "MissingParameter",
            format!("The request must contain the parameter {parameter}"),
        )
    }

    /// An id that is not (or not yet) known.
    pub(crate) fn no_instance(id: &str) -> Self {
        Self::client("InvalidInstanceID.NotFound", format!("The instance ID '{id}' does not exist"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut xml = Xml::default();
        xml.nest("Response", |xml| {
            xml.nest("Errors", |xml| {
                xml.nest("Error", |xml| {
                    xml.text("Code", self.code);
                    xml.text("Message", &self.message);
                });
            });
            xml.text("RequestID", "00000000-0000-0000-0000-000000000000");
        });
        respond(self.status, &xml.0)
    }
}
