//! The flags of the program; the library's builder fills in the same struct.

use std::time::Duration;

use crate::Faults;

/// A fake vLLM server: vLLM's HTTP surface without a model, with failure modes.
#[derive(Debug, Clone, PartialEq, clap::Parser)]
#[command(name = "mock-vllm", version)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// The model, as vLLM's `--model`.
    #[arg(long, value_name = "NAME", default_value = "mock-model")]
    pub model: String,
    /// Names under which the model is served instead of `--model`.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub served_model_name: Vec<String>,
    /// Key that requests to `/v1` must carry as a bearer token.
    #[arg(long, value_name = "KEY", env = "VLLM_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Context length: prompt and completion together.
    #[arg(long, value_name = "TOKENS", default_value_t = 32_768)]
    pub max_model_len: u32,
    /// Requests that run at once; more are waiting.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max_num_seqs: usize,
    /// Length of an embedding when the request does not say.
    #[arg(long, value_name = "N", default_value_t = 384)]
    pub embedding_dimensions: u32,

    /// Completion tokens of an answer that no limit or stop string ends earlier.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub tokens: u32,
    /// Tokens per second of one answer; 0 is as fast as possible.
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub tokens_per_second: f64,
    /// Tokens per second of all answers together, which those that run share evenly; 0 is no bound.
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub shared_tokens_per_second: f64,
    /// Time to first token.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    pub ttft: Duration,

    /// How long loading the weights takes.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    pub load_weights_delay: Duration,
    /// How long `torch.compile` takes.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    pub compile_delay: Duration,
    /// How long capturing CUDA graphs takes.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    pub graphs_delay: Duration,
    /// Answer 503 while loading. Without it the port refuses connections, as vLLM's does.
    #[arg(long)]
    pub listen_while_loading: bool,
    /// Load for ever.
    #[arg(long)]
    pub never_healthy: bool,
    /// End with this exit code and a traceback when the weights are loaded.
    #[arg(long, value_name = "CODE")]
    pub exit_during_boot: Option<u8>,

    /// What goes wrong with requests.
    #[command(flatten)]
    pub faults: Faults,
    /// Refuse connections from this long after the mock became ready.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, num_args = 0..=1, default_missing_value = "0s")]
    pub refuse_connections: Option<Duration>,

    /// How long requests in flight may take after SIGTERM; 0 aborts them, as vLLM does.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    pub shutdown_timeout: Duration,
    /// Do nothing on SIGTERM.
    #[arg(long)]
    pub ignore_sigterm: bool,
    /// Threads to serve with; 0 is one for each core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// No start-up log.
    #[arg(long)]
    pub quiet: bool,

    /// `serve MODEL`, so that vLLM's own command line works.
    #[arg(hide = true, num_args = 0..=2)]
    pub command: Vec<String>,
    /// Arguments after `--` are ignored: engine arguments that mean nothing here.
    #[arg(last = true, value_name = "IGNORED")]
    pub ignored: Vec<String>,
}

impl Default for Args {
    /// The same values as an empty command line in an empty environment.
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8000,
            model: "mock-model".to_owned(),
            served_model_name: Vec::new(),
            api_key: None,
            max_model_len: 32_768,
            max_num_seqs: 256,
            embedding_dimensions: 384,
            tokens: 32,
            tokens_per_second: 0.0,
            shared_tokens_per_second: 0.0,
            ttft: Duration::ZERO,
            load_weights_delay: Duration::ZERO,
            compile_delay: Duration::ZERO,
            graphs_delay: Duration::ZERO,
            listen_while_loading: false,
            never_healthy: false,
            exit_during_boot: None,
            faults: Faults::default(),
            refuse_connections: None,
            shutdown_timeout: Duration::ZERO,
            ignore_sigterm: false,
            threads: 0,
            quiet: false,
            command: Vec::new(),
            ignored: Vec::new(),
        }
    }
}

impl Args {
    /// The model's path: `--model`, or the `MODEL` of `serve MODEL`.
    pub(crate) fn root(&self) -> &str {
        match self.command.as_slice() {
            [serve, model] if serve == "serve" => model,
            _ => &self.model,
        }
    }

    /// The names under which the model is served, never empty.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.served_model_name.is_empty() {
            vec![self.root().to_owned()]
        } else {
            self.served_model_name.clone()
        }
    }

    /// The time between two tokens.
    pub(crate) fn token_interval(&self) -> Duration {
        if self.tokens_per_second > 0.0 {
            Duration::try_from_secs_f64(self.tokens_per_second.recip()).unwrap_or(Duration::MAX)
        } else {
            Duration::ZERO
        }
    }
}

/// Parses `250ms`, `2s`, `1.5m`, or seconds without a unit (as vLLM's own flags take them).
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unit `{unit}` is not known; use us, ms, s, m or h")),
    };
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a duration; write it as `250ms` or `2s`"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("`{text}` is out of range"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn default_is_the_empty_command_line() {
        let mut parsed = Args::try_parse_from(["mock-vllm"]).unwrap();
        parsed.api_key = None;
        assert_eq!(parsed, Args::default());
    }

    #[test]
    fn durations_are_parsed_with_and_without_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert!(parse_duration("2 fortnights").is_err());
        assert!(parse_duration("-1s").is_err());
    }

    #[test]
    fn command_line_of_vllm_itself_is_understood() {
        let args = Args::try_parse_from([
            "mock-vllm",
            "serve",
            "org/model",
            "--port",
            "1",
            "--max-model-len",
            "4096",
            "--",
            "--dtype",
            "half",
        ])
        .unwrap();
        assert_eq!(args.names(), ["org/model"]);
        assert_eq!(args.max_model_len, 4096);
    }

    #[test]
    fn refusing_connections_takes_an_optional_delay() {
        let parse = |args: &[&str]| Args::try_parse_from(args).unwrap().refuse_connections;
        assert_eq!(parse(&["mock-vllm"]), None);
        assert_eq!(parse(&["mock-vllm", "--refuse-connections"]), Some(Duration::ZERO));
        assert_eq!(
            parse(&["mock-vllm", "--refuse-connections", "2s"]),
            Some(Duration::from_secs(2))
        );
    }
}
