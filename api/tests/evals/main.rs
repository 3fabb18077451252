//! Runs of evals from their creation to a comparison, over HTTP to an upstream that can misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the fixtures are not inside test functions"
)]

mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use diogenes_api::evals::EvalRunner;
use diogenes_api::jobs::{Handler, Lane, LocalJobs, Worker};
use diogenes_api::metrics::Metrics;
use diogenes_api::proxy::{Dispatcher, FleetViews, Gateway, GatewaySettings, WayOut};
use diogenes_core::Timestamp;
use diogenes_core::audit::Actor;
use diogenes_core::evals::evaluators::EvaluatorSpec;
use diogenes_core::evals::stats::{Confidence, Criteria, Margin, Resampling, Verdict};
use diogenes_core::evals::{
    BothRuns, EvalExample, EvalResult, EvalRun, EvalStatus, Evals, Gate, NewEval, RunComparison,
    compare_runs,
};
use diogenes_core::gateway::catalog::{CatalogEditor, Precondition, SecretRule};
use diogenes_core::jobs::{Capacity, JobKind, Jobs, QueueName};
use diogenes_core::keys::{Keys, LocalLimiter};
use diogenes_core::ports::{Clock, Entropy, SecretSource, StateStore};
use diogenes_core::prompts::{NewVersion, PromptShelf, Prompts};
use diogenes_core::secret::{Secret, SecretRef};
use diogenes_core::tenancy::{Allowed, ProjectId};
use diogenes_core::testing::{CountingWake, MemoryExamples, MemoryStore, SeededEntropy};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use upstream::Upstream;

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

struct NoSecrets;

#[async_trait::async_trait]
impl SecretSource for NoSecrets {
    async fn read(&self, _: &SecretRef) -> Result<Secret, String> {
        Err("is not there".into())
    }
}

struct World {
    clock: Arc<dyn Clock>,
    jobs: Jobs,
    evals: Evals,
    prompts: Prompts,
    examples: MemoryExamples,
    gateway: Arc<Gateway>,
    keys: Keys,
    upstream: Upstream,
}

