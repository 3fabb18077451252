use anyhow::Context;

/// Reads an answer with `transfer-encoding: chunked`: takes bytes of the connection, gives those of
/// the body. A proxy may split an event between two chunks, so the framing has to go.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    /// The head or a line between chunks, as far as it has come.
    line: Vec<u8>,
    past_head: bool,
    /// Of the chunk that is coming.
    left: usize,
    /// The chunk of size 0 has come.
    last: bool,
    /// The answer is whole.
    pub(crate) ended: bool,
}

impl Chunked {
    pub(crate) fn take(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (now, rest) = bytes.split_at(self.left.min(bytes.len()));
                body.extend_from_slice(now);
                self.left -= now.len();
                bytes = rest;
            } else {
                let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
                let (now, rest) = bytes.split_at(end);
                self.line.extend_from_slice(now);
                if now.ends_with(b"\n") {
                    self.line_ended()?;
                }
                bytes = rest;
            }
        }
        Ok(())
    }

    fn line_ended(&mut self) -> anyhow::Result<()> {
        if !self.past_head {
            self.past_head = self.line.ends_with(b"\r\n\r\n");
            if !self.past_head {
                return Ok(());
            }
        } else if self.line.trim_ascii().is_empty() {
            self.ended = self.last;
        } else if !self.last {
            let text = String::from_utf8_lossy(&self.line).into_owned();
            let size = text.split(';').next().unwrap_or("").trim();
            self.left = usize::from_str_radix(size, 16)
                .with_context(|| format!("`{size}` is not the size of a chunk"))?;
            self.last = self.left == 0;
        }
        self.line.clear();
        Ok(())
    }
}
