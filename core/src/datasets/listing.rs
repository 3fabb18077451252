//! Datasets of a project, searched and in the order of their names.

use super::error::DatasetError;
use super::record::Dataset;
use super::service::Datasets;
use crate::entity::{Entity, StoreExt};
use crate::ports::Cursor;
use crate::tenancy::{Allowed, ProjectId, may};

/// Which datasets to show. What is absent does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetFilter {
    /// Those with this text in name or description, in whatever case.
    pub search: Option<String>,
    /// Those with all of these tags.
    pub tags: Vec<String>,
    /// Those that are for this prompt.
    pub prompt: Option<String>,
}

/// A page of datasets.
#[derive(Clone, Debug)]
pub struct DatasetPage {
    pub datasets: Vec<Dataset>,
    pub next: Option<Cursor>,
}

impl Datasets {
    /// One page of the datasets of a project.
    pub async fn list(
        &self,
        by: &Allowed<may::DatasetsRead>,
        project: &ProjectId,
        filter: &DatasetFilter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<DatasetPage, DatasetError> {
        self.reaches(by, project).await?;
        let mut query = Dataset::of_project(project);
        query.cursor = cursor;
        let mut datasets = Vec::new();
        loop {
            let (page, next) = self.store.load_page::<Dataset>(&query).await?;
            let mut page = page.into_iter().map(|stored| stored.value);
            while let Some(dataset) = page.next() {
                if filter.takes(&dataset) {
                    datasets.push(dataset);
                }
                if datasets.len() >= limit {
                    let is_more = page.next().is_some() || next.is_some();
                    let last = datasets.last().filter(|_| is_more).map(Dataset::key);
                    let next = last.map(|key| Cursor::after(&query, &key.sort, &key));
                    return Ok(DatasetPage { datasets, next });
                }
            }
            if next.is_none() {
                return Ok(DatasetPage { datasets, next });
            }
            query.cursor = next;
        }
    }
}

impl DatasetFilter {
    fn takes(&self, dataset: &Dataset) -> bool {
        let has = |text: &str, wanted: &str| text.to_lowercase().contains(wanted);
        let prompt = self.prompt.as_ref();
        self.tags.iter().all(|tag| dataset.tags.contains(tag))
            && prompt.is_none_or(|prompt| dataset.prompts.iter().any(|own| own.as_str() == prompt))
            && self.search.as_ref().is_none_or(|search| {
                let wanted = search.to_lowercase();
                has(dataset.name.as_str(), &wanted) || has(&dataset.description, &wanted)
            })
    }
}
