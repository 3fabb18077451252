use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diogenes_e2e::{Client, Config, Model, SCRIPT_HEADER, Script, Serve, eventually};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::case::{Cell, Mode, Row};
use crate::verdict::{Received, judge};
use crate::{rows_before, rows_body, rows_status, rows_stream, wire};

/// How many models run at once.
const AT_ONCE: usize = 2;
/// Far more than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);

type Verdict = Result<(), String>;

/// Every row.
pub(crate) fn rows() -> Vec<Row> {
    let parts = [rows_before::rows(), rows_status::rows(), rows_body::rows(), rows_stream::rows()];
    parts.into_iter().flatten().collect()
}

/// Runs the column of this mode.
pub(crate) async fn run(mode: Mode) {
    let folder = TempDir::with_prefix("diogenes-faults-").expect("a folder");
    let rows = rows();
    let lanes = lanes(&rows, mode);
    let models = lanes.iter().map(|lane| lane.model(folder.path()));
    let serve = Serve::start(Config::with(models)).await;
    let column = Column {
        client: serve.client(),
        mode,
        folder: folder.path().to_owned(),
        asked: AtomicUsize::new(0),
    };
    let outcomes: Vec<_> =
        stream::iter(&lanes).map(|lane| column.lane(lane)).buffer_unordered(AT_ONCE).concat().await;

    let mut wrong = Vec::new();
    for (name, outcome) in &outcomes {
        if let Err(why) = outcome {
            wrong.push(format!("{mode}, {name}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), outcomes.len(), wrong.join("\n"));
}

/// Cells that one model after the other goes through.
struct Lane<'a> {
    model: String,
    impatient: bool,
    cells: Vec<(&'static str, &'a Cell)>,
}

/// Boots cost more than requests, so that cells share models. A held stream that ends the process
/// would end it for others.
fn lanes(rows: &[Row], mode: Mode) -> Vec<Lane<'_>> {
    let cells = rows.iter().filter_map(|row| Some((row.name, row.cell(mode)?)));
    let (alone, others): (Vec<_>, Vec<_>) =
        cells.partition(|(_, cell)| mode == Mode::Held && cell.script.is_deadly());
    let (impatient, patient): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|(_, cell)| cell.impatient);
    (0..)
        .zip(alone.chunks(1).chain([&*impatient, &*patient]))
        .map(|(number, cells)| Lane {
            model: format!("model-{number}"),
            impatient: cells.iter().any(|(_, cell)| cell.impatient),
            cells: cells.to_vec(),
        })
        .collect()
}

impl Lane<'_> {
    fn model(&self, folder: &Path) -> Model {
        let timeout = if self.impatient { "2s" } else { "5m" };
        Model::scripted_by_requests(&self.model, folder)
            .line(&format!("stall_timeout = \"{timeout}\""))
            .line(&format!("answer_timeout = \"{timeout}\""))
            .line("max_replicas = 1")
    }
}

/// One column, while it runs.
struct Column {
    client: Client,
    mode: Mode,
    folder: PathBuf,
    asked: AtomicUsize,
}

impl Column {
    async fn lane(&self, lane: &Lane<'_>) -> Vec<(&'static str, Verdict)> {
        let gate = self.folder.join(&lane.model);
        if self.mode == Mode::Held {
            return self.held_lane(lane, &gate).await;
        }
        std::fs::write(gate, "").expect("a folder");
        let mut verdicts = Vec::new();
        for (name, cell) in &lane.cells {
            verdicts.push((*name, self.warm_cell(&lane.model, name, cell).await));
        }
        verdicts
    }

    /// One cell, on a replica that is ready.
    async fn warm_cell(&self, model: &str, name: &str, cell: &Cell) -> Verdict {
        let woken = self.healthy(model, cell.before.clone()).await;
        woken.map_err(|why| format!("before: {why}"))?;
        let before = self.counts(model).await;
        self.request(model, name, cell).await?;
        let counted = self.counts(model).await.broken - before.broken;
        if let Some(counts) = cell.counts()
            && counted != u64::from(counts)
        {
            return Err(format!("{counted} answers were counted as broken"));
        }
        if let Some(tokens) = cell.tokens {
            self.until_tokens(model, (before.tokens.0 + tokens.0, before.tokens.1 + tokens.1))
                .await?;
        }
        self.healthy(model, None).await.map_err(|why| format!("the next request: {why}"))
    }

