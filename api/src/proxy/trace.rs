use diogenes_core::gateway::record::{Share, SpanId, TraceId, TracePlace};
use diogenes_core::keys::KeyId;
use diogenes_core::name::ModelName;
use http::{HeaderMap, HeaderValue};
use tracing::Span;

use crate::request_id::unique;

/// What the caller's `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TraceParent {
    trace: TraceId,
    span: SpanId,
    is_sampled: bool,
}

impl TraceParent {
    /// What the headers say. An invalid `traceparent` counts as none, as the standard asks: the
    /// request is served, and begins a trace of its own.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let mut parts = value.to_str().ok()?.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = version == "00";
        let valid = byte(version).is_some_and(|version| version != 0xff)
            // Later versions may say more.
            && (!is_known || parts.next().is_none());
        let is_sampled = byte(flags)? & 1 == 1;
        let (trace, span) = (TraceId::parse(trace)?, SpanId::parse(span)?);
        valid.then_some(Self { trace, span, is_sampled })
    }
}

/// The place of a request with these headers in a trace: below its caller's span, or at the beginning
/// of a trace of its own, of which this share is kept.
pub(super) fn place(headers: &HeaderMap, share: Share) -> TracePlace {
    let span = fresh_span();
    if let Some(TraceParent { trace, span: parent, is_sampled }) = TraceParent::of(headers) {
        return TracePlace { trace, span, parent: Some(parent), is_sampled };
    }
    let trace = fresh_trace();
    TracePlace { trace, span, parent: None, is_sampled: share.keeps(trace) }
}

fn fresh_trace() -> TraceId {
    loop {
        let bits = (u128::from(unique()) << 64) | u128::from(unique());
        if let Some(trace) = TraceId::new(bits) {
            return trace;
        }
    }
}

/// A span that no other of this process has the id of.
pub(super) fn fresh_span() -> SpanId {
    loop {
        if let Some(span) = SpanId::new(unique()) {
            return span;
        }
    }
}

/// `traceparent` for whoever is asked within `span` of a trace.
pub(super) fn parent_field(place: &TracePlace, span: SpanId) -> Option<HeaderValue> {
    let flags = u8::from(place.is_sampled);
    HeaderValue::from_str(&format!("00-{}-{span}-{flags:02x}", place.trace)).ok()
}

/// The span of a request, for whoever listens to `diogenes::request`; where nobody does it costs
/// a look at a flag. Its status is recorded at the end.
pub(super) fn span(
    id: &HeaderValue,
    place: impl FnOnce() -> TracePlace,
    key: &KeyId,
    model: impl FnOnce() -> ModelName,
) -> Span {
    if !tracing::enabled!(target: "diogenes::request", tracing::Level::DEBUG) {
        return Span::none();
    }
    let TracePlace { trace, span, parent, .. } = place();
    tracing::debug_span!(
        target: "diogenes::request",
        "request",
        trace_id = %trace,
        parent_id = %parent.unwrap_or(span),
        request.id = id.to_str().unwrap_or_default(),
        key.id = %key,
        model = model().as_str(),
    )
}

/// Two lower-case hexadecimal digits.
fn byte(text: &str) -> Option<u8> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == 2 && text.bytes().all(is_hex)).then(|| u8::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use std::fmt::{self, Write as _};
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
        for (flags, is_sampled) in [("01", true), ("00", false), ("03", true), ("fe", false)] {
            let parent = read(&[&format!("00-{TRACE}-00f067aa0ba902b7-{flags}")]).unwrap();
            assert_eq!(parent.trace.to_string(), TRACE);
            assert_eq!(parent.span.to_string(), "00f067aa0ba902b7");
            assert_eq!(parent.is_sampled, is_sampled, "{flags}");
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
    fn a_fresh_trace_is_unlike_any_other_and_its_share_is_kept() {
        let fresh = |share| place(&HeaderMap::new(), Share::new(share).unwrap());
        let (a, b) = (fresh(1.0), fresh(0.0));
        assert!(a.trace != b.trace && a.span != b.span);
        assert_eq!((a.parent, a.is_sampled, b.is_sampled), (None, true, false));
        let text = parent_field(&a, a.span).unwrap();
        let parent = TraceParent { trace: a.trace, span: a.span, is_sampled: true };
        assert_eq!(read(&[text.to_str().unwrap()]), Some(parent));
    }

    #[test]
    fn a_caller_decides_whether_its_trace_is_kept() {
        for (flags, share) in [("01", 0.0), ("00", 1.0)] {
            let mut headers = HeaderMap::new();
            let value = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            headers.insert("traceparent", HeaderValue::try_from(value).unwrap());
            let place = place(&headers, Share::new(share).unwrap());
            assert_eq!(place.trace.to_string(), TRACE);
            assert_eq!(place.parent.unwrap().to_string(), "00f067aa0ba902b7");
            assert_eq!(place.is_sampled, flags == "01");
            assert_ne!(Some(place.span), place.parent);
        }
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
        let place = || panic!("nobody wants to know");
        assert!(span(&id, place, &key, model).is_disabled());
    }
}
