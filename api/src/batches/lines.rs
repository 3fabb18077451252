use std::sync::Arc;

use diogenes_core::ports::{BlobError, BlobKey, Blobs};

/// How much is read at once, in bytes.
const CHUNK: u64 = 1 << 20;
/// What some editors begin a text with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a blob line by line, a piece at a time.
pub(super) struct LineReader {
    blobs: Arc<dyn Blobs>,
    key: BlobKey,
    longest: usize,
    /// What was read and not yet handed out.
    buffer: Vec<u8>,
    /// Where in it the next line begins.
    at: usize,
    /// Where the next piece begins.
    offset: u64,
    is_whole: bool,
    number: u32,
}

/// A line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1, blank ones counted.
    pub(super) number: u32,
    /// Without its end; `None` for one that is too long.
    pub(super) text: Option<Vec<u8>>,
}

impl LineReader {
    /// A reader of lines of at most `longest` bytes.
    pub(super) fn new(blobs: Arc<dyn Blobs>, key: BlobKey, longest: usize) -> Self {
        Self {
            blobs,
            key,
            longest,
            buffer: Vec::new(),
            at: 0,
            offset: 0,
            is_whole: false,
            number: 0,
        }
    }

    /// The next line; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, BlobError> {
        let mut is_too_long = false;
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest);
            let Some(length) =
                end.or_else(|| (self.is_whole && !rest.is_empty()).then_some(rest.len()))
            else {
                if self.is_whole {
                    return Ok(None);
                }
                if rest.len() > self.longest {
                    // The rest of it is skipped.
                    is_too_long = true;
                    self.at = self.buffer.len();
                }
                self.fill().await?;
                continue;
            };
            self.number = self.number.saturating_add(1);
            let mut text = rest.get(..length).unwrap_or_default();
            self.at += length + usize::from(end.is_some());
            if self.number == 1 {
                text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
            }
            let number = self.number;
            if is_too_long || text.len() > self.longest {
                return Ok(Some(Line { number, text: None }));
            }
            let text = text.trim_ascii();
            if !text.is_empty() {
                let text = Some(text.to_vec());
                return Ok(Some(Line { number, text }));
            }
        }
    }

    async fn fill(&mut self) -> Result<(), BlobError> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let range = self.offset..self.offset + CHUNK;
        let piece = self.blobs.read(&self.key, range).await?;
        self.offset += piece.len() as u64;
        self.is_whole = (piece.len() as u64) < CHUNK;
        self.buffer.extend_from_slice(&piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diogenes_core::testing::MemoryBlobs;

    async fn lines(content: &[u8], longest: usize) -> Vec<(u32, Option<String>)> {
        let blobs = Arc::new(MemoryBlobs::default());
        let key = BlobKey::new("x").unwrap();
        blobs.put(&key, content.to_vec(), false).await.unwrap();
        let mut reader = LineReader::new(blobs, key, longest);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await.unwrap() {
            let text = line.text.map(|text| String::from_utf8(text).unwrap());
            lines.push((line.number, text));
        }
        lines
    }

    #[tokio::test]
    async fn blank_lines_count_and_are_left_out() {
        let content = b"\xef\xbb\xbfone\r\n\n  \ntwo\n\nlast";
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            lines(content, 10).await,
            [(1, some("one")), (4, some("two")), (6, some("last"))]
        );
        assert_eq!(lines(b"", 10).await, []);
        assert_eq!(lines(b"\n\n", 10).await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_told_and_the_next_one_read() {
        let long = "x".repeat(3 << 20);
        let content = format!("a\n{long}\nb");
        let read = lines(content.as_bytes(), 1 << 20).await;
        assert_eq!(read, [(1, Some("a".into())), (2, None), (3, Some("b".into()))]);
        let read = lines(content.as_bytes(), 4 << 20).await;
        assert_eq!(read.get(1), Some(&(2, Some(long))));
    }

    #[tokio::test]
    async fn lines_lie_across_pieces_as_they_like() {
        let line = "y".repeat(1023);
        let content = format!("{line}\n").repeat(5000);
        let read = lines(content.as_bytes(), 2000).await;
        assert_eq!(read.len(), 5000);
        assert!(read.iter().all(|(_, text)| text.as_deref() == Some(&*line)));
    }
}
