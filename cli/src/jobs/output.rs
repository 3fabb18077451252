//! What a program of a job prints: lines of the job's log, and how far it is.

use diogenes_core::jobs::Progress;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::sync::mpsc;

/// The longest line that is kept whole, in bytes.
const MOST_LINE: usize = 4 * 1024;

/// Sends the lines of `from`, each without its end, until it closes or nobody listens. The rest of a
/// line that is too long is left out, and so is what a carriage return has overwritten.
pub(super) async fn lines(mut from: impl AsyncBufRead + Unpin, to: mpsc::Sender<String>) {
    let mut line = Line::default();
    loop {
        let read = match from.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(piece) => {
                let mut done = Vec::new();
                for byte in piece {
                    done.extend(line.push(*byte));
                }
                let read = piece.len();
                for text in done {
                    if to.send(text).await.is_err() {
                        return;
                    }
                }
                read
            }
        };
        from.consume(read);
    }
    if let Some(rest) = line.rest() {
        let _ = to.send(rest).await;
    }
}

#[derive(Default)]
struct Line {
    text: Vec<u8>,
    is_cut: bool,
    /// Whether the last byte was a carriage return: the end of a line, or the way back in it.
    returned: bool,
}

impl Line {
    fn push(&mut self, byte: u8) -> Option<String> {
        match byte {
            b'\n' => {
                self.returned = false;
                return Some(self.take());
            }
            b'\r' => self.returned = true,
            byte => {
                if std::mem::take(&mut self.returned) {
                    self.take();
                }
                if self.text.len() < MOST_LINE {
                    self.text.push(byte);
                } else {
                    self.is_cut = true;
                }
            }
        }
        None
    }

    fn rest(&mut self) -> Option<String> {
        (!self.text.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let mut text = String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned();
        if std::mem::take(&mut self.is_cut) {
            text.push('…');
        }
        text
    }
}

/// How far the program says it is: `::progress 3/10 what it does`.
pub(super) fn progress(line: &str) -> Option<Progress> {
    let rest = line.strip_prefix("::progress ")?.trim_start();
    let (counts, message) = rest.split_once(' ').unwrap_or((rest, ""));
    let (done, total) = counts.split_once('/').unwrap_or((counts, "0"));
    let (done, total) = (done.parse().ok()?, total.parse().ok()?);
    Some(Progress { done, total, message: message.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8]) -> Vec<String> {
        let (to, mut from) = mpsc::channel(100);
        lines(text, to).await;
        let mut found = Vec::new();
        while let Some(line) = from.recv().await {
            found.push(line);
        }
        found
    }

    #[tokio::test]
    async fn output_is_cut_into_lines() {
        assert_eq!(read(b"a\n\nb\r\nc").await, ["a", "", "b", "c"]);
        assert_eq!(read(b"1%\r50%\r100%\ndone\n").await, ["100%", "done"]);
        assert_eq!(read(b"\xff\xfe\n").await, ["\u{fffd}\u{fffd}"]);
        let long = [&[b'x'; 5_000][..], b"\ny\n"].concat();
        assert_eq!(read(&long).await, ["x".repeat(MOST_LINE) + "…", "y".into()]);
    }

    #[test]
    fn progress_is_read_and_other_lines_are_not() {
        let told = |done, total, message: &str| Progress { done, total, message: message.into() };
        for (line, wanted) in [
            ("::progress 3/10 training epoch 3", Some(told(3, 10, "training epoch 3"))),
            ("::progress 3/10", Some(told(3, 10, ""))),
            ("::progress 7", Some(told(7, 0, ""))),
            ("::progress", None),
            ("::progress all", None),
            ("::progress -1/3", None),
            (" ::progress 1/3", None),
        ] {
            assert_eq!(progress(line), wanted, "{line}");
        }
    }
}
