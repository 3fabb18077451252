//! Why there is no connection, and what to do about it.

use std::error::Error;
use std::io;

use super::Address;

/// What a message begins with when the other end answered a TLS greeting with something else:
/// rustls' `InvalidMessage::InvalidContentType`.
const NOT_TLS: &str = "received corrupt message";

/// Explains a connection to `address` that could not be opened.
pub(super) fn explain(address: &Address, error: &(dyn Error + 'static)) -> String {
    let cause = root(error);
    let text = cause.to_string();
    if address.is_https() && text.starts_with(NOT_TLS) {
        return format!(
            "{address} does not speak TLS; for a server without TLS, such as `diogenes serve`, use \
             {}",
            address.without_tls()
        );
    }
    if address.is_https() && is_invalid_data(error) {
        return format!("no TLS connection to {address} ({text}); check --url and the certificate");
    }
    let is_refused = cause
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    let reason = if is_refused { String::new() } else { format!(" ({text})") };
    format!(
        "no Diogenes answers at {address}{reason}; start one with `diogenes serve`, or name \
         another with --url"
    )
}

/// The first cause, through the errors that `io::Error` wraps too.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(next) = inner(cause) {
        cause = next;
    }
    cause
}

fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// Whether the TLS layer refused what it read. It hands its errors on as invalid data.
fn is_invalid_data(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| inner(*error)).any(|error| {
        error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
    })
}
