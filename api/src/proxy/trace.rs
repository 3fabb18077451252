use std::fmt;

use diogenes_core::keys::KeyId;
use diogenes_core::name::ModelName;
use http::{HeaderMap, HeaderValue};
use tracing::Span;

/// Where a request stands in a trace (W3C Trace Context, level 1): the caller's, if it sends a
/// valid `traceparent`.
///
/// <https://www.w3.org/TR/trace-context/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceParent {
    trace: [u8; 32],
    parent: [u8; 16],
}

impl TraceParent {
    /// What the headers say. An invalid `traceparent` counts as none, as the standard asks: the
    /// request is served, and begins a trace of its own.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let mut parts = value.as_bytes().split(|byte| *byte == b'-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = version == b"00";
        let valid = is_hex(version, 2)
            && version != b"ff"
            && is_hex(flags, 2)
            // Later versions may say more.
            && (!is_known || parts.next().is_none());
        let (trace, parent) = (id(trace)?, id(parent)?);
        valid.then_some(Self { trace, parent })
    }

    /// A trace that begins here.
    pub(super) fn fresh() -> Self {
        let [high, low, parent] = std::array::from_fn(|_| crate::request_id::unique());
        let mut trace = [0; 32];
        let (first, second) = trace.split_at_mut(16);
        first.copy_from_slice(&hex(high));
        second.copy_from_slice(&hex(low));
        Self { trace, parent: hex(parent) }
    }

    pub(super) fn trace_id(&self) -> impl fmt::Display {
        String::from_utf8_lossy(&self.trace)
    }

    pub(super) fn parent_id(&self) -> impl fmt::Display {
        String::from_utf8_lossy(&self.parent)
    }
}

/// The span of a request, for whoever listens to `diogenes::request`; where nobody does it costs
/// a look at a flag. Its status is recorded at the end.
pub(super) fn span(
    id: &HeaderValue,
    headers: &HeaderMap,
    key: &KeyId,
    model: impl FnOnce() -> ModelName,
) -> Span {
    if !tracing::enabled!(target: "diogenes::request", tracing::Level::DEBUG) {
        return Span::none();
    }
    let trace = TraceParent::of(headers).unwrap_or_else(TraceParent::fresh);
    tracing::debug_span!(
        target: "diogenes::request",
        "request",
        trace_id = %trace.trace_id(),
        parent_id = %trace.parent_id(),
        request.id = id.to_str().unwrap_or_default(),
        key.id = %key,
        model = model().as_str(),
    )
}

fn is_hex(text: &[u8], length: usize) -> bool {
    text.len() == length && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// An id of lower-case hexadecimal digits, not all of them zero.
fn id<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let id: [u8; N] = text.try_into().ok()?;
    (is_hex(&id, N) && id.iter().any(|digit| *digit != b'0')).then_some(id)
}

fn hex(bits: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| {
        let nibble = (bits >> (60 - 4 * place)) & 0xf;
        DIGITS.get(usize::try_from(nibble).unwrap_or(0)).copied().unwrap_or(b'0')
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::{Arc, Mutex};

    use diogenes_core::ports::Limits;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;
    use crate::proxy::testing::{Local, Upstream, caller, chat, model, plain};

    fn read(values: &[&str]) -> Option<TraceParent> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("traceparent", HeaderValue::from_str(value).unwrap());
        }
        TraceParent::of(&headers)
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_valid_parent_is_taken_over() {
        for rest in ["01", "00"] {
            let parent = read(&[&format!("00-{TRACE}-00f067aa0ba902b7-{rest}")]).unwrap();
            assert_eq!(parent.trace_id().to_string(), TRACE);
            assert_eq!(parent.parent_id().to_string(), "00f067aa0ba902b7");
        }
        assert!(read(&[&format!("cc-{TRACE}-00f067aa0ba902b7-01-more")]).is_some());
    }

    #[test]
    fn garbage_counts_as_none() {
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        for bad in [
            "",
            "garbage",
            &good.to_uppercase(),
            &format!("{good}-more"),
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{TRACE}-00f067aa0ba902b7-1"),
            &format!("00-{}-00f067aa0ba902b7-01", &TRACE[1..]),
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&[&good, &good]), None);
    }

    #[test]
    fn a_fresh_trace_is_valid_and_unlike_any_other() {
        let (a, b) = (TraceParent::fresh(), TraceParent::fresh());
        assert_ne!(a, b);
        let text = format!("00-{}-{}-00", a.trace_id(), a.parent_id());
        assert_eq!(read(&[&text]), Some(a));
    }

    /// Keeps the spans and events of one target.
    struct Listener {
        target: &'static str,
        heard: Arc<Mutex<Vec<String>>>,
    }

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }

    impl Listener {
        fn hear(&self, text: Text) -> u64 {
            let mut heard = self.heard.lock().unwrap();
            heard.push(text.0);
            heard.len() as u64
        }
    }

    impl Subscriber for Listener {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == self.target
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            let mut text = Text(format!("span {}", span.metadata().name()));
            span.record(&mut text);
            Id::from_u64(self.hear(text))
        }

        fn event(&self, event: &Event<'_>) {
            let mut text = Text(format!("event in {:?}", event.parent().map(Id::into_u64)));
            event.record(&mut text);
            self.hear(text);
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// What listeners to `target` hear of a request within the trace [`TRACE`].
    async fn heard(target: &'static str) -> Vec<String> {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        // For this thread, and the runtime of a test has no other.
        let _guard =
            tracing::subscriber::set_default(Listener { target, heard: Arc::clone(&heard) });
        let local = Local::new(Local::spec());
        let answer = plain("200 OK", "content-type: application/json\r\n", "{}");
        let upstream = Upstream::answering(&answer).await;
        local.ready(&[("claim-0", upstream.address)]);
        let mut request = chat(false);
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        request.headers.insert("traceparent", HeaderValue::try_from(parent).unwrap());
        let answer = local.gateway.walk(caller(Limits::default()), request).await.unwrap();
        assert_eq!(answer.status, 200);
        drop(answer);
        let heard = heard.lock().unwrap();
        heard.clone()
    }

    #[tokio::test]
    async fn listeners_hear_of_the_callers_trace_and_of_one_end() {
        let heard = heard("diogenes::request").await;
        let [span, end] = &heard[..] else { panic!("{heard:?}") };
        assert!(span.starts_with("span request "), "{span}");
        for field in [
            &format!("trace_id={TRACE}"),
            "parent_id=00f067aa0ba902b7",
            "request.id=\"request-1\"",
            "key.id=test",
            &format!("model=\"{}\"", model()),
        ] {
            assert!(span.contains(&format!(" {field}")), "{field}: {span}");
        }
        assert!(end.starts_with("event in Some(1) ") && end.contains(" status=200 "), "{end}");
    }

    #[tokio::test]
    async fn without_a_listener_no_span_is_made() {
        assert_eq!(heard("diogenes::nothing").await, [""; 0]);
        let id = HeaderValue::from_static("request-1");
        let key = KeyId::from_caller("test");
        assert!(span(&id, &HeaderMap::new(), &key, model).is_disabled());
    }
}
