use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Threads that own a connection each and share one queue of jobs.
///
/// Dropping them lets the queued jobs finish, closes the connections and waits for that.
pub(super) struct Workers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// Why a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It was never begun.
    NotBegun,
    /// It was begun, and its thread ended in the middle.
    Unknown,
}

impl Workers {
    pub(super) fn start(name: &str, connections: Vec<Connection>) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = Self { jobs: Some(jobs), threads: Vec::with_capacity(connections.len()) };
        for mut connection in connections {
            let queue = Arc::clone(&queue);
            let thread = Builder::new().name(name.into()).spawn(move || {
                while let Some(job) = next(&queue) {
                    job(&mut connection);
                }
            })?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Runs `work` on one of the threads. It also runs to its end when the caller stops waiting.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Whoever asked may be gone; then nobody wants the answer.
            let _ = reply.send(work(connection));
        });
        let jobs = self.jobs.as_ref().ok_or(Lost::NotBegun)?;
        jobs.send(job).map_err(|_| Lost::NotBegun)?;
        answer.await.map_err(|_| Lost::Unknown)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
