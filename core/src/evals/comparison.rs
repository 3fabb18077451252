//! Two runs beside each other, example by example.

use std::collections::BTreeMap;

use super::error::EvalError;
use super::evaluators::{EvaluatorSpec, Scored};
use super::headline::{Changed, headline};
use super::result::EvalResult;
use super::run::EvalRun;
use super::stats::{
    Comparison, Criteria, Example, Outcome, Pairs, Resampling, Verdict, compare,
    hold_back_regressions,
};

/// How many tags, and how many clusters, are looked at: those with the most examples.
const MOST_GROUPS: usize = 50;
/// Below so many examples a group of them is not looked at.
const LEAST_OF_GROUP: usize = 10;
/// How often a group is resampled.
const RESAMPLES_OF_GROUP: u32 = 2_000;
/// How far two scores may be apart and count as the same.
const SAME: f64 = 1e-9;

/// An example, and what both runs say of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub position: u32,
    pub tags: Vec<String>,
    pub cluster: Option<String>,
    /// By repeats.
    pub baseline: Vec<Scores>,
    pub candidate: Vec<Scores>,
}

/// What the evaluators of both runs say of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    pub overall: Outcome,
    /// In the order of the shared evaluators.
    pub evaluators: Vec<Outcome>,
}

/// The evaluators that two runs share.
#[derive(Clone, Debug, PartialEq)]
pub struct Shared {
    /// The candidate's, and where the baseline has the same.
    pub evaluators: Vec<(EvaluatorSpec, usize, usize)>,
    /// Whether at least one of them grades.
    pub is_graded: bool,
}

/// A comparison of a part of the results, and of which.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub name: String,
    pub comparison: Comparison,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunComparison {
    pub verdict: Verdict,
    /// The answer, and how sure it is, in two sentences.
    pub headline: [String; 2],
    pub overall: Comparison,
    pub evaluators: Vec<Part>,
    pub tags: Vec<Part>,
    pub clusters: Vec<Part>,
    /// The worst first.
    pub changed: Vec<Changed>,
    pub warnings: Vec<String>,
}

impl Shared {
    /// What two runs have in common.
    ///
    /// # Errors
    /// Where they say nothing about each other.
    pub fn of(baseline: &EvalRun, candidate: &EvalRun) -> Result<(Self, Vec<String>), EvalError> {
        let (of_baseline, of_candidate) = (&baseline.config, &candidate.config);
        if of_baseline.dataset.digest != of_candidate.dataset.digest {
            return Err(EvalError::NotComparable(format!(
                "one is on `{}` and the other on `{}`, which have other examples; run both on one snapshot",
                of_baseline.dataset.reference(),
                of_candidate.dataset.reference()
            )));
        }
        let mut warnings = Vec::new();
        let mut evaluators = Vec::new();
        for (place, spec) in of_candidate.evaluators.iter().enumerate() {
            let other = of_baseline.evaluators.iter().position(|other| other.name() == spec.name());
            let Some(other) = other else {
                warnings.push(format!("only the candidate has the evaluator `{}`", spec.name()));
                continue;
            };
            let is_same = of_baseline.evaluators.get(other).is_some_and(|other| {
                (other.kind, &other.params, other.threshold())
                    == (spec.kind, &spec.params, spec.threshold())
            });
            if !is_same {
                return Err(EvalError::NotComparable(format!(
                    "their evaluators `{}` are not the same; run both with one of them",
                    spec.name()
                )));
            }
            evaluators.push((spec.clone(), place, other));
        }
        for spec in &of_baseline.evaluators {
            if !of_candidate.evaluators.iter().any(|other| other.name() == spec.name()) {
                warnings.push(format!("only the baseline has the evaluator `{}`", spec.name()));
            }
        }
        if evaluators.is_empty() {
            let why = "they have no evaluator in common; run both with the same ones";
            return Err(EvalError::NotComparable(why.into()));
        }
        let judges = evaluators.iter().any(|(spec, ..)| spec.kind.is_graded());
        if judges && of_baseline.judge_template != of_candidate.judge_template {
            warnings.push("the judges of the two runs were instructed in other words".into());
        }
        let sample = |run: &EvalRun| (run.config.sample_size, run.config.shuffle, run.config.seed);
        if of_baseline.sample_size.or(of_candidate.sample_size).is_some()
            && sample(baseline) != sample(candidate)
        {
            warnings.push("the runs are on other samples; only the examples of both count".into());
        }
        let is_graded = evaluators.iter().any(|(spec, ..)| spec.kind.is_graded());
        Ok((Self { evaluators, is_graded }, warnings))
    }

