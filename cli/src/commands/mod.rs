//! The operator's commands. They speak HTTP; only `serve` opens its data directory.

mod audit;
mod batch;
mod budget;
mod change;
mod chat;
mod completions;
mod confirmation;
mod controls;
mod cost;
mod dataset;
mod deploy;
mod doctor;
mod embed;
mod eval;
mod fields;
mod file;
mod health;
mod job;
mod key;
mod logs;
mod model;
mod options;
pub(crate) mod output;
mod prices;
mod progress;
mod project;
mod prompt;
mod provider;
mod ps;
mod queue;
mod route;
mod scale;
mod schedule;
mod screen;
mod time;
mod usage;

use clap::Subcommand;

pub(crate) use completions::answer_shell;
pub(crate) use options::{Options, RootOptions};

use crate::exit::{Failure, Kind};

/// Shown below `diogenes --help`.
pub(crate) const HELP: &str = "Examples:
  diogenes serve --demo            serve a model that needs no GPU
  diogenes chat demo \"Hello!\"      ask it a question, which starts it
  diogenes ps --watch              watch the fleet
  diogenes doctor                  find out what is wrong

Errors are printed on standard error: as a line of text, or with `-o json` and `-o yaml` as an
object with message, kind and exit code and, if the server sent the error, its code and request id.

Exit codes:
  0  success
  1  any other failure
  2  invalid flags or configuration
  3  the data directory cannot be used
  4  the server cannot be reached or is shutting down, or its port is in use
  5  the API key is missing or refused
  6  the model, route, provider, key, project, budget, batch, file, job, schedule, prompt, eval
     run or deployment does not exist
  7  the model could not be started
  8  `doctor` or `provider check` found a problem
  9  a job that was waited for failed or was cancelled
  100  an eval run is below a threshold, or worse than another one; a deployment was rolled back
  101  an eval run or comparison is inconclusive

Environment, where an empty variable counts as unset:
  DIOGENES_URL         the server's URL [default: that of the `serve` that runs with the data
                       directory, else http://127.0.0.1:8080]
  DIOGENES_API_KEY     the API key [default: `admin.key` in the data directory, on this machine]
  DIOGENES_CONFIG      the configuration file of `serve`, of which the other commands read
                       `data_dir`, and `prices import` also `prices` [default: ./diogenes.toml, if
                       it exists]
  DIOGENES_DATA_DIR    the data directory [default: that of the file, else
                       $XDG_DATA_HOME/diogenes]
  DIOGENES_LISTEN, DIOGENES_ON_SHUTDOWN, DIOGENES_DRAIN_TIMEOUT, DIOGENES_MAX_BODY_BYTES
                       the flags of `serve` of the same names
  DIOGENES_LOG         the log filter of `serve`: `debug`, `info`, `diogenes_api=debug` …
  DIOGENES_LOG_FORMAT  `json` for structured logs
  DIOGENES_STACK       the stack of `doctor --aws` [default: diogenes]
  AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL …
                       AWS's own, for --aws, --table and --stack
  NO_COLOR             turns colours off";

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    Chat(chat::ChatArgs),
    Embed(embed::EmbedArgs),
    Ps(ps::PsArgs),
    Up(scale::UpArgs),
    Down(scale::DownArgs),
    Pin(scale::PinArgs),
    Unpin(scale::UnpinArgs),
    Logs(logs::LogsArgs),
    Batch(batch::BatchArgs),
    File(file::FileArgs),
    Job(job::JobArgs),
    Queue(queue::QueueArgs),
    Schedule(schedule::ScheduleArgs),
    Prompt(prompt::PromptArgs),
    Dataset(dataset::DatasetArgs),
    Eval(eval::EvalArgs),
    Deploy(deploy::DeployArgs),
    Model(model::ModelArgs),
    Route(route::RouteArgs),
    Provider(provider::ProviderArgs),
    Key(key::KeyArgs),
    Project(project::ProjectArgs),
    Budget(budget::BudgetArgs),
    Usage(usage::UsageArgs),
    Cost(cost::CostArgs),
    Prices(prices::PricesArgs),
    Audit(audit::AuditArgs),
    Health(health::HealthArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs a command to its end.
pub(crate) fn run(command: ClientCommand) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            let error = anyhow::Error::new(error).context("the async runtime cannot be started");
            Failure { kind: Kind::Other, error }
        })?;
    let done = runtime.block_on(async {
        match command {
            ClientCommand::Chat(args) => chat::run(args).await,
            ClientCommand::Embed(args) => embed::run(args).await,
            ClientCommand::Ps(args) => ps::run(args).await,
            ClientCommand::Up(args) => scale::up(args).await,
            ClientCommand::Down(args) => scale::down(args).await,
            ClientCommand::Pin(args) => scale::pin(args).await,
            ClientCommand::Unpin(args) => scale::unpin(args).await,
            ClientCommand::Logs(args) => logs::run(args).await,
            ClientCommand::Batch(args) => batch::run(args).await,
            ClientCommand::File(args) => file::run(args).await,
            ClientCommand::Job(args) => job::run(args).await,
            ClientCommand::Queue(args) => queue::run(args).await,
            ClientCommand::Schedule(args) => schedule::run(args).await,
            ClientCommand::Prompt(args) => prompt::run(args).await,
            ClientCommand::Dataset(args) => dataset::run(args).await,
            ClientCommand::Eval(args) => eval::run(args).await,
            ClientCommand::Deploy(args) => deploy::run(args).await,
            ClientCommand::Model(args) => model::run(args).await,
            ClientCommand::Route(args) => route::run(args).await,
            ClientCommand::Provider(args) => provider::run(args).await,
            ClientCommand::Key(args) => key::run(args).await,
            ClientCommand::Project(args) => project::run(args).await,
            ClientCommand::Budget(args) => budget::run(args).await,
            ClientCommand::Usage(args) => usage::run(args).await,
            ClientCommand::Cost(args) => cost::run(args).await,
            ClientCommand::Prices(args) => prices::run(args).await,
            ClientCommand::Audit(args) => audit::run(args).await,
            ClientCommand::Health(args) => health::run(args).await,
            ClientCommand::Doctor(args) => doctor::run(args).await,
            ClientCommand::Completions(args) => completions::run(&args),
        }
    });
    // A line that nobody will finish typing must not keep the program from its end.
    runtime.shutdown_background();
    match done {
        Err(failure) if output::is_closed(&failure) => Ok(()),
        done => done,
    }
}
