//! Histograms and sums, apart by what tells their series apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::telemetry::otlp::Attributes;

/// The series of a metric at most; what is beyond is one more. Callers choose the names of
/// providers' models. As OpenTelemetry's SDKs have it.
pub(super) const MAX_SERIES: usize = 2000;

/// What tells the series of a metric apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Series {
    Of(Arc<Labels>),
    /// What is beyond [`MAX_SERIES`].
    Others,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labels {
    pub(super) operation: &'static str,
    pub(super) provider: String,
    pub(super) requested: Option<String>,
    pub(super) model: Option<String>,
    pub(super) error: Option<String>,
}

impl Series {
    /// `has_modality` for the counters of tokens, which want to know of what: nobody tells.
    pub(super) fn attributes(&self, has_modality: bool) -> Attributes<'_> {
        let Self::Of(labels) = self else {
            return Attributes::default().flag("otel.metric.overflow", true);
        };
        let attributes = Attributes::with_capacity(6)
            .text("gen_ai.operation.name", labels.operation)
            .text("gen_ai.provider.name", &labels.provider)
            .text_if("gen_ai.request.model", labels.requested.as_deref())
            .text_if("gen_ai.response.model", labels.model.as_deref())
            .text_if("error.type", labels.error.as_deref());
        if has_modality { attributes.text("gen_ai.token.modality", "unknown") } else { attributes }
    }
}

/// The series of a metric.
#[derive(Debug)]
struct Family<T>(BTreeMap<Series, T>);

impl<T> Family<T> {
    fn of(&mut self, labels: Arc<Labels>, new: impl FnOnce() -> T) -> &mut T {
        let series = Series::Of(labels);
        let is_full = self.0.len() >= MAX_SERIES && !self.0.contains_key(&series);
        let series = if is_full { Series::Others } else { series };
        self.0.entry(series).or_insert_with(new)
    }
}

impl<T> Default for Family<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

#[derive(Debug)]
pub(super) struct Histogram {
    pub(super) counts: Vec<u64>,
    pub(super) sum: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// Histograms of the same bounds.
#[derive(Debug)]
pub(super) struct Histograms {
    pub(super) bounds: &'static [f64],
    family: Family<Histogram>,
}

impl Histograms {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, family: Family::default() }
    }

    pub(super) fn note(&mut self, labels: Arc<Labels>, value: f64) {
        let bounds = self.bounds;
        let histogram = self.family.of(labels, || Histogram {
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
        });
        // An upper bound belongs to its bucket.
        let place = bounds.partition_point(|bound| *bound < value);
        if let Some(count) = histogram.counts.get_mut(place) {
            *count += 1;
        }
        histogram.sum += value;
        histogram.least = histogram.least.min(value);
        histogram.most = histogram.most.max(value);
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&Series, &Histogram)> {
        self.family.0.iter()
    }
}

#[derive(Debug, Default)]
pub(super) struct Sums(Family<u64>);

impl Sums {
    pub(super) fn note(&mut self, labels: Arc<Labels>, value: u64) {
        let sum = self.0.of(labels, || 0);
        *sum = sum.saturating_add(value);
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&Series, &u64)> {
        self.0.0.iter()
    }
}
