use std::sync::Arc;

use pollster::block_on;
use serde_json::{Value, json};

use super::evaluators::{EvaluatorSpec, Scored};
use super::stats::{Confidence, Criteria, Margin, Resampling, Verdict};
use super::*;
use crate::Timestamp;
use crate::batches::Bill;
use crate::entity::{Entity, StoreExt};
use crate::jobs::Jobs;
use crate::ports::{Clock, Expect, StateStore};
use crate::prompts::{NewVersion, Prompts};
use crate::tenancy::{Allowed, ProjectId, may};
use crate::testing::{CountingWake, ManualClock, MemoryExamples, MemoryStore, SeededEntropy};

struct World {
    evals: Evals,
    prompts: Prompts,
    jobs: Jobs,
    store: Arc<dyn StateStore>,
    examples: MemoryExamples,
}

impl World {
    fn new() -> Self {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(now));
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let wake = Arc::new(CountingWake::default());
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone(), wake);
        let prompts = Prompts::new(store.clone(), clock.clone(), entropy.clone());
        let examples = MemoryExamples::default();
        let source = Arc::new(examples.clone());
        let evals =
            Evals::new(store.clone(), jobs.clone(), prompts.clone(), source, clock, entropy);
        Self { evals, prompts, jobs, store, examples }
    }

    /// With so many examples of two tags.
    fn with_examples(count: usize) -> Self {
        let world = Self::new();
        let example = |number: usize| EvalExample {
            id: format!("ex_{number}"),
            input: json!(format!("question {number}")),
            expected: Some(json!("yes")),
            tags: [if number.is_multiple_of(2) { "even" } else { "odd" }.to_owned()].into(),
            ..EvalExample::default()
        };
        world.examples.put("golden", (0..count).map(example).collect());
        world
    }

    async fn draft(&self, new: Value) -> Result<Draft, EvalError> {
        self.evals.draft(&Allowed::<may::EvalsWrite>::operator(), wanted(new)).await
    }

    async fn create(&self, new: Value) -> EvalRun {
        let draft = self.draft(new).await.unwrap();
        self.evals.create(&Allowed::operator(), String::new(), draft).await.unwrap()
    }

    /// Ends a run in which the answers at these positions are right.
    async fn finish(&self, run: &EvalRun, is_right: impl Fn(u32) -> Option<bool>) -> EvalRun {
        let mut ended = run.ended(EvalStatus::Completed, None, run.created_at).unwrap();
        ended.tally = Tally::default();
        for position in Evals::positions(&run.config) {
            let verdict = match is_right(position) {
                Some(passed) => Scored::is(passed, ""),
                None => Scored::unmeasured("cut"),
            };
            let result = result(run, position, verdict);
            ended.tally.add(&result);
            self.store.save(result, Expect::Absent).await.unwrap();
        }
        self.store.save(ended, Expect::Any).await.unwrap().value
    }

    async fn compare(&self, one: &EvalRun, other: &EvalRun) -> Result<RunComparison, EvalError> {
        let (by, project) = (Allowed::operator(), ProjectId::default());
        let both = self.evals.both(&by, &project, one.id.as_str(), other.id.as_str()).await?;
        let criteria = Criteria {
            confidence: Confidence::USUAL,
            margin: Margin::default(),
            resampling: Resampling::usual(0),
        };
        let BothRuns { baseline, candidate, shared, rows, warnings } = both;
        compare_runs((&baseline, &candidate), &shared, &rows, &criteria, warnings)
    }
}

fn result(run: &EvalRun, position: u32, verdict: Scored) -> EvalResult {
    EvalResult {
        project: run.project.clone(),
        run: run.id.clone(),
        position,
        repeat: 0,
        example: format!("ex_{position}"),
        input: json!("x"),
        expected: None,
        answer: Some("yes".into()),
        tags: [if position.is_multiple_of(2) { "even" } else { "odd" }.to_owned()].into(),
        cluster: None,
        verdicts: vec![verdict],
        latency_ms: 1,
        finish_reason: None,
        bill: Bill::default(),
        judge_bill: Bill::default(),
        error: None,
        is_shortened: false,
        until: EvalResult::kept_until(run),
    }
}