    /// What a result says, by the shared evaluators alone.
    pub fn scores(&self, result: &EvalResult, is_candidate: bool) -> Scores {
        let verdicts: Vec<Option<&Scored>> = self
            .evaluators
            .iter()
            .map(|(_, here, there)| result.verdicts.get(if is_candidate { *here } else { *there }))
            .collect();
        let evaluators = verdicts
            .iter()
            .zip(&self.evaluators)
            .map(|(scored, (spec, ..))| {
                scored.map_or(Outcome::Unmeasured, |scored| scored.outcome(spec.kind.is_graded()))
            })
            .collect();
        Scores { overall: self.overall(&verdicts), evaluators }
    }

    /// What an answer that is not there counts as.
    pub fn nothing(&self) -> Scores {
        Scores {
            overall: Outcome::Unmeasured,
            evaluators: vec![Outcome::Unmeasured; self.evaluators.len()],
        }
    }

    /// Whether all evaluators let it pass; where at least one grades, the mean of their scores.
    fn overall(&self, verdicts: &[Option<&Scored>]) -> Outcome {
        if !self.is_graded {
            let is = |wanted: Option<bool>| {
                verdicts.iter().any(|scored| scored.and_then(Scored::passed) == wanted)
            };
            return if is(Some(false)) {
                Outcome::Fail
            } else if is(None) {
                Outcome::Unmeasured
            } else {
                Outcome::Pass
            };
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for (scored, (spec, ..)) in verdicts.iter().zip(&self.evaluators) {
            let Some(score) = scored.and_then(Scored::score) else { return Outcome::Unmeasured };
            sum += score * spec.weight;
            weights += spec.weight;
        }
        Outcome::Score(sum / weights)
    }
}

/// Compares two runs. `rows` has an example that both were to answer each.
///
/// # Errors
/// Where there is nothing to compare.
pub fn compare_runs(
    (baseline, candidate): (&EvalRun, &EvalRun),
    shared: &Shared,
    rows: &[Row],
    criteria: &Criteria,
    mut warnings: Vec<String>,
) -> Result<RunComparison, EvalError> {
    let clusters = cluster_ids(rows);
    let of_overall = |scores: &Scores| scores.overall;
    let overall = compare(&Pairs::new(&examples(rows, &clusters, of_overall))?, criteria)?;
    let mut parts = Vec::new();
    for (index, (spec, ..)) in shared.evaluators.iter().enumerate() {
        let outcome =
            |scores: &Scores| scores.evaluators.get(index).copied().unwrap_or(Outcome::Unmeasured);
        match Pairs::new(&examples(rows, &clusters, outcome))
            .and_then(|pairs| compare(&pairs, criteria))
        {
            Ok(comparison) => parts.push(Part { name: spec.name().to_owned(), comparison }),
            Err(problem) => warnings.push(format!("`{}` says nothing: {problem}", spec.name())),
        }
    }
    hold_back(&mut parts)?;
    let few = Criteria { resampling: of_groups(criteria.resampling), ..*criteria };
    let mut tags = groups(rows, &clusters, &few, |row| row.tags.clone());
    hold_back(&mut tags)?;
    // Within a cluster its examples are all there are.
    let alone: Vec<Option<u64>> = vec![None; rows.len()];
    let mut of_clusters =
        groups(rows, &alone, &few, |row| row.cluster.clone().into_iter().collect());
    hold_back(&mut of_clusters)?;
    let worse = parts.iter().find(|part| part.comparison.verdict == Verdict::Regressed);
    let verdict = if worse.is_some() { Verdict::Regressed } else { overall.verdict };
    let changed = changed(rows);
    let headline = headline(
        (baseline, candidate),
        verdict,
        &overall,
        worse.map(|part| part.name.as_str()).filter(|_| overall.verdict != Verdict::Regressed),
        &changed,
    );
    Ok(RunComparison {
        verdict,
        headline,
        overall,
        evaluators: parts,
        tags,
        clusters: of_clusters,
        changed,
        warnings,
    })
}

fn of_groups(usual: Resampling) -> Resampling {
    Resampling::new(RESAMPLES_OF_GROUP, 0).unwrap_or(usual)
}

fn hold_back(parts: &mut [Part]) -> Result<(), EvalError> {
    let mut family: Vec<Comparison> = parts.iter().map(|part| part.comparison.clone()).collect();
    hold_back_regressions(&mut family)?;
    for (part, comparison) in parts.iter_mut().zip(family) {
        part.comparison = comparison;
    }
    Ok(())
}

/// The number of each row's cluster. An example that names none is alone in its own.
fn cluster_ids(rows: &[Row]) -> Vec<Option<u64>> {
    if rows.iter().all(|row| row.cluster.is_none()) {
        return vec![None; rows.len()];
    }
    let mut known: BTreeMap<&str, u64> = BTreeMap::new();
    let mut next = 0;
    rows.iter()
        .map(|row| {
            let mut fresh = || {
                next += 1;
                next
            };
            Some(match &row.cluster {
                Some(name) => *known.entry(name).or_insert_with(fresh),
                None => fresh(),
            })
        })
        .collect()
}

fn examples(
    rows: &[Row],
    clusters: &[Option<u64>],
    outcome: impl Fn(&Scores) -> Outcome,
) -> Vec<Example> {
    rows.iter()
        .zip(clusters)
        .map(|(row, cluster)| Example {
            baseline: row.baseline.iter().map(&outcome).collect(),
            candidate: row.candidate.iter().map(&outcome).collect(),
            cluster: *cluster,
        })
        .collect()
}

/// The overall comparisons of the parts that `names` puts rows into.
fn groups(
    rows: &[Row],
    clusters: &[Option<u64>],
    criteria: &Criteria,
    names: impl Fn(&Row) -> Vec<String>,
) -> Vec<Part> {
    let all = examples(rows, clusters, |scores| scores.overall);
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        for name in names(row) {
            places.entry(name).or_default().push(place);
        }
    }
    let mut largest: Vec<_> =
        places.into_iter().filter(|(_, places)| places.len() >= LEAST_OF_GROUP).collect();
    largest.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
    let mut parts: Vec<Part> = largest
        .into_iter()
        .take(MOST_GROUPS)
        .filter_map(|(name, places)| {
            let of_part: Vec<Example> =
                places.iter().filter_map(|place| all.get(*place).cloned()).collect();
            let pairs = Pairs::new(&of_part).ok()?;
            Some(Part { name, comparison: compare(&pairs, criteria).ok()? })
        })
        .collect();
    parts.sort_by(|one, other| one.comparison.difference.total_cmp(&other.comparison.difference));
    parts
}

/// The mean of what was measured.
fn mean(scores: &[Scores]) -> Option<f64> {
    let values: Vec<f64> = scores
        .iter()
        .filter_map(|scores| match scores.overall {
            Outcome::Pass => Some(1.0),
            Outcome::Fail => Some(0.0),
            Outcome::Score(score) => Some(score),
            Outcome::Unmeasured => None,
        })
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn changed(rows: &[Row]) -> Vec<Changed> {
    let mut changed: Vec<Changed> = rows
        .iter()
        .filter_map(|row| {
            let (baseline, candidate) = (mean(&row.baseline)?, mean(&row.candidate)?);
            let is_changed = (candidate - baseline).abs() > SAME;
            is_changed.then_some(Changed { position: row.position, baseline, candidate })
        })
        .collect();
    changed.sort_by(|one, other| {
        let difference = |changed: &Changed| changed.candidate - changed.baseline;
        difference(one).total_cmp(&difference(other)).then(one.position.cmp(&other.position))
    });
    changed
}
