use std::collections::BTreeMap;

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::StackStatus;

use super::{Problem, Session};
use crate::exit::Kind;

/// The stack that is meant unless a flag names one: that of `make deploy`, or the one that the
/// variable names for the scripts too.
pub(crate) fn default_stack() -> String {
    let named = std::env::var("DIOGENES_STACK").ok().filter(|name| !name.trim().is_empty());
    named.unwrap_or_else(|| "diogenes".to_owned())
}

/// A CloudFormation stack.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) name: String,
    pub(crate) status: StackStatus,
    pub(crate) outputs: BTreeMap<String, String>,
}

impl Stack {
    /// Reads the stack `name`.
    pub(crate) async fn read(session: &Session, name: &str) -> Result<Self, Problem> {
        let client = aws_sdk_cloudformation::Client::new(&session.config);
        let absent = || {
            Problem::new(
                Kind::NotFound,
                format!("stack `{name}` does not exist in `{}` of this account", session.region),
                "choose another with --stack or --region, or create it with `make deploy`",
            )
        };
        let answer = client.describe_stacks().stack_name(name).send().await.map_err(|error| {
            let no_such_stack = error.code() == Some("ValidationError")
                && error.message().is_some_and(|message| message.contains("does not exist"));
            if no_such_stack {
                return absent().caused_by(error);
            }
            Problem::of_call("cloudformation:DescribeStacks", &session.region, error)
        })?;
        let stack = answer.stacks.into_iter().flatten().next().ok_or_else(absent)?;
        let outputs = stack.outputs().iter().filter_map(|output| {
            Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))
        });
        Ok(Self {
            name: name.to_owned(),
            outputs: outputs.collect(),
            status: stack.stack_status.unwrap_or_else(|| StackStatus::from("UNKNOWN")),
        })
    }

    /// An output that a stack of Diogenes has.
    pub(crate) fn output(&self, key: &str) -> Result<&str, Problem> {
        self.outputs.get(key).map(String::as_str).ok_or_else(|| {
            Problem::new(
                Kind::NotFound,
                format!("stack `{}` ({}) has no output `{key}`", self.name, self.status.as_str()),
                "use --stack to name a stack of Diogenes, or deploy it again with `make deploy`",
            )
        })
    }
}