/// With whatever is not said.
#[expect(clippy::needless_pass_by_value, reason = "cases are written in place")]
fn wanted(new: Value) -> NewEval {
    let text = |name: &str| new[name].as_str().map(str::to_owned);
    let evaluators: Vec<EvaluatorSpec> = match &new["evaluators"] {
        Value::Null => serde_json::from_value(json!([{"type": "exact_match"}])).unwrap(),
        some => serde_json::from_value(some.clone()).unwrap(),
    };
    NewEval {
        prompt: text("prompt"),
        model: text("model"),
        column: text("column"),
        dataset: text("dataset").unwrap_or_else(|| "golden".into()),
        evaluators,
        sample_size: new["sample_size"].as_u64().map(|size| u32::try_from(size).unwrap()),
        repeats: new["repeats"].as_u64().map(|repeats| u32::try_from(repeats).unwrap()),
        min_score: new["min_score"].as_f64(),
        cluster_by: text("cluster_by"),
        parameters: new["parameters"].as_object().cloned().unwrap_or_default(),
        ..NewEval::default()
    }
}

#[test]
fn a_run_pins_prompt_and_snapshot() {
    block_on(async {
        let world = World::with_examples(3);
        let content = json!({"model": "small", "messages": [{"role": "user", "content": "{{ q }}"}],
            "variables": [{"name": "q"}]});
        let new = NewVersion {
            content: serde_json::from_value(content).unwrap(),
            ..NewVersion::default()
        };
        let project = ProjectId::default();
        world.prompts.push(&Allowed::operator(), &project, "asker", new).await.unwrap();
        let run = world.create(json!({"prompt": "asker:latest"})).await;
        assert_eq!(
            run.config.subject,
            Subject::Prompt {
                slug: "asker".into(),
                version: 1,
                model: "small".into(),
                variables: vec!["q".into()],
                variable: Some("q".into()),
            }
        );
        // What happens later to prompt or dataset is of no interest to it.
        world.examples.put("golden", Vec::new());
        assert_eq!((run.config.dataset.reference(), run.total), ("golden@v1".into(), 3));
        let reader = world.evals.examples().open(&run.config.dataset).await.unwrap();
        assert_eq!(reader.read(1..9).await.unwrap().len(), 2);
        let job = world.jobs.load(&project, &run.job).await.unwrap().unwrap().value;
        assert_eq!((job.kind, &job.tags["eval"]), (EvalRun::JOB, &run.id.to_string()));
    });
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field() {
    block_on(async {
        let world = World::with_examples(3);
        world.examples.put("empty", Vec::new());
        for (new, field, told) in [
            (json!({}), "prompt", "what is to be evaluated"),
            (json!({"model": "m", "column": "metadata.a"}), "column", "recorded or asked"),
            (json!({"column": "answer"}), "column", "metadata.document"),
            (json!({"model": "a b"}), "model", "name"),
            (json!({"model": "m", "dataset": "empty"}), "dataset", "no examples"),
            (json!({"model": "m", "evaluators": []}), "evaluators", "1 to 20"),
            (
                json!({"model": "m", "evaluators": [{"type": "regex", "params": {"pattern": "("}}]}),
                "evaluators[0].params.pattern",
                "regular expression",
            ),
            (json!({"model": "m", "sample_size": 0}), "sample_size", "1 to"),
            (json!({"model": "m", "repeats": 101}), "repeats", "1 to 100"),
            (json!({"model": "m", "min_score": 1.5}), "min_score", "0 to 1"),
            (json!({"model": "m", "cluster_by": "tags"}), "cluster_by", "place"),
            (json!({"model": "m", "parameters": {"stream": true}}), "parameters.stream", "decides"),
            (json!({"prompt": "A"}), "prompt", "not one"),
        ] {
            match world.draft(new.clone()).await {
                Err(EvalError::Invalid { field: found, problem }) => {
                    assert_eq!(found, field, "{new}: {problem}");
                    assert!(problem.contains(told), "{new}: {problem}");
                }
                other => panic!("{new}: {other:?}"),
            }
        }
        let missing = world.draft(json!({"model": "m", "dataset": "gone"})).await;
        assert!(matches!(missing, Err(EvalError::NoDataset(_))), "{missing:?}");
        let missing = world.draft(json!({"prompt": "gone:v1"})).await;
        assert!(matches!(missing, Err(EvalError::Prompt(_))), "{missing:?}");
    });
}

#[test]
fn a_judge_that_judges_itself_is_warned_of() {
    block_on(async {
        let world = World::with_examples(3);
        let judge = json!([{"type": "llm_judge", "params": {"model": "m", "rubric": "good"}}]);
        let draft = world.draft(json!({"model": "m", "evaluators": judge})).await.unwrap();
        assert!(draft.warnings[0].contains("favour its own answers"), "{:?}", draft.warnings);
        let draft = world.draft(json!({"model": "n", "evaluators": judge})).await.unwrap();
        assert_eq!((draft.warnings.len(), draft.models().len()), (0, 2));
    });
}

#[test]
fn a_cancelled_run_has_its_job_told() {
    block_on(async {
        let world = World::with_examples(3);
        let run = world.create(json!({"model": "m"})).await;
        let (by, project) = (Allowed::operator(), ProjectId::default());
        for _ in 0..2 {
            world.evals.cancel(&by, &project, run.id.as_str()).await.unwrap();
        }
        let job = world.jobs.load(&project, &run.job).await.unwrap().unwrap().value;
        assert!(job.cancel_requested_at.is_some() && !job.is_finished());
        let done = world.create(json!({"model": "m"})).await;
        world.finish(&done, |_| Some(true)).await;
        let refused = world.evals.cancel(&by, &project, done.id.as_str()).await;
        assert!(matches!(refused, Err(EvalError::NotCancellable { .. })), "{refused:?}");
    });
}

#[test]
fn results_are_listed_all_or_those_that_did_not_pass() {
    block_on(async {
        let world = World::with_examples(30);
        let run = world.create(json!({"model": "m"})).await;
        world.finish(&run, |position| (position != 7).then_some(position % 10 != 0)).await;
        let (by, project) = (Allowed::operator(), ProjectId::default());
        let list = async |failed_only| {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let id = run.id.as_str();
                let page =
                    world.evals.results(&by, &project, id, failed_only, 4, cursor).await.unwrap();
                found.extend(page.results.iter().map(|result| result.position));
                cursor = page.next;
                if cursor.is_none() {
                    return found;
                }
            }
        };
        assert_eq!(list(false).await, (0..30).collect::<Vec<_>>());
        assert_eq!(list(true).await, [0, 7, 10, 20]);
    });
}

