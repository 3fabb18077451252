//! `/metrics`: Prometheus text with vLLM's names (`vllm/v1/metrics/loggers.py`).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::engine::Engine;

/// vLLM's buckets of `time_to_first_token_seconds`, in seconds.
const BUCKETS: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    sum_micros: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, value: Duration) {
        let seconds = value.as_secs_f64();
        if let Some(bucket) = self.buckets.get(BUCKETS.partition_point(|&bound| bound < seconds)) {
            bucket.fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(u64::try_from(value.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) -> std::fmt::Result {
        let mut below = 0;
        for (bound, bucket) in BUCKETS.iter().zip(&self.buckets) {
            below += bucket.load(Relaxed);
            writeln!(out, "vllm:{name}_bucket{{{labels},le=\"{bound:?}\"}} {below}.0")?;
        }
        let count = self.count.load(Relaxed);
        writeln!(out, "vllm:{name}_bucket{{{labels},le=\"+Inf\"}} {count}.0")?;
        writeln!(out, "vllm:{name}_count{{{labels}}} {count}.0")?;
        writeln!(
            out,
            "vllm:{name}_sum{{{labels}}} {:?}",
            self.sum_micros.load(Relaxed) as f64 / 1e6
        )
    }
}

/// The whole page.
pub(crate) fn render(engine: &Engine) -> String {
    let mut page = String::with_capacity(8 * 1024);
    // Writing into a `String` cannot fail.
    let _ = write_page(&mut page, engine);
    page
}

fn write_page(out: &mut String, engine: &Engine) -> std::fmt::Result {
    let counters = &engine.counters;
    let model =
        engine.names.first().map_or("", String::as_str).replace('\\', "\\\\").replace('"', "\\\"");
    let labels = format!("engine=\"0\",model_name=\"{model}\"");
    let running = counters.running.load(Relaxed);
    let usage = running as f64 / engine.args.max_num_seqs.max(1) as f64;

    let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, f64)]| {
        writeln!(out, "# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}")?;
        for (extra, value) in samples {
            writeln!(out, "vllm:{name}{{{labels}{extra}}} {value:?}")?;
        }
        Ok(())
    };
    let value = |counter: &AtomicU64| counter.load(Relaxed) as f64;
    family(
        "num_requests_running",
        "gauge",
        "Number of requests in model execution batches.",
        &[("", running as f64)],
    )?;
    let waiting = value(&counters.waiting);
    family(
        "num_requests_waiting",
        "gauge",
        "Number of requests waiting to be processed.",
        &[("", waiting)],
    )?;
    family(
        "kv_cache_usage_perc",
        "gauge",
        "KV-cache usage. 1 means 100 percent usage.",
        &[("", usage)],
    )?;
    let prompt = value(&counters.prompt_tokens);
    family(
        "prompt_tokens_total",
        "counter",
        "Number of prefill tokens processed.",
        &[("", prompt)],
    )?;
    let generated = value(&counters.generation_tokens);
    family(
        "generation_tokens_total",
        "counter",
        "Number of generation tokens processed.",
        &[("", generated)],
    )?;
    let finished = [
        (",finished_reason=\"stop\"", value(&counters.stopped)),
        (",finished_reason=\"length\"", value(&counters.at_length)),
        (",finished_reason=\"abort\"", value(&counters.aborted)),
    ];
    family(
        "request_success_total",
        "counter",
        "Count of successfully processed requests.",
        &finished,
    )?;
    family(
        "time_to_first_token_seconds",
        "histogram",
        "Histogram of time to first token in seconds.",
        &[],
    )?;
    counters.time_to_first_token.write(out, "time_to_first_token_seconds", &labels)?;
    writeln!(
        out,
        "# HELP vllm:e2e_request_latency_seconds Histogram of e2e request latency in seconds."
    )?;
    writeln!(out, "# TYPE vllm:e2e_request_latency_seconds histogram")?;
    counters.request_latency.write(out, "e2e_request_latency_seconds", &labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_buckets_are_cumulative() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(3));
        histogram.observe(Duration::from_hours(1));
        let mut out = String::new();
        histogram.write(&mut out, "h", "a=\"b\"").unwrap();
        assert!(out.contains("vllm:h_bucket{a=\"b\",le=\"0.001\"} 0.0\n"), "{out}");
        assert!(out.contains("vllm:h_bucket{a=\"b\",le=\"0.005\"} 1.0\n"), "{out}");
        assert!(out.contains("vllm:h_bucket{a=\"b\",le=\"2560.0\"} 1.0\n"), "{out}");
        assert!(out.contains("vllm:h_bucket{a=\"b\",le=\"+Inf\"} 2.0\n"), "{out}");
        assert!(out.contains("vllm:h_sum{a=\"b\"} 3600.003\n"), "{out}");
    }

    #[test]
    fn page_carries_the_model_name() {
        let page = render(&Engine::new(crate::Args::default()));
        assert!(
            page.contains(
                "vllm:num_requests_running{engine=\"0\",model_name=\"mock-model\"} 0.0\n"
            ),
            "{page}"
        );
        assert!(page.contains("# TYPE vllm:generation_tokens_total counter\n"), "{page}");
    }
}
