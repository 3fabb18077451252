use std::io::{BufRead, BufReader, PipeReader};
use std::sync::{Arc, Mutex};

/// What the processes of one function have written.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<String>>);

impl Log {
    /// Reads until every writer has gone.
    pub(super) fn read(&self, output: PipeReader) {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            self.line(String::from_utf8_lossy(&line).trim_end_matches('\n'));
            line.clear();
        }
    }

    /// Adds a line of our own.
    pub(super) fn line(&self, line: &str) {
        let mut text = self.0.lock().unwrap();
        text.push_str(line);
        text.push('\n');
    }

    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}