#[test]
fn a_better_candidate_is_told_in_two_sentences() {
    block_on(async {
        let world = World::with_examples(400);
        let (one, other) = (
            world.create(json!({"model": "old"})).await,
            world.create(json!({"model": "new"})).await,
        );
        let before = world.compare(&one, &other).await;
        assert!(matches!(before, Err(EvalError::NotEnded { .. })), "{before:?}");
        let one = world.finish(&one, |position| Some(position % 4 == 0)).await;
        let other = world.finish(&other, |position| Some(position % 2 == 0 && position != 8)).await;
        let compared = world.compare(&one, &other).await.unwrap();
        assert_eq!(compared.verdict, Verdict::Improved);
        let [answer, evidence] = &compared.headline;
        assert!(
            answer.starts_with("Yes: `new` is better than `old` by 24.8 points (95 % interval +"),
            "{answer}"
        );
        assert!(evidence.starts_with("400 examples on both sides; 100 got better, 1 got worse; chance explains this with p < 0.01"), "{evidence}");
        assert_eq!(compared.changed[0], Changed { position: 8, baseline: 1.0, candidate: 0.0 });
        let tags: Vec<_> = compared.tags.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(tags, ["odd", "even"], "the worst first");
        let back = world.compare(&other, &one).await.unwrap();
        assert_eq!(back.verdict, Verdict::Regressed);
        assert!(
            back.headline[0].starts_with("No: `old` is worse than `new`"),
            "{:?}",
            back.headline
        );
    });
}

