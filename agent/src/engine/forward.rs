use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

/// How many chunks may wait for the journal.
const WAITING: usize = 256;

/// Passes output on in a thread of its own. A journal that takes nothing more costs lines, never
/// the inference server's or the agent's progress.
#[derive(Clone, Debug)]
pub(crate) struct Forward(SyncSender<Vec<u8>>);

impl Forward {
    /// Passes on to `to`.
    pub(crate) fn to(mut to: Box<dyn Write + Send>) -> io::Result<Self> {
        let (chunks, heard) = sync_channel::<Vec<u8>>(WAITING);
        thread::Builder::new().name("output".into()).spawn(move || {
            for chunk in heard {
                // A journal that is gone may come back.
                let _ = to.write_all(&chunk).and_then(|()| to.flush());
            }
        })?;
        Ok(Self(chunks))
    }

    /// Passes on a chunk, or drops it when too many wait.
    pub(crate) fn send(&self, chunk: &[u8]) {
        match self.0.try_send(chunk.to_vec()) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}