impl World {
    async fn new() -> Self {
        let upstream = Upstream::start().await;
        let clock: Arc<dyn Clock> = Arc::new(Now);
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
        let wake = Arc::new(CountingWake::default());
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone(), wake.clone());
        let keys = Keys::new(store.clone(), clock.clone(), entropy.clone());
        let prompts = Prompts::new(store.clone(), clock.clone(), entropy.clone());
        let examples = MemoryExamples::default();
        let source = Arc::new(examples.clone());
        let evals = Evals::new(
            store.clone(),
            jobs.clone(),
            prompts.clone(),
            source,
            clock.clone(),
            entropy,
        );
        let dispatcher = Dispatcher::new(Arc::new(Metrics::default()), clock.clone(), wake);
        let way_out = WayOut { secrets: Arc::new(NoSecrets), store: store.clone() };
        let dispatcher = Arc::new(dispatcher.with_way_out(way_out));
        let editor = CatalogEditor::new(store.clone(), clock.clone(), SecretRule::Machine);
        let provider = json!({"kind": "openai", "base_url": upstream.base_url()});
        let provider = serde_json::from_value(provider).unwrap();
        let name = "up".parse().unwrap();
        let added = editor
            .apply_provider(&Actor::operator(), &name, &provider, &Precondition::None)
            .await
            .unwrap();
        dispatcher.publish_catalog(&added.1).unwrap();
        let shelf = Arc::new(PromptShelf::new(store.clone(), clock.clone()));
        let gateway = Gateway::new(
            FleetViews::local(dispatcher),
            Arc::new(LocalLimiter::default()),
            clock.clone(),
            GatewaySettings::default(),
        );
        let gateway = Arc::new(gateway.with_prompts(shelf));
        Self { clock, jobs, evals, prompts, examples, gateway, keys, upstream }
    }

    /// With so many examples, whose expected outputs are what the upstream answers.
    async fn with_examples(count: usize) -> Self {
        let world = Self::new().await;
        let example = |number: usize| EvalExample {
            id: format!("ex_{number:05}"),
            input: json!(format!("question {number}")),
            expected: Some(json!(format!("answer {number}"))),
            tags: [format!("t{}", number % 2)].into(),
            ..EvalExample::default()
        };
        world.examples.put("golden", (0..count).map(example).collect());
        world
    }

    async fn create(&self, new: NewEval) -> EvalRun {
        let by = Allowed::operator();
        let draft = self.evals.draft(&by, new).await.unwrap();
        self.evals.create(&by, String::new(), draft).await.unwrap()
    }

    /// Works on jobs until told otherwise.
    fn work(&self) -> oneshot::Sender<()> {
        let runner = EvalRunner {
            evals: self.evals.clone(),
            keys: self.keys.clone(),
            gateway: self.gateway.clone(),
            clock: self.clock.clone(),
            webhooks: None,
        };
        let handlers: BTreeMap<JobKind, Arc<dyn Handler>> =
            BTreeMap::from([(EvalRun::JOB, Arc::new(runner) as Arc<dyn Handler>)]);
        let worker = Worker {
            source: Arc::new(LocalJobs {
                jobs: self.jobs.clone(),
                clock: self.clock.clone(),
                name: "serve".into(),
            }),
            lanes: vec![Lane { queue: QueueName::from(&EvalRun::JOB), concurrency: 4 }],
            most: usize::MAX,
            capacity: Capacity::default(),
            handlers,
            grace: Duration::from_secs(5),
            bell: Arc::new(Notify::new()),
            metrics: Metrics::default().jobs().clone(),
        };
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(worker.run(stopped));
        stop
    }

    async fn load(&self, run: &EvalRun) -> EvalRun {
        self.evals.get(&Allowed::operator(), &run.project, run.id.as_str()).await.unwrap()
    }

    /// Waits until a run has ended.
    async fn ended(&self, run: &EvalRun) -> EvalRun {
        self.until(run, |run| run.status.is_final()).await
    }

    async fn until(&self, run: &EvalRun, is_so: impl Fn(&EvalRun) -> bool) -> EvalRun {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            let now = self.load(run).await;
            if is_so(&now) {
                return now;
            }
            assert!(tokio::time::Instant::now() < deadline, "{now:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn results(&self, run: &EvalRun) -> Vec<EvalResult> {
        let (by, mut all, mut cursor) = (Allowed::operator(), Vec::new(), None);
        loop {
            let id = run.id.as_str();
            let page = self.evals.results(&by, &run.project, id, false, 500, cursor).await.unwrap();
            all.extend(page.results);
            cursor = page.next;
            if cursor.is_none() {
                return all;
            }
        }
    }

    async fn compare(&self, one: &EvalRun, other: &EvalRun) -> RunComparison {
        let (by, ids) = (Allowed::operator(), (one.id.as_str(), other.id.as_str()));
        let both = self.evals.both(&by, &one.project, ids.0, ids.1).await.unwrap();
        let criteria = Criteria {
            confidence: Confidence::USUAL,
            margin: Margin::default(),
            resampling: Resampling::usual(0),
        };
        let BothRuns { baseline, candidate, shared, rows, warnings } = both;
        compare_runs((&baseline, &candidate), &shared, &rows, &criteria, warnings).unwrap()
    }
}

fn evaluators(specs: Value) -> Vec<EvaluatorSpec> {
    serde_json::from_value(specs).unwrap()
}

fn exact(model: &str) -> NewEval {
    NewEval {
        model: Some(model.into()),
        dataset: "golden".into(),
        evaluators: evaluators(json!([{"type": "exact_match"}])),
        attempts: Some(1),
        ..NewEval::default()
    }
}

#[tokio::test]
async fn every_example_gets_one_result() {
    let world = World::with_examples(120).await;
    let run = world.create(NewEval { repeats: Some(2), ..exact("up/good") }).await;
    let _worker = world.work();
    let done = world.ended(&run).await;
    assert_eq!((done.status, done.tally.completed, done.total), (EvalStatus::Completed, 240, 240));
    assert_eq!((done.tally.passed, done.tally.unmeasured), (240, 0));
    let results = world.results(&run).await;
    let places: Vec<_> = results.iter().map(|result| (result.position, result.repeat)).collect();
    let wanted: Vec<_> = (0..120).flat_map(|position| [(position, 0), (position, 1)]).collect();
    assert_eq!(places, wanted);
    assert_eq!(results[9].answer.as_deref(), Some("answer 4"));
    assert_eq!(done.tally.bill.output, 240 * 2, "two tokens each");
    assert_eq!(world.upstream.asked(), 240);
    assert_eq!(done.tally.gate(&done.config.evaluators, Some(1.0), None), Gate::Passed);
}