    /// Every cell at once, as the model is asleep only once. Its replica starts when all are held.
    async fn held_lane(&self, lane: &Lane<'_>, gate: &Path) -> Vec<(&'static str, Verdict)> {
        let model = &lane.model;
        let requests = lane.cells.iter().map(|(name, cell)| self.request(model, name, cell));
        let starts = async {
            let held = format!("holds {} requests", lane.cells.len());
            let all = |state: &Value| state["held"] == lane.cells.len();
            self.client.until_state(model, &held, all).await;
            std::fs::write(gate, "").expect("a folder");
        };
        let (verdicts, ()) = tokio::join!(join_all(requests), starts);
        let names = lane.cells.iter().map(|(name, _)| *name);
        let mut verdicts: Vec<_> = names.zip(verdicts).collect();
        for (_, verdict) in &mut verdicts {
            let next = self.healthy(model, None).await;
            if verdict.is_ok() {
                *verdict = next.map_err(|why| format!("the next request: {why}"));
            }
        }
        if verdicts.iter().all(|(_, verdict)| verdict.is_ok()) {
            let surely = lane.cells.iter().filter(|(_, cell)| cell.counts() == Some(true)).count();
            let perhaps =
                lane.cells.iter().filter(|(_, cell)| cell.counts() != Some(false)).count();
            let counted = self.counts(model).await.broken;
            if !(surely as u64..=perhaps as u64).contains(&counted) {
                let why = format!("{counted} of {surely} to {perhaps} answers counted as broken");
                verdicts.push(("the sum of a lane", Err(why)));
            }
        }
        verdicts
    }

    /// Sends the cell's request, and looks at the answer and at how often the replica saw it.
    async fn request(&self, model: &str, name: &str, cell: &Cell) -> Verdict {
        let body = json!({
            "model": model,
            "stream": self.mode != Mode::Plain,
            "user": name,
            "messages": [{"role": "user", "content": "x".repeat(cell.request_bytes)}],
        });
        let request = self.client.request(Method::POST, cell.path).header("x-case", name);
        judge(cell, self.mode, &self.ask(request, &cell.script, &body).await?)?;
        let seen = std::fs::read_to_string(self.folder.join("seen")).unwrap_or_default();
        let sends = seen.lines().filter(|case| *case == name).count();
        if sends == 1 { Ok(()) } else { Err(format!("the replica saw the request {sends} times")) }
    }

    /// An answer is accounted for after its last byte.
    async fn until_tokens(&self, model: &str, wanted: (u64, u64)) -> Verdict {
        let counted = eventually("the tokens", async || {
            let counted = self.counts(model).await.tokens;
            if counted == wanted { Ok(()) } else { Err(()) }
        });
        let counted = tokio::time::timeout(PATIENCE, counted).await;
        counted.map_err(|_| format!("it does not count {wanted:?} tokens"))
    }

    /// A request that nothing is wrong with gets its own answer.
    async fn healthy(&self, model: &str, script: Option<Script>) -> Verdict {
        // Another one than any other answer: nobody gets that of somebody else.
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let own = format!("{{\"of\":{number}}}");
        let right = Script::new().send(wire::json("200 OK", &own));
        let expected = if script.is_some() { wire::JSON } else { &own };
        let script = script.as_ref().unwrap_or(&right);
        let request = self.client.request(Method::POST, "/v1/completions");
        let received = self.ask(request, script, &json!({"model": model})).await?;
        if received.status == 200 && received.body == expected.as_bytes() {
            return Ok(());
        }
        Err(format!("{received}"))
    }

    async fn ask(
        &self,
        request: RequestBuilder,
        script: &Script,
        body: &Value,
    ) -> Result<Received, String> {
        let request = request.header(SCRIPT_HEADER, script.encode()).timeout(PATIENCE).json(body);
        let mut response = request.send().await.map_err(|error| format!("no answer: {error:?}"))?;
        let mut received = Received {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: Vec::new(),
        };
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => received.body.extend_from_slice(&bytes),
                Ok(None) => return Ok(received),
                Err(error) => return Err(format!("its own framing broke: {error:?}: {received}")),
            }
        }
    }

    /// What the metrics say of a model.
    async fn counts(&self, model: &str) -> Counts {
        let text = self.client.get("/metrics").await.text();
        let model = format!("model=\"{model}\"");
        let sum = |counter: &str, label: &str| {
            text.lines()
                .filter(|line| line.starts_with(counter) && line.contains(&model))
                .filter(|line| line.contains(label))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
                .sum()
        };
        let tokens = |kind| sum("diogenes_tokens_total", kind);
        Counts {
            broken: sum("diogenes_broken_answers_total", ""),
            tokens: (tokens("\"prompt\""), tokens("\"completion\"")),
        }
    }
}

/// What the metrics count of a model.
#[derive(Debug, Default)]
struct Counts {
    broken: u64,
    /// Prompt and completion.
    tokens: (u64, u64),
}
