use diogenes_api::control::JobLogPage;

use super::Which;
use crate::client::{Client, decode};
use crate::commands::{output, time};
use crate::exit::Failure;

/// Prints the log of a job, going on where it has ended the last time.
#[derive(Default)]
pub(super) struct Tail {
    /// The part that was printed last.
    last: Option<u32>,
}

impl Tail {
    /// Prints what has come since; `print` gets each line.
    pub(super) async fn more(
        &mut self,
        client: &Client,
        job: &Which,
        print: impl Fn(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            let after = self.last.map(|number| number.to_string());
            let mut query = job.query();
            query.extend(after.as_deref().map(|after| ("after", after)));
            let page: JobLogPage = decode(client.get(&job.path(&["logs"]), &query).await?)?;
            let is_last = page.next_cursor.is_none() || page.data.is_empty();
            for part in page.data {
                self.last = Some(part.number);
                for line in part.lines {
                    print(&format!("{}  {line}", time::stamp(part.at)))?;
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Prints what there is to standard output.
    pub(super) async fn print(&mut self, client: &Client, job: &Which) -> Result<(), Failure> {
        self.more(client, job, output::line).await
    }

    pub(super) fn has_shown(&self) -> bool {
        self.last.is_some()
    }
}