#[tokio::test]
async fn a_prompt_is_filled_from_the_input() {
    let world = World::with_examples(5).await;
    let content = json!({"model": "up/good", "messages": [{"role": "user", "content": "{{ q }}"}],
        "variables": [{"name": "q"}]});
    let content = serde_json::from_value(content).unwrap();
    let new = NewVersion { content, ..NewVersion::default() };
    let project = ProjectId::default();
    world.prompts.push(&Allowed::operator(), &project, "asker", new).await.unwrap();
    let new = NewEval { model: None, prompt: Some("asker:v1".into()), ..exact("") };
    let run = world.create(new).await;
    let _worker = world.work();
    let done = world.ended(&run).await;
    assert_eq!((done.status, done.tally.passed), (EvalStatus::Completed, 5), "{done:#?}");
}

#[tokio::test]
async fn an_upstream_that_fails_half_way_leaves_results_unmeasured() {
    let world = World::with_examples(100).await;
    let run = world.create(exact("up/fails")).await;
    let _worker = world.work();
    let done = world.ended(&run).await;
    assert_eq!(done.status, EvalStatus::Completed);
    let tally = &done.tally;
    assert_eq!((tally.completed, tally.passed, tally.unmeasured, tally.errors), (100, 90, 10, 10));
    assert_eq!(tally.overall(&done.config.evaluators), Some(1.0), "no zero is made of it");
    let gate = tally.gate(&done.config.evaluators, None, None);
    assert!(matches!(&gate, Gate::Inconclusive { why } if why.contains("10 of 100")), "{gate:?}");
    let results = world.results(&run).await;
    let failed = &results[7];
    assert!(failed.error.as_ref().unwrap().contains("out of order"), "{failed:#?}");
    assert_eq!(failed.verdicts[0].score(), None);
}