#[test]
fn what_cannot_be_told_says_what_is_missing() {
    block_on(async {
        let world = World::with_examples(100);
        let (one, other) = (
            world.create(json!({"model": "old"})).await,
            world.create(json!({"model": "new"})).await,
        );
        let one = world.finish(&one, |position| Some(position < 50)).await;
        let other = world.finish(&other, |position| Some((3..55).contains(&position))).await;
        let compared = world.compare(&one, &other).await.unwrap();
        assert!(matches!(compared.verdict, Verdict::Inconclusive(_)));
        let answer = &compared.headline[0];
        assert!(answer.contains("examples would decide, and there are 100"), "{answer}");
        let third = world.create(json!({"model": "newer"})).await;
        let third = world.finish(&third, |position| (position > 4).then_some(true)).await;
        let compared = world.compare(&one, &third).await.unwrap();
        assert!(compared.headline[0].contains("more than 2 % of the results are unmeasured"));
        assert!(compared.headline[1].contains("95 examples on both sides, 5 unmeasured"));
    });
}

#[test]
fn runs_of_other_examples_or_evaluators_are_not_compared() {
    block_on(async {
        let world = World::with_examples(20);
        let one = world.create(json!({"model": "old"})).await;
        let one = world.finish(&one, |_| Some(true)).await;
        world.examples.put("golden", vec![EvalExample::default(); 20]);
        let other = world.create(json!({"model": "new"})).await;
        let other = world.finish(&other, |_| Some(true)).await;
        let refused = world.compare(&one, &other).await.unwrap_err().to_string();
        assert!(refused.contains("`golden@v1` and the other on `golden@v2`"), "{refused}");
        let strict = json!([{"type": "exact_match", "params": {"normalize": []}}]);
        let strict = json!({"model": "new", "dataset": "golden@v1", "evaluators": strict});
        let strict = world.create(strict).await;
        let strict = world.finish(&strict, |_| Some(true)).await;
        let refused = world.compare(&one, &strict).await.unwrap_err().to_string();
        assert!(refused.contains("`exact_match` are not the same"), "{refused}");
    });
}

#[test]
fn a_plan_says_what_so_many_examples_show() {
    block_on(async {
        let world = World::with_examples(155);
        let draft = world.draft(json!({"model": "m", "repeats": 2})).await.unwrap();
        let plan = EvalPlan::of(&draft, None).unwrap();
        assert_eq!((plan.examples, plan.results, plan.requests), (155, 310, 310));
        let detectable = plan.detectable.unwrap();
        assert!((detectable - 0.1).abs() < 0.001, "{detectable}");
        let needed: Vec<_> = plan.needed.iter().map(|it| (it.examples, it.missing)).collect();
        assert_eq!(needed, [(155, 0), (626, 471), (1742, 1587)]);
        let judge = json!([{"type": "llm_judge", "params": {"model": "j", "rubric": "good"}}]);
        let draft = world.draft(json!({"model": "m", "evaluators": judge})).await.unwrap();
        let plan = EvalPlan::of(&draft, None).unwrap();
        assert_eq!((plan.requests, plan.is_graded), (310, true));
        assert!(EvalPlan::of(&draft, Some(-1.0)).is_err());
    });
}

#[test]
fn records_are_read_back() {
    let entity = block_on(async { World::with_examples(1).create(json!({"model": "m"})).await });
    let read: EvalRun = serde_json::from_value(json!(entity)).unwrap();
    assert_eq!(read, entity);
    assert_eq!(read.key().sort, entity.id.as_str());
}
