//! The inference server's log: its last lines for the beat, and the phases that it announces.

use std::collections::VecDeque;

use diogenes_core::fleet::phase::announced_by;
use diogenes_core::fleet::{MAX_LOG_LINES, Phase};

/// The most characters of a line that a beat carries.
const LINE: usize = 500;
/// The longest line that is kept while it grows, in bytes; the rest of it is passed over.
const LONGEST: usize = 64 * 1024;

/// The end of a log. As a log counts what a beat can carry of it: its lines without the blank
/// ones, each cut to its longest and ended by one line feed. So whoever has read up to some
/// number of bytes finds in the next beat just what follows.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: VecDeque<String>,
    line: Vec<u8>,
    /// Bytes up to the end of the last line.
    end: u64,
}

impl Log {
    /// Appends output; returns the furthest phase that its lines announce.
    pub(crate) fn push(&mut self, output: &[u8]) -> Option<Phase> {
        let mut furthest = None;
        for byte in output {
            // A progress bar returns the carriage and begins no line.
            if *byte == b'\n' || *byte == b'\r' {
                furthest = furthest.max(self.end_line());
            } else if self.line.len() < LONGEST {
                self.line.push(*byte);
            }
        }
        furthest
    }

    /// Ends a last line without a line feed.
    pub(crate) fn close(&mut self) -> Option<Phase> {
        self.end_line()
    }

    /// The last whole lines, and how many bytes the log has at their end.
    pub(crate) fn tail(&self) -> (Vec<String>, u64) {
        (self.lines.iter().cloned().collect(), self.end)
    }

    fn end_line(&mut self) -> Option<Phase> {
        let line = String::from_utf8_lossy(&self.line);
        let phase = announced_by(&line);
        if !line.trim().is_empty() {
            if self.lines.len() >= MAX_LOG_LINES {
                self.lines.pop_front();
            }
            let kept: String = line.chars().take(LINE).collect();
            self.end += kept.len() as u64 + 1;
            self.lines.push_back(kept);
        }
        self.line.clear();
        phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_is_told_by_whole_lines_however_they_are_cut() {
        let mut log = Log::default();
        assert_eq!(log.push(b"INFO Starting to load mo"), None);
        assert_eq!(log.push(b"del Qwen/Qwen3-8B...\nLoading"), Some(Phase::Weights));
        assert_eq!(log.push(b" weights took 18.2 seconds"), None);
        assert_eq!(log.push(b"\r"), Some(Phase::Warmup));
        assert_eq!(
            log.push(b"Model loading took 3 s\nStarting to load model x\n"),
            Some(Phase::Warmup)
        );
    }

    #[test]
    fn the_tail_has_the_last_whole_lines_and_their_end() {
        let mut log = Log::default();
        for number in 0..100 {
            log.push(format!("line {number:02}\n\n").as_bytes());
        }
        log.push(b"unfinished");
        let (lines, end) = log.tail();
        assert_eq!(lines.len(), MAX_LOG_LINES);
        assert_eq!((lines[0].as_str(), lines[39].as_str()), ("line 60", "line 99"));
        // Lines of seven characters; the blank ones between them count for nothing.
        assert_eq!(end, 800);
        log.close();
        let (lines, end) = log.tail();
        assert_eq!((lines[39].as_str(), end), ("unfinished", 811));
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_is_cut() {
        let mut log = Log::default();
        for _ in 0..100 {
            log.push("ü".repeat(10_000).as_bytes());
        }
        assert_eq!(log.line.len(), LONGEST);
        log.push(b"\n");
        let (lines, end) = log.tail();
        assert_eq!(lines, ["ü".repeat(LINE)]);
        assert_eq!(end, 1001);
    }
}
