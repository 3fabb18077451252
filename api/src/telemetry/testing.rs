use std::time::Duration;

use diogenes_core::gateway::prices::TokenUsage;
use diogenes_core::gateway::record::{
    Attempt, AttemptOutcome, Caller, RequestRecord, SpanId, Stretch, TraceId, TracePlace,
};
use diogenes_core::keys::KeyId;
use diogenes_core::tenancy::ProjectId;

pub(super) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A stream of `demo` that was answered in two seconds, with 11 tokens for 100.
pub(super) fn record() -> RequestRecord {
    let model = || "demo".parse().unwrap();
    let span = |bits| SpanId::new(bits).unwrap();
    RequestRecord {
        id: "request-1".into(),
        trace: TracePlace {
            trace: TraceId::parse(TRACE).unwrap(),
            span: span(1),
            parent: None,
            is_sampled: true,
        },
        arrived: "2026-11-27T07:00:00Z".parse().unwrap(),
        took: Duration::from_secs(2),
        endpoint: "/v1/chat/completions",
        caller: Some(Caller { project: ProjectId::default(), key: KeyId::from_caller("key_1") }),
        requested: Some("assistant".into()),
        prompt: Some("tutor:v1".into()),
        model: Some(model()),
        provider: None,
        route: Some("assistant".parse().unwrap()),
        stream: true,
        max_tokens: Some(64),
        held: None,
        first_content: Some(Duration::from_secs(1)),
        status: 200,
        error: None,
        usage: Some(TokenUsage { input: 100, output: 11, ..TokenUsage::default() }),
        cost: None,
        attempts: vec![Attempt {
            span: span(2),
            target: "0/claim".into(),
            model: model(),
            asked_as: "org/demo".into(),
            provider: None,
            authority: "127.0.0.1:8000".into(),
            time: Stretch { after: Duration::from_millis(5), took: Duration::from_secs(2) },
            status: Some(200),
            outcome: AttemptOutcome::Answered,
            error: None,
        }],
        passed_over: Vec::new(),
    }
}
