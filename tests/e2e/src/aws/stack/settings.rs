use std::time::Duration;

use crate::aws::lambda::{Function, Overrides};

/// What a stack has otherwise than its template.
#[derive(Clone, Debug, Default)]
pub struct StackSettings {
    pub(super) schedule: Option<Duration>,
    pub(super) overrides: Overrides,
    pub(super) parameters: Vec<(String, String)>,
    variables: Vec<(String, String, Option<String>)>,
    concurrency: Vec<(String, usize)>,
}

impl StackSettings {
    /// Runs the orchestrator on schedule, this long after the end of its last run. Without it the
    /// schedule runs when the test says so.
    #[must_use]
    pub fn schedule(mut self, every: Duration) -> Self {
        self.schedule = Some(every);
        self
    }

    /// Another value of a parameter of the template.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// A variable in the environment of a function, by the function's logical id.
    #[must_use]
    pub fn variable(mut self, function: &str, name: &str, value: &str) -> Self {
        self.variables.push((function.into(), name.into(), Some(value.into())));
        self
    }

    /// A variable that a function is not given.
    #[must_use]
    pub fn without(mut self, function: &str, name: &str) -> Self {
        self.variables.push((function.into(), name.into(), None));
        self
    }

    /// How many processes a function may have at once, by its logical id; with 0 Lambda refuses
    /// every invocation.
    #[must_use]
    pub fn concurrency(mut self, function: &str, most: usize) -> Self {
        self.concurrency.push((function.into(), most));
        self
    }

    /// What the API Gateway does otherwise.
    #[must_use]
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    pub(super) fn change(&self, mut function: Function) -> Function {
        for (name, variable, value) in &self.variables {
            if *name == function.name {
                match value {
                    Some(value) => {
                        function.environment.insert(variable.clone(), value.clone());
                    }
                    None => {
                        function.environment.remove(variable);
                    }
                }
            }
        }
        for (name, most) in &self.concurrency {
            if *name == function.name {
                function.reserved_concurrency = Some(*most);
            }
        }
        function
    }
}
