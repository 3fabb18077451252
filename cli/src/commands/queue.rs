use clap::Subcommand;
use diogenes_api::control::{ChangeQueue, QueueBody, QueueList};
use diogenes_core::Timestamp;

use super::options::Options;
use super::{output, time};
use crate::client::decode;
use crate::exit::Failure;

/// See how much there is to do, and pause, resume and bound queues.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes queue list
  diogenes queue pause batch     # what runs goes on; nothing new begins
  diogenes queue resume batch
  diogenes queue limit batch 2   # at most two at once, over all workers")]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(ListArgs),
    Pause(PauseArgs),
    Resume(ResumeArgs),
    Limit(LimitArgs),
}

/// List the queues, and how much there is to do in them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes queue list
  diogenes queue list -o json | jq '.data[] | {name, available}'")]
struct ListArgs {}

/// Begin none of a queue's jobs. What runs goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes queue pause batch")]
struct PauseArgs {
    /// The queue's name
    name: String,
}

/// Begin a queue's jobs again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes queue resume batch")]
struct ResumeArgs {
    /// The queue's name
    name: String,
}

/// Bound how many of a queue's jobs run at once, over all workers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes queue limit batch 2
  diogenes queue limit batch none")]
struct LimitArgs {
    /// The queue's name
    name: String,
    /// How many; `none` for as many as the workers take
    #[arg(value_name = "N|none", value_parser = most)]
    most: u32,
}

/// The server takes 0 for no bound.
fn most(text: &str) -> Result<u32, String> {
    if text == "none" {
        return Ok(0);
    }
    match crate::wording::number::<u32>(text)? {
        0 => Err("use 1 or more, or `none`; to begin nothing, pause the queue".into()),
        most => Ok(most),
    }
}

pub(super) async fn run(args: QueueArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    let (name, change) = match args.action {
        Action::List(ListArgs {}) => {
            let list = client.get(&["api", "v1", "queues"], &[]).await?;
            return output::result(format, &list, || {
                Ok(table(&decode::<QueueList>(list.clone())?.data, Timestamp::now()))
            });
        }
        Action::Pause(PauseArgs { name }) => {
            (name, ChangeQueue { paused: Some(true), ..ChangeQueue::default() })
        }
        Action::Resume(ResumeArgs { name }) => {
            (name, ChangeQueue { paused: Some(false), ..ChangeQueue::default() })
        }
        Action::Limit(LimitArgs { name, most }) => {
            (name, ChangeQueue { max_running: Some(most), ..ChangeQueue::default() })
        }
    };
    let queue = client.patch(&["api", "v1", "queues", &name], &change).await?;
    output::result(format, &queue, || {
        Ok(table(&[decode::<QueueBody>(queue.clone())?], Timestamp::now()))
    })
}

fn table(queues: &[QueueBody], now: Timestamp) -> String {
    // More are not counted.
    let count = |count: usize| if count >= 1000 { "1000+".into() } else { count.to_string() };
    output::table(
        &["QUEUE", "STATE", "RUNNING", "AVAILABLE", "WAITING", "OLDEST"],
        queues.iter().map(|queue| {
            let running = count(queue.running);
            vec![
                queue.name.clone(),
                if queue.paused_at.is_some() { "paused".into() } else { "active".into() },
                match queue.max_running {
                    Some(most) => format!("{running}/{most}"),
                    None => running,
                },
                count(queue.available),
                count(queue.waiting),
                queue.oldest.map_or_else(|| "-".into(), |at| time::rough(time::since(at, now))),
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_shown_one_a_line() {
        let queues: Vec<QueueBody> = serde_json::from_value(serde_json::json!([
            {"name": "batch", "paused_at": null, "max_running": 2, "available": 3, "waiting": 0,
             "running": 2, "oldest": "2026-01-01T00:00:00Z"},
            {"name": "mail", "paused_at": "2026-01-01T00:00:00Z", "max_running": null,
             "available": 1000, "waiting": 1, "running": 0, "oldest": null},
        ]))
        .expect("queues");
        let now = "2026-01-01T00:01:30Z".parse().expect("a time");
        assert_eq!(
            table(&queues, now),
            "QUEUE  STATE   RUNNING  AVAILABLE  WAITING  OLDEST\n\
             batch  active  2/2      3          0        90s\n\
             mail   paused  0        1000+      1        -"
        );
    }

    #[test]
    fn a_limit_is_a_number_or_none() {
        assert_eq!((most("3"), most("none")), (Ok(3), Ok(0)));
        assert!(most("0").is_err() && most("-1").is_err() && most("x").is_err());
    }
}
