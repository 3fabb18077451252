//! Metrics as OTLP has them.

use diogenes_core::Timestamp;
use serde::Serialize;

use super::series::{Histograms, Sums};
use crate::telemetry::otlp::{Attributes, Digits, Resource, SCOPE, Scope};

const CUMULATIVE: u8 = 2;

/// From when to when metrics count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    since: Digits,
    now: Digits,
}

impl Times {
    pub(super) fn new(since: Timestamp, now: Timestamp) -> Self {
        let nanos = |at: Timestamp| Digits(u64::try_from(at.as_nanosecond()).unwrap_or_default());
        Self { since: nanos(since), now: nanos(now) }
    }
}

/// `ExportMetricsServiceRequest`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::telemetry) struct MetricsRequest<'a> {
    resource_metrics: [ResourceMetrics<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics<'a> {
    resource: Resource<'a>,
    scope_metrics: [ScopeMetrics<'a>; 1],
}

#[derive(Debug, Serialize)]
struct ScopeMetrics<'a> {
    scope: Scope,
    metrics: Vec<Metric<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Metric<'a> {
    name: &'static str,
    description: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Data<'a> {
    Histogram { data_points: Vec<HistogramPoint<'a>>, aggregation_temporality: u8 },
    Sum { data_points: Vec<NumberPoint<'a>>, aggregation_temporality: u8, is_monotonic: bool },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HistogramPoint<'a> {
    attributes: Attributes<'a>,
    start_time_unix_nano: Digits,
    time_unix_nano: Digits,
    count: Digits,
    sum: f64,
    bucket_counts: Vec<Digits>,
    explicit_bounds: &'static [f64],
    min: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NumberPoint<'a> {
    attributes: Attributes<'a>,
    start_time_unix_nano: Digits,
    time_unix_nano: Digits,
    as_int: Digits,
}

impl<'a> MetricsRequest<'a> {
    pub(super) fn new(resource: Resource<'a>, metrics: Vec<Metric<'a>>) -> Self {
        let scope_metrics = [ScopeMetrics { scope: SCOPE, metrics }];
        Self { resource_metrics: [ResourceMetrics { resource, scope_metrics }] }
    }
}

impl Histograms {
    pub(super) fn told(
        &self,
        name: &'static str,
        description: &'static str,
        unit: &'static str,
        times: Times,
    ) -> Option<Metric<'_>> {
        let points = self.iter().map(|(series, histogram)| HistogramPoint {
            attributes: series.attributes(false),
            start_time_unix_nano: times.since,
            time_unix_nano: times.now,
            count: Digits(histogram.counts.iter().sum()),
            sum: histogram.sum,
            bucket_counts: histogram.counts.iter().copied().map(Digits).collect(),
            explicit_bounds: self.bounds,
            min: histogram.least,
            max: histogram.most,
        });
        let data_points: Vec<_> = points.collect();
        let data = Data::Histogram { data_points, aggregation_temporality: CUMULATIVE };
        (self.iter().len() > 0).then_some(Metric { name, description, unit, data })
    }
}

impl Sums {
    pub(super) fn told(
        &self,
        name: &'static str,
        description: &'static str,
        unit: &'static str,
        times: Times,
    ) -> Option<Metric<'_>> {
        let points = self.iter().map(|(series, sum)| NumberPoint {
            attributes: series.attributes(true),
            start_time_unix_nano: times.since,
            time_unix_nano: times.now,
            as_int: Digits((*sum).min(i64::MAX.unsigned_abs())),
        });
        let data = Data::Sum {
            data_points: points.collect(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        };
        (self.iter().len() > 0).then_some(Metric { name, description, unit, data })
    }
}
