//! What requests come to, added up since the start: histograms and sums, cumulative, as
//! OpenTelemetry's SDKs have them unless told otherwise.

mod series;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::gateway::record::RequestRecord;

use self::series::{Histograms, Labels, Sums};
use self::wire::{Metric, MetricsRequest, Times};
use super::names;
use super::otlp::Resource;

/// Seconds.
const DURATION: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const OUTPUT_TOKEN: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

const SECONDS: &str = "s";
const TOKEN: &str = "{token}";

/// What all requests came to.
#[derive(Debug)]
pub(super) struct Aggregates {
    since: Timestamp,
    duration: Histograms,
    first_token: Histograms,
    output_token: Histograms,
    input: Histograms,
    output: Histograms,
    embedded: Histograms,
    all_input: Sums,
    all_output: Sums,
    cache_read: Sums,
    cache_write: Sums,
}

impl Aggregates {
    pub(super) fn new(since: Timestamp) -> Self {
        Self {
            since,
            duration: Histograms::new(DURATION),
            first_token: Histograms::new(FIRST_TOKEN),
            output_token: Histograms::new(OUTPUT_TOKEN),
            input: Histograms::new(TOKENS),
            output: Histograms::new(TOKENS),
            embedded: Histograms::new(TOKENS),
            all_input: Sums::default(),
            all_output: Sums::default(),
            cache_read: Sums::default(),
            cache_write: Sums::default(),
        }
    }

    /// Counts a request.
    pub(super) fn note(&mut self, record: &RequestRecord) {
        let labels = labels(record);
        self.duration.note(labels.clone(), record.took.as_secs_f64());
        // As sums go over failed and other requests alike, they are not told apart by why.
        let all = match labels.error {
            None => labels.clone(),
            Some(_) => Arc::new(Labels { error: None, ..Labels::clone(&labels) }),
        };
        if let (Some(first), None) = (record.first_content, &record.error) {
            self.first_token.note(all.clone(), first.as_secs_f64());
            if let Some(each) = per_token(record, first) {
                self.output_token.note(all.clone(), each);
            }
        }
        let Some(usage) = &record.usage else { return };
        if labels.operation == names::EMBEDDINGS {
            self.embedded.note(labels, usage.input as f64);
            return;
        }
        self.input.note(labels.clone(), usage.input as f64);
        self.output.note(labels, usage.output as f64);
        self.all_input.note(all.clone(), usage.input);
        self.all_output.note(all.clone(), usage.output);
        for (sums, tokens) in
            [(&mut self.cache_read, usage.cached_input), (&mut self.cache_write, usage.cache_write)]
        {
            if tokens > 0 {
                sums.note(all.clone(), tokens);
            }
        }
    }

    /// Everything so far, to be sent; none before the first request.
    pub(super) fn exported<'a>(
        &'a self,
        resource: Resource<'a>,
        now: Timestamp,
    ) -> Option<MetricsRequest<'a>> {
        let times = Times::new(self.since, now);
        let metrics: Vec<Metric<'_>> = [
            self.duration.told(
                "gen_ai.server.request.duration",
                "Generative AI server request duration such as time-to-last byte or last output token.",
                SECONDS,
                times,
            ),
            self.first_token.told(
                "gen_ai.server.time_to_first_token",
                "Time to generate first token for successful responses.",
                SECONDS,
                times,
            ),
            self.output_token.told(
                "gen_ai.server.time_per_output_token",
                "Time per output token generated after the first token for successful responses.",
                SECONDS,
                times,
            ),
            self.input.told(
                "gen_ai.client.inference.operation.input_tokens",
                "The number of input (prompt) tokens used per inference operation.",
                TOKEN,
                times,
            ),
            self.output.told(
                "gen_ai.client.inference.operation.output_tokens",
                "The number of output (completion) tokens used per inference operation.",
                TOKEN,
                times,
            ),
            self.embedded.told(
                "gen_ai.client.embeddings.operation.input_tokens",
                "The number of input tokens used per embeddings operation.",
                TOKEN,
                times,
            ),
            self.all_input.told(
                "gen_ai.client.inference.usage.input_tokens",
                "The number of input (prompt) tokens used, including cached tokens.",
                TOKEN,
                times,
            ),
            self.all_output.told(
                "gen_ai.client.inference.usage.output_tokens",
                "The number of output (completion) tokens used, including reasoning tokens.",
                TOKEN,
                times,
            ),
            self.cache_read.told(
                "gen_ai.client.inference.usage.cache_read.input_tokens",
                "The number of input tokens served from a cache.",
                TOKEN,
                times,
            ),
            self.cache_write.told(
                "gen_ai.client.inference.usage.cache_write.input_tokens",
                "The number of input tokens written to a cache.",
                TOKEN,
                times,
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!metrics.is_empty()).then(|| MetricsRequest::new(resource, metrics))
    }
}

fn labels(record: &RequestRecord) -> Arc<Labels> {
    Arc::new(Labels {
        operation: names::operation(record.endpoint),
        provider: names::provider(record.provider.as_ref()).to_owned(),
        // A name that leads nowhere gets no series: callers can think of any number.
        requested: record.model.as_ref().and(record.requested.clone()),
        model: record.model.as_ref().map(ToString::to_string),
        error: record.error.clone(),
    })
}

/// How long each token took behind the first.
fn per_token(record: &RequestRecord, first: Duration) -> Option<f64> {
    let behind = record.usage.as_ref()?.output.checked_sub(1).filter(|tokens| *tokens > 0)?;
    Some(record.took.saturating_sub(first).as_secs_f64() / behind as f64)
}

#[cfg(test)]
mod tests;
