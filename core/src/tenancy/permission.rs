use std::fmt;

/// How far a permission reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What belongs to the principal's project.
    Project,
    /// What belongs to the installation, and so to every project.
    Installation,
}

/// A permission that is known by its type: what a handler or a service demands.
pub trait Needs: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $reach:ident;)*) => {
        /// What a principal may do: a verb on a kind of thing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $($(#[$doc])* $name,)*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in messages and documentation.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What it reaches.
            pub fn reach(self) -> Reach {
                match self {
                    $(Self::$name => Reach::$reach,)*
                }
            }
        }

        /// A type for each [`Permission`].
        pub mod may {
            $($(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl super::Needs for $name {
                const PERMISSION: super::Permission = super::Permission::$name;
            })*
        }
    };
}

permissions! {
    /// Ask models: `/v1`.
    InferenceUse, "inference:use", Project;
    /// See keys.
    KeysRead, "keys:read", Project;
    /// Issue, rotate and revoke keys whose rights do not exceed one's own.
    KeysWrite, "keys:write", Project;
    /// Read the audit log.
    AuditRead, "audit:read", Project;
    /// See one's project; every project together with `projects:any`.
    ProjectsRead, "projects:read", Project;
    /// Create and archive projects.
    ProjectsWrite, "projects:write", Installation;
    /// Do in every project what one may do in one's own, and hand out any rights.
    ProjectsAny, "projects:any", Installation;
    /// See budgets.
    BudgetsRead, "budgets:read", Project;
    /// Set and delete budgets of keys; those of projects and routes together with `projects:any`.
    BudgetsWrite, "budgets:write", Project;
    /// See who used how much.
    UsageRead, "usage:read", Project;
    /// See jobs and their logs.
    JobsRead, "jobs:read", Project;
    /// Create, cancel and retry jobs.
    JobsWrite, "jobs:write", Project;
    /// Take the jobs of one's project and do them.
    JobsWork, "jobs:work", Project;
    /// See prompts, and render them.
    PromptsRead, "prompts:read", Project;
    /// Push, change, archive and delete prompts, and move the labels that are not protected.
    PromptsWrite, "prompts:write", Project;
    /// Move protected labels, and say which are, together with `prompts:write`.
    PromptsRelease, "prompts:release", Project;
    /// See datasets, their examples and their snapshots, and export them.
    DatasetsRead, "datasets:read", Project;
    /// Create, change, import and delete datasets.
    DatasetsWrite, "datasets:write", Project;
    /// See eval runs and their results.
    EvalsRead, "evals:read", Project;
    /// Create and cancel eval runs; their requests to models take `inference:use`, too.
    EvalsWrite, "evals:write", Project;
    /// See deployments and how they stand.
    DeploymentsRead, "deployments:read", Project;
    /// Create, pause, resume, cancel deployments and roll them back.
    DeploymentsWrite, "deployments:write", Project;
    /// Approve and promote deployments, also to protected labels.
    DeploymentsApprove, "deployments:approve", Project;
    /// Pause, resume and bound queues.
    QueuesWrite, "queues:write", Installation;
    /// See how models are served.
    ModelsRead, "models:read", Installation;
    /// Register, change and delete models.
    ModelsWrite, "models:write", Installation;
    /// See routes and providers.
    GatewayRead, "gateway:read", Installation;
    /// Add, change and delete routes and providers: where requests may go.
    GatewayWrite, "gateway:write", Installation;
    /// See replicas and what is asked of them.
    ClusterRead, "cluster:read", Installation;
    /// Start, stop and pin models.
    ClusterScale, "cluster:scale", Installation;
    /// Read the logs of inference servers.
    ClusterLogs, "cluster:logs", Installation;
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u64);

impl Permissions {
    /// Every permission.
    pub fn all() -> Self {
        Self::of(Permission::ALL)
    }

    /// The set of these permissions.
    pub fn of(permissions: &[Permission]) -> Self {
        permissions.iter().copied().collect()
    }

    /// Whether `permission` is in the set.
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & bit(permission) != 0
    }

    /// Whether everything in `other` is in this set, too.
    pub fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// What is in either set.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without `permission`.
    #[must_use]
    pub fn without(self, permission: Permission) -> Self {
        Self(self.0 & !bit(permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |set, permission| set | bit(permission)))
    }
}

fn bit(permission: Permission) -> u64 {
    1 << permission as u64
}
