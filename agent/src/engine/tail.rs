//! The end of the inference server's log, for the beat.

use std::collections::VecDeque;

use diogenes_backends::engine::output::{Lines, kept};
use diogenes_core::fleet::{MAX_LOG_LINES, Phase};

/// The end of a log. As a log counts what a beat can carry of it: its lines without the blank
/// ones, each cut to its longest and ended by one line feed. So whoever has read up to some
/// number of bytes finds in the next beat just what follows.
#[derive(Debug, Default)]
pub(crate) struct Log {
    growing: Lines,
    kept: Kept,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    /// Bytes up to the end of the last line.
    end: u64,
}

impl Log {
    /// Appends output; returns the furthest phase that its lines announce.
    pub(crate) fn push(&mut self, output: &[u8]) -> Option<Phase> {
        let Self { growing, kept } = self;
        growing.push(output, |line| kept.add(line))
    }

    /// Ends a last line without a line feed.
    pub(crate) fn close(&mut self) -> Option<Phase> {
        let Self { growing, kept } = self;
        growing.end(|line| kept.add(line))
    }

    /// The port that the server has last said it listens on.
    pub(crate) fn listens_on(&self) -> Option<u16> {
        self.growing.listens_on()
    }

    /// The last whole lines, and how many bytes the log has at their end.
    pub(crate) fn tail(&self) -> (Vec<String>, u64) {
        (self.kept.lines.iter().cloned().collect(), self.kept.end)
    }
}

impl Kept {
    fn add(&mut self, line: &str) {
        if let Some(line) = kept(line) {
            if self.lines.len() >= MAX_LOG_LINES {
                self.lines.pop_front();
            }
            self.end += line.len() as u64 + 1;
            self.lines.push_back(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_long_line_counts_as_it_is_cut() {
        let mut log = Log::default();
        log.push(("ü".repeat(600) + "\n").as_bytes());
        let (lines, end) = log.tail();
        assert_eq!((lines.len(), end), (1, 1001));
    }
}
