use serde::Serialize;

use super::{Confidence, Interval, StatsError};

/// How often a judge gave which label where a human gave which: rows are the human's, columns the judge's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfusionMatrix {
    rows: Vec<Vec<u64>>,
}

/// How far a judge agrees with a human.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    pub examples: u64,
    /// The share of examples with the same label.
    pub observed: f64,
    /// The share that two would have in common who gave their labels as often, but at random.
    pub expected: f64,
    /// Cohen's κ = (observed − expected)/(1 − expected): 1 is perfect, 0 chance. `None` where both gave one and
    /// the same label to everything, from which nothing can be learned.
    pub kappa: Option<f64>,
    /// The label that the human gave most often; of equals the first.
    pub commonest: usize,
    /// How often: the base rate. A predictor that always says `commonest` agrees so often, with a κ of 0; a judge
    /// that does not agree more often is of no use.
    pub base_rate: f64,
}

impl ConfusionMatrix {
    /// From the labels of the same examples, numbered from 0 to below `labels`.
    pub fn new(human: &[usize], judge: &[usize], labels: usize) -> Result<Self, StatsError> {
        if human.len() != judge.len() {
            return Err(StatsError::Lengths { left: human.len(), right: judge.len() });
        }
        if human.is_empty() {
            return Err(StatsError::TooFew { needed: 1, found: 0 });
        }
        let mut rows = vec![vec![0; labels]; labels];
        for (row, column) in human.iter().zip(judge) {
            let label = if *row < labels { *column } else { *row };
            let cell = rows.get_mut(*row).and_then(|cells: &mut Vec<u64>| cells.get_mut(*column));
            *cell.ok_or(StatsError::UnknownLabel { label, labels })? += 1;
        }
        Ok(Self { rows })
    }

    /// From passes and failures: label 0 is fail, 1 is pass.
    pub fn of_passes(human: &[bool], judge: &[bool]) -> Result<Self, StatsError> {
        let labels = |passes: &[bool]| -> Vec<usize> {
            passes.iter().map(|pass| usize::from(*pass)).collect()
        };
        Self::new(&labels(human), &labels(judge), 2)
    }

    pub fn rows(&self) -> &[Vec<u64>] {
        &self.rows
    }

    pub fn agreement(&self) -> Agreement {
        let shares = Shares::of(self);
        let observed: f64 = shares.diagonal().sum();
        let expected: f64 =
            shares.human.iter().zip(&shares.judge).map(|(row, column)| row * column).sum();
        let first_of_the_largest =
            |(place, largest): (usize, f64), (label, share): (usize, &f64)| {
                if *share > largest { (label, *share) } else { (place, largest) }
            };
        let (commonest, base_rate) =
            shares.human.iter().enumerate().fold((0, 0.0), first_of_the_largest);
        // Compared as counts: what remains of 1 − expected may be rounding only.
        let one_label = self
            .rows
            .iter()
            .enumerate()
            .any(|(label, row)| row.get(label).is_some_and(|both| *both == self.examples()));
        Agreement {
            examples: self.examples(),
            observed,
            expected,
            kappa: (!one_label).then(|| (observed - expected) / (1.0 - expected)),
            commonest,
            base_rate,
        }
    }

    /// The interval of κ, from its asymptotic standard error (Fleiss, Cohen and Everitt, "Large sample standard
    /// errors of kappa and weighted kappa", Psychological Bulletin 72, 1969). `None` where κ is not defined. It is
    /// too narrow for few examples, and has no width where all agree.
    pub fn kappa_interval(&self, confidence: Confidence) -> Option<Interval> {
        let Agreement { kappa, expected, observed, .. } = self.agreement();
        let kappa = kappa?;
        let shares = Shares::of(self);
        let distrust = 1.0 - kappa;
        let mut agreeing = 0.0;
        let mut disagreeing = 0.0;
        for (label, (row, of_row)) in shares.cells.iter().zip(&shares.human).enumerate() {
            for (other, (share, of_column)) in row.iter().zip(&shares.judge).enumerate() {
                if label == other {
                    agreeing += share * (1.0 - (of_row + of_column) * distrust).powi(2);
                } else {
                    // The judge's share of the row's label, and the human's of the column's.
                    let crossed = shares.judge.get(label).copied().unwrap_or_default()
                        + shares.human.get(other).copied().unwrap_or_default();
                    disagreeing += share * crossed * crossed;
                }
            }
        }
        let rest = (kappa - expected * distrust).powi(2);
        let variance =
            (agreeing + distrust * distrust * disagreeing - rest) / (1.0 - expected).powi(2);
        let error =
            if observed < 1.0 { (variance.max(0.0) / self.examples() as f64).sqrt() } else { 0.0 };
        Some(Interval::around(kappa, confidence.z() * error))
    }

    fn examples(&self) -> u64 {
        self.rows.iter().flatten().sum()
    }
}

struct Shares {
    cells: Vec<Vec<f64>>,
    human: Vec<f64>,
    judge: Vec<f64>,
}

impl Shares {
    fn of(matrix: &ConfusionMatrix) -> Self {
        let examples = matrix.examples() as f64;
        let share = |count: u64| count as f64 / examples;
        let column = |label: usize| matrix.rows.iter().filter_map(|row| row.get(label)).sum();
        Self {
            cells: matrix.rows.iter().map(|row| row.iter().copied().map(share).collect()).collect(),
            human: matrix.rows.iter().map(|row| share(row.iter().sum())).collect(),
            judge: (0..matrix.rows.len()).map(|label| share(column(label))).collect(),
        }
    }

    fn diagonal(&self) -> impl Iterator<Item = f64> + '_ {
        self.cells.iter().enumerate().filter_map(|(label, row)| row.get(label).copied())
    }
}
