//! What an inference server's own metrics tell of its load.

use diogenes_core::fleet::Load;

/// The figures of one look at `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Metrics {
    /// Requests that run.
    running: f64,
    /// Requests that wait.
    waiting: f64,
    /// Tokens read and written since the start.
    tokens: f64,
}

impl Metrics {
    /// Reads the Prometheus text of vLLM (`vllm/v1/metrics/loggers.py`) or of llama.cpp's
    /// server (`tools/server/server-context.cpp`). The samples of several engines are added.
    pub(crate) fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        for (name, value) in text.lines().filter_map(sample) {
            let figure = match name {
                "vllm:num_requests_running" | "llamacpp:requests_processing" => {
                    &mut metrics.running
                }
                "vllm:num_requests_waiting" | "llamacpp:requests_deferred" => &mut metrics.waiting,
                "vllm:generation_tokens_total"
                | "vllm:prompt_tokens_total"
                | "llamacpp:tokens_predicted_total"
                | "llamacpp:prompt_tokens_total" => &mut metrics.tokens,
                _ => continue,
            };
            *figure += value;
        }
        metrics
    }
}

/// Name and value of a line such as `name{label="text"} 1.0`; none for a comment, and for a
/// value that is not an amount.
fn sample(line: &str) -> Option<(&str, f64)> {
    let (name, value) = match line.split_once('{') {
        // A label's text may hold braces; the value does not.
        Some((name, rest)) => (name, rest.rsplit_once('}')?.1),
        None => line.split_once(' ')?,
    };
    let value = value.split_ascii_whitespace().next()?.parse().ok()?;
    (f64::is_finite(value) && value >= 0.0).then_some((name, value))
}

/// Makes beats' loads out of looks at the metrics.
///
/// A request can begin and end between two looks. Then the number of tokens has changed, and the
/// next beat counts one running request: a replica that is used is never told as idle.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    seen: Metrics,
    /// The tokens that the last beat knew of.
    told: f64,
}

/// What a beat has told, for [`Meter::told`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told(f64);

impl Meter {
    /// Takes a look into account.
    pub(crate) fn see(&mut self, metrics: Metrics) {
        self.seen = metrics;
    }

    /// The load for a beat.
    pub(crate) fn load(&self) -> (Load, Told) {
        // Counts below 2^53 are exact; a half is far from every other count.
        let used = (self.seen.tokens - self.told).abs() > 0.5;
        let (running, waiting) = (count(self.seen.running), count(self.seen.waiting));
        let unseen = used && running == 0 && waiting == 0;
        let running = if unseen { 1 } else { running };
        (Load { running, waiting }, Told(self.seen.tokens))
    }

    /// Notes that the beat with this load was written.
    pub(crate) fn told(&mut self, told: Told) {
        self.told = told.0;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and no amount is negative"
)]
fn count(amount: f64) -> u32 {
    amount.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(running: f64, waiting: f64, tokens: f64) -> Metrics {
        Metrics { running, waiting, tokens }
    }

    #[test]
    fn the_metrics_of_vllm_and_llama_cpp_are_read() {
        for (text, expected) in [
            (
                "# HELP vllm:num_requests_running Number of requests.\n\
                 # TYPE vllm:num_requests_running gauge\n\
                 vllm:num_requests_running{engine=\"0\",model_name=\"a}b {c\"} 3.0\n\
                 vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 2.0\n\
                 vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 2.0\n\
                 vllm:prompt_tokens_total{engine=\"0\"} 7.0\n\
                 vllm:generation_tokens_total{engine=\"0\"} 1.25e+06\n",
                metrics(3.0, 2.0, 1_250_007.0),
            ),
            (
                "vllm:num_requests_running{engine=\"0\"} 1.0\n\
                 vllm:num_requests_running{engine=\"1\"} 4.0\n",
                metrics(5.0, 0.0, 0.0),
            ),
            (
                "llamacpp:requests_processing 1\nllamacpp:requests_deferred 2 1700000000\n\
                 llamacpp:tokens_predicted_total 40\nllamacpp:prompt_tokens_total 2\n",
                metrics(1.0, 2.0, 42.0),
            ),
            (
                "vllm:num_requests_running NaN\nvllm:num_requests_waiting -1\nno metrics at all\n{\n",
                Metrics::default(),
            ),
            ("", Metrics::default()),
        ] {
            assert_eq!(Metrics::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn use_between_two_looks_counts_until_a_beat_has_told_it() {
        let mut meter = Meter::default();
        assert_eq!(meter.load().0, Load::default());

        meter.see(metrics(0.0, 0.0, 10.0));
        let (load, told) = meter.load();
        assert_eq!(load, Load { running: 1, waiting: 0 });
        // The beat was not written: the next one tells it.
        assert_eq!(meter.load().0.running, 1);
        meter.told(told);
        assert_eq!(meter.load().0, Load::default());

        // Beside visible requests nothing is added.
        meter.see(metrics(2.0, 1.0, 90.0));
        assert_eq!(meter.load().0, Load { running: 2, waiting: 1 });

        // An engine that counts from zero again has been used too.
        let (_, told) = meter.load();
        meter.told(told);
        meter.see(metrics(0.0, 0.0, 3.0));
        assert_eq!(meter.load().0.running, 1);
    }

    #[test]
    fn absurd_amounts_saturate() {
        let mut meter = Meter::default();
        meter.see(metrics(1e300, 0.0, 0.0));
        assert_eq!(meter.load().0.running, u32::MAX);
    }
}
