use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The region that functions are told.
pub const REGION: &str = "us-east-1";

/// The account that functions belong to: the usual one of examples and emulators.
pub const ACCOUNT: &str = "000000000000";

/// A function and its configuration.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    /// The `bootstrap` program.
    pub program: PathBuf,
    /// Its environment, beside what Lambda sets. A variable of the same name wins over Lambda's.
    pub environment: BTreeMap<String, String>,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// What it is told about its memory, in MiB. Nothing enforces it.
    pub memory: u32,
    /// How many invocations may run at once; one more is throttled.
    pub reserved_concurrency: Option<usize>,
    /// How often a failed asynchronous invocation is tried again: at most 2 on AWS.
    pub async_retries: u32,
    /// How old an asynchronous event may become before it is dropped.
    pub async_max_age: Duration,
    /// How long it waits before the first retry; twice as long before the second. AWS waits one
    /// minute and two.
    pub async_backoff: Duration,
    /// Whether processes are stopped between invocations, as on AWS.
    pub freeze: bool,
}

impl Function {
    /// A function with AWS's defaults: 3 s, 128 MiB, two retries within 6 h.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            environment: BTreeMap::new(),
            timeout: Duration::from_secs(3),
            memory: 128,
            reserved_concurrency: None,
            async_retries: 2,
            async_max_age: Duration::from_hours(6),
            async_backoff: Duration::from_millis(50),
            freeze: true,
        }
    }

    /// The same with another variable in its environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        arn(&self.name)
    }

    /// The whole environment of a process of this function.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html> lists it.
    pub(super) fn variables(&self, runtime_api: &str, stream: &str) -> BTreeMap<String, String> {
        let root = self.program.parent().unwrap_or(Path::new("/")).display().to_string();
        let memory = self.memory.to_string();
        let group = format!("/aws/lambda/{}", self.name);
        let mut variables: BTreeMap<String, String> = [
            ("AWS_LAMBDA_RUNTIME_API", runtime_api),
            ("AWS_LAMBDA_FUNCTION_NAME", &self.name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &group),
            ("AWS_LAMBDA_LOG_STREAM_NAME", stream),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            // The key id tells callers apart in a log of AWS calls.
            ("AWS_ACCESS_KEY_ID", &self.name),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_SESSION_TOKEN", "token"),
            ("_HANDLER", "bootstrap"),
            ("LAMBDA_TASK_ROOT", &root),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
            ("LANG", "en_US.UTF-8"),
            ("TZ", ":UTC"),
            ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        variables.extend(self.environment.clone());
        variables
    }
}

/// The ARN of a function.
pub(super) fn arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

/// The name in a name or an ARN, with or without a version.
pub(super) fn name_of(name_or_arn: &str) -> &str {
    let name = name_or_arn.split_once(":function:").map_or(name_or_arn, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}
