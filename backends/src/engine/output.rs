//! What an inference server writes, line by line, and the phases and the port that its lines
//! announce.

use diogenes_core::fleet::Phase;
use diogenes_core::fleet::phase::{announced_by, port_announced_by};

/// The most characters of a line that a beat carries.
pub(crate) const KEPT: usize = 500;
/// The longest line that is kept while it grows, in bytes; the rest of it is passed over.
const LONGEST: usize = 64 * 1024;

/// Cuts output into lines, however it arrives.
#[derive(Debug, Default)]
pub struct Lines {
    growing: Vec<u8>,
    port: Option<u16>,
}

impl Lines {
    /// Appends output and hands every line that it ends to `each`; returns the furthest phase
    /// that one of them announces.
    pub fn push(&mut self, output: &[u8], mut each: impl FnMut(&str)) -> Option<Phase> {
        let mut furthest = None;
        for byte in output {
            // A progress bar returns the carriage and begins no line.
            if *byte == b'\n' || *byte == b'\r' {
                furthest = furthest.max(self.end(&mut each));
            } else if self.growing.len() < LONGEST {
                self.growing.push(*byte);
            }
        }
        furthest
    }

    /// Ends a last line without a line feed.
    pub fn end(&mut self, each: impl FnOnce(&str)) -> Option<Phase> {
        let line = String::from_utf8_lossy(&self.growing);
        each(&line);
        let phase = announced_by(&line);
        self.port = port_announced_by(&line).or(self.port);
        self.growing.clear();
        phase
    }

    /// The port that the server has last said it listens on.
    pub fn listens_on(&self) -> Option<u16> {
        self.port
    }
}

/// A line as a beat carries it, or none of a blank one.
pub fn kept(line: &str) -> Option<String> {
    (!line.trim().is_empty()).then(|| line.chars().take(KEPT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_is_told_by_whole_lines_however_they_are_cut() {
        let mut lines = Lines::default();
        let mut push = |output: &[u8]| lines.push(output, |_| {});
        assert_eq!(push(b"INFO Starting to load mo"), None);
        assert_eq!(push(b"del Qwen/Qwen3-8B...\nLoading"), Some(Phase::Weights));
        assert_eq!(push(b" weights took 18.2 seconds"), None);
        assert_eq!(push(b"\r"), Some(Phase::Warmup));
        let both = push(b"Model loading took 3 s\nStarting to load model x\n");
        assert_eq!(both, Some(Phase::Warmup));
    }

    #[test]
    fn the_port_that_was_told_last_counts() {
        let mut lines = Lines::default();
        lines.push(b"Uvicorn running on http://0.0.0.0:8001", |_| {});
        assert_eq!(lines.listens_on(), None);
        lines.push(b"\nINFO loaded\n", |_| {});
        assert_eq!(lines.listens_on(), Some(8001));
        lines.push(b"Uvicorn running on http://0.0.0.0:8002\n", |_| {});
        assert_eq!(lines.listens_on(), Some(8002));
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_is_cut() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.push("ü".repeat(10_000).as_bytes(), |_| {});
        }
        assert_eq!(lines.growing.len(), LONGEST);
        let mut ended = Vec::new();
        lines.push(b"\n", |line| ended.extend(kept(line)));
        assert_eq!(ended, ["ü".repeat(KEPT)]);
        assert_eq!(kept(" \t"), None);
    }
}
