use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Permission, Permissions, Reach};

/// What a key is for. Each scope stands for a fixed set of permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Ask models: `/v1`.
    Inference,
    /// Control the installation and every project: `/api/v1`. It does not include `inference`.
    Admin,
    /// Control one project: its keys, their budgets, its usage and its audit log.
    ProjectAdmin,
    /// Issue, rotate and revoke keys of one project.
    Keys,
    /// Register, change and delete models, and see the routes to them.
    Models,
    /// Start, stop and watch replicas, and read their logs.
    Cluster,
    /// See the prompts of one project, and render them.
    #[serde(rename = "prompts:read")]
    PromptsRead,
    /// Push and change the prompts of one project; protected labels stay where they are.
    #[serde(rename = "prompts:write")]
    PromptsWrite,
    /// The same, and move protected labels.
    #[serde(rename = "prompts:release")]
    PromptsRelease,
    /// See the datasets of one project, and export them.
    #[serde(rename = "datasets:read")]
    DatasetsRead,
    /// Create, change, import and delete the datasets of one project.
    #[serde(rename = "datasets:write")]
    DatasetsWrite,
    /// Create, cancel and see the eval runs of one project. What they ask of models takes `inference`, too.
    Evals,
    /// Create, steer, end and see the deployments of one project.
    #[serde(rename = "deployments:write")]
    DeploymentsWrite,
    /// The same, and approve and promote them.
    #[serde(rename = "deployments:approve")]
    DeploymentsApprove,
    /// See everything but the logs of inference servers; of keys, budgets, usage, projects and the
    /// audit log what belongs to one's own project.
    Read,
    /// Take the jobs of one project and do them: what a worker needs.
    #[serde(rename = "jobs:work")]
    JobsWork,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 16] = [
        Self::Inference,
        Self::Admin,
        Self::ProjectAdmin,
        Self::Keys,
        Self::Models,
        Self::Cluster,
        Self::PromptsRead,
        Self::PromptsWrite,
        Self::PromptsRelease,
        Self::DatasetsRead,
        Self::DatasetsWrite,
        Self::Evals,
        Self::DeploymentsWrite,
        Self::DeploymentsApprove,
        Self::Read,
        Self::JobsWork,
    ];

    /// What a key with this scope may do: the one table.
    pub fn permissions(self) -> Permissions {
        use Permission::{
            AuditRead, BudgetsRead, ClusterLogs, ClusterRead, ClusterScale, DatasetsRead,
            DatasetsWrite, DeploymentsApprove, DeploymentsRead, DeploymentsWrite, EvalsRead,
            EvalsWrite, GatewayRead, InferenceUse, JobsRead, JobsWork, KeysRead, KeysWrite,
            ModelsRead, ModelsWrite, ProjectsRead, PromptsRead, PromptsRelease, PromptsWrite,
            UsageRead,
        };
        let within_a_project = || {
            let all = Permission::ALL.iter().copied();
            all.filter(|permission| permission.reach() == Reach::Project)
        };
        match self {
            Self::Inference => Permissions::of(&[InferenceUse]),
            Self::Admin => Permissions::all().without(InferenceUse),
            Self::ProjectAdmin => within_a_project().collect::<Permissions>().without(InferenceUse),
            Self::Keys => Permissions::of(&[KeysRead, KeysWrite]),
            Self::Models => Permissions::of(&[ModelsRead, ModelsWrite, GatewayRead]),
            Self::Cluster => Permissions::of(&[ModelsRead, ClusterRead, ClusterScale, ClusterLogs]),
            Self::PromptsRead => Permissions::of(&[PromptsRead]),
            Self::PromptsWrite => Permissions::of(&[PromptsRead, PromptsWrite]),
            Self::PromptsRelease => Permissions::of(&[PromptsRead, PromptsWrite, PromptsRelease]),
            Self::DatasetsRead => Permissions::of(&[DatasetsRead]),
            Self::DatasetsWrite => Permissions::of(&[DatasetsRead, DatasetsWrite]),
            Self::Evals => Permissions::of(&[EvalsRead, EvalsWrite, PromptsRead, DatasetsRead]),
            Self::DeploymentsWrite => {
                Permissions::of(&[DeploymentsRead, DeploymentsWrite, PromptsRead])
            }
            Self::DeploymentsApprove => Permissions::of(&[
                DeploymentsRead,
                DeploymentsWrite,
                DeploymentsApprove,
                PromptsRead,
            ]),
            Self::Read => Permissions::of(&[
                KeysRead,
                AuditRead,
                BudgetsRead,
                ProjectsRead,
                UsageRead,
                JobsRead,
                PromptsRead,
                DatasetsRead,
                EvalsRead,
                DeploymentsRead,
                ModelsRead,
                GatewayRead,
                ClusterRead,
            ]),
            Self::JobsWork => Permissions::of(&[JobsWork]),
        }
    }

    /// The name in JSON and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Admin => "admin",
            Self::ProjectAdmin => "project_admin",
            Self::Keys => "keys",
            Self::Models => "models",
            Self::Cluster => "cluster",
            Self::PromptsRead => "prompts:read",
            Self::PromptsWrite => "prompts:write",
            Self::PromptsRelease => "prompts:release",
            Self::DatasetsRead => "datasets:read",
            Self::DatasetsWrite => "datasets:write",
            Self::Evals => "evals",
            Self::DeploymentsWrite => "deployments:write",
            Self::DeploymentsApprove => "deployments:approve",
            Self::Read => "read",
            Self::JobsWork => "jobs:work",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(|scope| format!("`{scope}`")).join(", ");
            format!("`{text}` is not a scope; use one of {names}")
        })
    }
}

/// Reads the scopes of a record. Those that this version does not know grant nothing.
pub(crate) fn known<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<Scope>, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admin_and_inference_together_hold_everything() {
        let both = Scope::Admin.permissions().and(Scope::Inference.permissions());
        assert_eq!(both, Permissions::all());
        for scope in Scope::ALL {
            assert_ne!(scope.permissions(), Permissions::all(), "{scope}");
        }
    }

    #[test]
    fn a_projects_admin_holds_nothing_of_the_installation() {
        for &permission in Permission::ALL {
            let held = Scope::ProjectAdmin.permissions().contains(permission);
            assert!(!held || permission.reach() == Reach::Project, "{permission}");
        }
    }

    #[test]
    fn only_admin_reaches_other_projects() {
        for scope in Scope::ALL {
            let reaches = scope.permissions().contains(Permission::ProjectsAny);
            assert_eq!(reaches, scope == Scope::Admin, "{scope}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
        assert!("root".parse::<Scope>().unwrap_err().contains("`project_admin`"));
    }
}
