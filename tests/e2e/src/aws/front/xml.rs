//! As much of XML as the answers of EC2 need: elements without attributes, found by name.

use std::borrow::Cow;

/// The text of the first element of this name.
pub(super) fn text<'a>(xml: &'a str, name: &str) -> Option<Cow<'a, str>> {
    inner(xml, name).map(unescape)
}

/// What stands between the tags of the first element of this name.
pub(super) fn inner<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = xml.split_once(&open)?;
    rest.split_once(&close).map(|(inner, _)| inner)
}

/// The texts of all elements of this name.
pub(super) fn texts(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open)
        .skip(1)
        .filter_map(|part| part.split_once(&close))
        .map(|(text, _)| unescape(text).into_owned())
        .collect()
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Cow::Owned(plain.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&"))
}
