use clap::builder::NonEmptyStringValueParser;

use crate::exit::{Failure, Kind};

/// Which deployment on AWS is meant. AWS's own variables and profiles count, as in its CLI:
/// `AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL` and so on.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Deployed on AWS")]
pub(crate) struct DeploymentArgs {
    /// Table of a deployment, reached with your AWS credentials instead of its API
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) table: Option<String>,
    /// CloudFormation stack of a deployment, whose outputs name the table
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) stack: Option<String>,
    /// AWS region of the deployment [default: AWS_REGION, or that of the AWS profile]
    #[arg(long, global = true, value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) region: Option<String>,
}

impl DeploymentArgs {
    /// The flag that says where, if one was given.
    pub(crate) fn flag(&self) -> Option<&'static str> {
        match (&self.table, &self.stack) {
            (Some(_), _) => Some("--table"),
            (None, Some(_)) => Some("--stack"),
            (None, None) => None,
        }
    }

    /// Refuses flags that contradict each other or mean nothing.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.table.is_some() && self.stack.is_some() {
            return Err(Kind::Config.because("give --table or --stack, not both"));
        }
        if self.region.is_some() && self.flag().is_none() {
            return Err(Kind::Config.because("`--region` requires --table or --stack"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(table: Option<&str>, stack: Option<&str>, region: Option<&str>) -> DeploymentArgs {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        DeploymentArgs { table: owned(table), stack: owned(stack), region: owned(region) }
    }

    #[test]
    fn a_region_alone_and_two_places_are_refused() {
        assert!(args(None, None, None).check().is_ok());
        assert!(args(Some("t"), None, Some("us-east-1")).check().is_ok());
        assert!(args(None, Some("s"), None).check().is_ok());
        assert!(args(Some("t"), Some("s"), None).check().is_err());
        assert!(args(None, None, Some("us-east-1")).check().is_err());
    }
}
