//! The phases of a boot, and how the log of an inference server tells them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a boot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The backend was asked for an instance.
    Launch,
    /// The machine or process starts.
    Boot,
    /// Images and packages are fetched.
    Image,
    /// The weights are read into memory.
    Weights,
    /// The engine compiles, captures graphs, warms up.
    Warmup,
    /// It answers.
    Ready,
}

impl Phase {
    /// Every phase in order.
    pub const ALL: [Self; 6] =
        [Self::Launch, Self::Boot, Self::Image, Self::Weights, Self::Warmup, Self::Ready];

    /// The name in JSON and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Boot => "boot",
            Self::Image => "image",
            Self::Weights => "weights",
            Self::Warmup => "warmup",
            Self::Ready => "ready",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The phase that a line of an inference server's log announces, if any.
///
/// Knows vLLM's lines (`vllm/v1/worker/gpu_model_runner.py`, `vllm/model_executor/model_loader`,
/// `vllm/compilation`) and those of llama.cpp's server (`tools/server/server.cpp`).
pub fn announced_by(line: &str) -> Option<Phase> {
    const MARKS: [(&str, Phase); 11] = [
        // vLLM
        ("Starting to load model", Phase::Weights),
        ("Loading safetensors checkpoint shards", Phase::Weights),
        ("Loading weights took", Phase::Warmup),
        ("Model loading took", Phase::Warmup),
        ("torch.compile takes", Phase::Warmup),
        ("Capturing CUDA graph", Phase::Warmup),
        ("Graph capturing finished", Phase::Warmup),
        // llama.cpp
        ("load_model: loading model", Phase::Weights),
        ("llama_model_loader: loaded meta data", Phase::Weights),
        ("load_tensors: loading model tensors", Phase::Weights),
        ("warming up the model", Phase::Warmup),
    ];
    MARKS.iter().find(|(mark, _)| line.contains(mark)).map(|(_, phase)| *phase)
}

/// The port that a line of an inference server's log says it listens on, if any.
///
/// Knows the lines of vLLM, of uvicorn (SGLang and most servers in Python) and of llama.cpp's
/// server.
pub fn port_announced_by(line: &str) -> Option<u16> {
    const MARKS: [(&str, &str); 3] = [
        ("Starting vLLM", " on http://"),
        ("Uvicorn running", " on http://"),
        ("server is listening", " on http://"),
    ];
    let rest = MARKS.iter().find_map(|(program, mark)| {
        let (_, rest) = line.split_once(program)?;
        Some(rest.split_once(mark)?.1)
    })?;
    let authority = rest.split(|c: char| c.is_whitespace() || c == '/').next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_of_servers_tell_the_port() {
        for (line, port) in [
            ("INFO:     Uvicorn running on http://0.0.0.0:8001 (Press CTRL+C to quit)", Some(8001)),
            ("INFO:     Uvicorn running on http://[::]:30000", Some(30000)),
            (
                "INFO 11-21 08:00:00 [api_server.py:1446] Starting vLLM server on http://0.0.0.0:8000",
                Some(8000),
            ),
            ("INFO [api_server.py:1844] Starting vLLM API server 0 on http://:::8001", Some(8001)),
            ("Starting vLLM", None),
            (
                "main: server is listening on http://127.0.0.1:8080 - starting the main loop",
                Some(8080),
            ),
            ("View the dashboard at http://127.0.0.1:8265", None),
            ("Uvicorn running on http://localhost", None),
        ] {
            assert_eq!(port_announced_by(line), port, "{line}");
        }
    }

    #[test]
    fn the_logs_of_vllm_and_llama_cpp_tell_the_phase() {
        for (line, phase) in [
            (
                "INFO 11-21 08:00:00 [gpu_model_runner.py:2007] Starting to load model Qwen/Qwen3-8B...",
                Some(Phase::Weights),
            ),
            ("Loading safetensors checkpoint shards:  25% Completed | 1/4", Some(Phase::Weights)),
            ("INFO [default_loader.py:267] Loading weights took 18.2 seconds", Some(Phase::Warmup)),
            ("main: warming up the model with an empty run - please wait", Some(Phase::Warmup)),
            ("INFO:     Application startup complete.", None),
        ] {
            assert_eq!(announced_by(line), phase, "{line}");
        }
    }

    #[test]
    fn phases_are_in_the_order_of_a_boot() {
        assert!(Phase::ALL.is_sorted());
    }
}