#[tokio::test]
async fn a_killed_worker_is_followed_by_one_that_pays_for_no_more_than_was_under_way() {
    let world = World::with_examples(300).await;
    let run = world.create(NewEval { concurrency: Some(10), ..exact("up/slow") }).await;
    for _ in 0..3 {
        let before = world.results(&run).await.len();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let worker = {
            let _inside = runtime.enter();
            world.work()
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while world.results(&run).await.len() < before + 30 {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // As a kill would: whatever it does stops where it is.
        runtime.shutdown_background();
        drop(worker);
    }
    let _worker = world.work();
    let done = world.ended(&run).await;
    assert_eq!((done.status, done.tally.completed), (EvalStatus::Completed, 300), "{done:#?}");
    assert_eq!(world.results(&run).await.len(), 300);
    let asked = world.upstream.asked();
    assert!((300..=300 + 3 * 10).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_cancelled_run_keeps_what_was_answered() {
    let world = World::with_examples(300).await;
    let run = world.create(NewEval { concurrency: Some(4), ..exact("up/slow") }).await;
    let _worker = world.work();
    world.until(&run, |run| run.tally.completed > 0).await;
    let by = Allowed::operator();
    world.evals.cancel(&by, &run.project, run.id.as_str()).await.unwrap();
    let done = world.ended(&run).await;
    assert_eq!(done.status, EvalStatus::Cancelled);
    let kept = world.results(&run).await.len();
    assert_eq!(kept, done.tally.completed as usize);
    assert!((1..300).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_judge_grades_and_what_it_cannot_say_is_unmeasured() {
    let world = World::with_examples(20).await;
    let judge = |model: &str| json!({"type": "llm_judge", "name": model, "params": {"model": model, "rubric": "It is right."}});
    let judges = ["up/judge", "up/nonsense", "up/echo"].map(judge);
    let new = NewEval { evaluators: evaluators(json!(judges)), ..exact("up/wrong") };
    let run = world.create(new).await;
    let _worker = world.work();
    let done = world.ended(&run).await;
    let [good, nonsense, echo] = &done.tally.evaluators[..] else { panic!("{done:#?}") };
    // Every other answer is wrong, and this judge knows.
    assert_eq!((good.measured, good.passed), (20, 10));
    assert_eq!((nonsense.measured, nonsense.unmeasured), (0, 20));
    assert_eq!((echo.measured, echo.unmeasured), (0, 20), "it was talked round");
    assert!(done.tally.judge_bill.output > 0);
    assert_eq!(done.tally.overall(&done.config.evaluators), None);
    assert_eq!(done.tally.completed, 20);
    let results = world.results(&run).await;
    assert!(results[0].verdicts[1].explanation().contains("gave no verdict"), "{results:#?}");
}

#[tokio::test]
async fn similarity_is_the_cosine_of_embeddings() {
    let world = World::with_examples(4).await;
    let similar =
        json!([{"type": "semantic_similarity", "threshold": 0.9, "params": {"model": "up/embed"}}]);
    let run = world.create(NewEval { evaluators: evaluators(similar), ..exact("up/wrong") }).await;
    let _worker = world.work();
    let done = world.ended(&run).await;
    let tally = done.tally.evaluators[0];
    assert_eq!((tally.measured, tally.passed), (4, 2), "{done:#?}");
}

#[tokio::test]
async fn recorded_answers_are_asked_of_nobody() {
    let world = World::new().await;
    let example = |number: usize| {
        let answer = if number == 2 { Value::Null } else { json!("yes") };
        EvalExample {
            id: number.to_string(),
            input: json!("?"),
            expected: Some(json!("yes")),
            metadata: json!({"answer": answer}).as_object().unwrap().clone(),
            ..EvalExample::default()
        }
    };
    world.examples.put("golden", (0..3).map(example).collect());
    let new = NewEval { model: None, column: Some("metadata.answer".into()), ..exact("") };
    let run = world.create(new).await;
    let _worker = world.work();
    let done = world.ended(&run).await;
    assert_eq!((done.tally.passed, done.tally.unmeasured), (2, 1), "{done:#?}");
    assert_eq!(world.upstream.asked(), 0);
}

#[tokio::test]
async fn two_runs_are_compared_on_one_snapshot() {
    let world = World::with_examples(200).await;
    let old = world.create(exact("up/wrong")).await;
    let new = world.create(exact("up/good")).await;
    // What is added meanwhile is no part of either.
    world.examples.put("golden", vec![EvalExample::default()]);
    let _worker = world.work();
    let (old, new) = (world.ended(&old).await, world.ended(&new).await);
    let compared = world.compare(&old, &new).await;
    assert_eq!(compared.verdict, Verdict::Improved, "{:?}", compared.headline);
    assert!(
        compared.headline[0].starts_with("Yes: `up/good` is better than `up/wrong` by 50.0 points")
    );
    assert_eq!(compared.changed.len(), 100);
}

#[tokio::test]
async fn a_model_that_nobody_knows_fails_the_run_and_says_so() {
    let world = World::with_examples(3).await;
    let run = world.create(exact("nowhere")).await;
    let _worker = world.work();
    let done = world.ended(&run).await;
    assert_eq!(done.status, EvalStatus::Failed);
    assert!(done.problem.as_ref().unwrap().contains("nowhere"), "{done:#?}");
}

/// 10,000 examples against an upstream of 50 ms, 64 at once; `cargo test -p diogenes-api --release --test evals --
/// --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "what was measured is for who has asked for it")]
async fn many_examples_take_hardly_longer_than_their_upstream() {
    let world = World::with_examples(10_000).await;
    let run = world.create(NewEval { concurrency: Some(64), ..exact("up/fifty") }).await;
    let began = std::time::Instant::now();
    let _worker = world.work();
    let done = loop {
        let now = world.load(&run).await;
        if now.status.is_final() {
            break now;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let took = began.elapsed();
    let ideal = Duration::from_millis(50) * 10_000 / 64;
    eprintln!(
        "{} in {took:?}; ideal {ideal:?}; {:.2} times",
        done.tally.completed,
        took.as_secs_f64() / ideal.as_secs_f64()
    );
    assert_eq!(done.tally.completed, 10_000);
}
