//! Changes of examples by hand. An import has its own way.

use std::collections::HashSet;

use super::draft::{Author, Draft};
use super::error::{DatasetError, DatasetProblem};
use super::example::{ExampleContent, fingerprint};
use super::names::ExampleId;
use super::record::Dataset;
use super::schema::Checks;
use super::service::Datasets;
use crate::audit::Action;
use crate::entity::{StoreExt, Stored};
use crate::tenancy::{Allowed, ProjectId, in_use, may};

/// The most examples that are added or removed at once.
pub const MOST_AT_ONCE: usize = 1_000;

/// Examples that are to be added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewExamples {
    pub examples: Vec<ExampleContent>,
    /// Leave out those whose input and expected are there already. The whole dataset is read for it.
    pub skip_duplicates: bool,
    /// The number of the newest snapshot that the caller knows of: if there is a newer one, nothing is
    /// written.
    pub after: Option<u32>,
}

/// What came of an addition.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    pub dataset: Dataset,
    /// Those that were added, in the order of the request.
    pub ids: Vec<ExampleId>,
    /// How many were left out, as they are there already.
    pub duplicates: usize,
}

impl Datasets {
    /// Adds examples. Of two additions at once both happen, one after the other.
    pub async fn add(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        project: &ProjectId,
        name: &str,
        new: NewExamples,
    ) -> Result<Added, DatasetError> {
        if !(1..=MOST_AT_ONCE).contains(&new.examples.len()) {
            let problem = format!("must be 1 to {MOST_AT_ONCE}; import more from a file");
            return Err(DatasetProblem::new("examples", problem).into());
        }
        self.reaches(by, project).await?;
        let project_stands = in_use(&*self.store, project).await?;
        loop {
            let dataset = self.after(by, project, name, new.after).await?;
            let mut draft = Draft::begin(self, dataset).await?;
            checked(&draft, &new.examples, |index| format!("examples[{index}]"))?;
            let mut examples = new.examples.clone();
            let count = examples.len();
            if new.skip_duplicates {
                let mut known = self.fingerprints(draft.dataset()).await?;
                examples.retain(|example| known.insert(fingerprint(example)));
            }
            let duplicates = count - examples.len();
            if examples.is_empty() {
                let dataset = draft.dataset().clone();
                return Ok(Added { dataset, ids: Vec::new(), duplicates });
            }
            let ids = draft.append(&examples).await?;
            let summary = format!("added {}", counted(ids.len()));
            let prepared = draft.prepare(&Author::of(by), Action::dataset_add(), &summary).await?;
            let Some(mut prepared) = prepared else {
                let dataset = draft.dataset().clone();
                return Ok(Added { dataset, ids, duplicates });
            };
            prepared.writes.extend(project_stands.clone());
            if self.store.committed(&prepared.writes).await? {
                self.trim(&prepared.dataset).await;
                return Ok(Added { dataset: prepared.dataset, ids, duplicates });
            }
            draft.discard().await;
        }
    }

    /// Gives an example another content. It keeps its id and its place.
    pub async fn replace(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        project: &ProjectId,
        name: &str,
        id: ExampleId,
        content: ExampleContent,
        after: Option<u32>,
    ) -> Result<Dataset, DatasetError> {
        self.edit(by, project, name, &[id], Some(&content), after).await
    }

    /// Removes examples; all of them or, where one does not exist, none.
    pub async fn remove(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        project: &ProjectId,
        name: &str,
        ids: &[ExampleId],
        after: Option<u32>,
    ) -> Result<Dataset, DatasetError> {
        if !(1..=MOST_AT_ONCE).contains(&ids.len()) {
            return Err(DatasetProblem::new("ids", format!("must be 1 to {MOST_AT_ONCE}")).into());
        }
        self.edit(by, project, name, ids, None, after).await
    }

    async fn edit(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        project: &ProjectId,
        name: &str,
        ids: &[ExampleId],
        content: Option<&ExampleContent>,
        after: Option<u32>,
    ) -> Result<Dataset, DatasetError> {
        loop {
            let dataset = self.after(by, project, name, after).await?;
            let mut draft = Draft::begin(self, dataset).await?;
            if let Some(content) = content {
                checked(&draft, std::slice::from_ref(content), |_| "example".into())?;
            }
            if let Some(id) = draft.edit(ids, content).await? {
                let name = draft.dataset().name.clone();
                draft.discard().await;
                return Err(DatasetError::NoExample { name, id });
            }
            let (action, summary) = match content {
                Some(_) => (Action::dataset_change(), "changed one example".to_owned()),
                None => (Action::dataset_remove(), format!("removed {}", counted(ids.len()))),
            };
            let Some(prepared) = draft.prepare(&Author::of(by), action, &summary).await? else {
                let dataset = draft.dataset().clone();
                draft.discard().await;
                return Ok(dataset);
            };
            if self.store.committed(&prepared.writes).await? {
                self.trim(&prepared.dataset).await;
                return Ok(prepared.dataset);
            }
            draft.discard().await;
        }
    }

    /// The dataset, if its newest snapshot is the one that the caller knows.
    async fn after(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        project: &ProjectId,
        name: &str,
        after: Option<u32>,
    ) -> Result<Stored<Dataset>, DatasetError> {
        let stored = self.reached(by, project, name).await?;
        let latest = stored.value.head.number;
        match after.filter(|after| *after != latest) {
            None => Ok(stored),
            Some(expected) => Err(DatasetError::Changed {
                name: stored.value.name,
                expected: format!("v{expected}"),
                latest: format!("v{latest}"),
            }),
        }
    }

    /// What every example of a dataset is compared by.
    pub async fn fingerprints(&self, dataset: &Dataset) -> Result<HashSet<u128>, DatasetError> {
        let reader = self.open(&dataset.head).await?;
        let mut known = HashSet::new();
        for place in 0..reader.chunks() {
            let examples = reader.chunk(place).await?;
            known.extend(examples.iter().map(|example| fingerprint(&example.content)));
        }
        Ok(known)
    }
}

/// Refuses examples that do not fit the dataset.
fn checked(
    draft: &Draft<'_>,
    examples: &[ExampleContent],
    place: impl Fn(usize) -> String,
) -> Result<(), DatasetError> {
    let checks = Checks::of(&draft.manifest.schema)?;
    for (index, example) in examples.iter().enumerate() {
        checks.check(example).map_err(|problem| problem.within(place(index)))?;
    }
    Ok(())
}

pub(super) fn counted(count: usize) -> String {
    if count == 1 { "one example".into() } else { format!("{count} examples") }
}
