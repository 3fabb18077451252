//! A blob that is read as a file, by a thread that may wait.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use diogenes_core::ports::{BlobKey, Blobs};
use diogenes_formats::Source;
use tokio::runtime::Handle;

/// How much is read at once, in bytes.
const PIECE: u64 = 1 << 20;

pub(super) struct BlobSource {
    blobs: Arc<dyn Blobs>,
    key: BlobKey,
    size: u64,
    runtime: Handle,
    at: u64,
    piece: Vec<u8>,
    /// Where the piece begins.
    start: u64,
}

impl BlobSource {
    pub(super) fn new(blobs: Arc<dyn Blobs>, key: BlobKey, size: u64, runtime: Handle) -> Self {
        Self { blobs, key, size, runtime, at: 0, piece: Vec::new(), start: 0 }
    }

    /// What of the piece at hand is from here on.
    fn rest(&self) -> &[u8] {
        let offset =
            self.at.checked_sub(self.start).and_then(|offset| usize::try_from(offset).ok());
        offset.and_then(|offset| self.piece.get(offset..)).unwrap_or_default()
    }
}

impl Read for BlobSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size {
            return Ok(0);
        }
        if self.rest().is_empty() {
            let range = self.at..self.size.min(self.at.saturating_add(PIECE));
            let piece = self.runtime.block_on(self.blobs.read(&self.key, range));
            self.piece = piece.map_err(io::Error::other)?;
            self.start = self.at;
            if self.piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.rest();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for BlobSource {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl Source for BlobSource {
    fn size(&self) -> u64 {
        self.size
    }
}
