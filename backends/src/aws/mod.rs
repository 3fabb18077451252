//! The ports on AWS.

#[cfg(any(feature = "aws-dynamodb", feature = "aws-lambda", feature = "aws-scheduler"))]
mod attempt;
#[cfg(feature = "aws-dynamodb")]
pub mod dynamodb;
#[cfg(feature = "aws-ec2")]
pub mod ec2;
pub mod event;
#[cfg(feature = "aws-lambda")]
pub mod lambda;
#[cfg(feature = "aws-placement")]
pub mod placement;
#[cfg(feature = "aws-quota")]
pub mod quota;
#[cfg(feature = "aws-scheduler")]
pub mod scheduler;
#[cfg(feature = "aws-ssm")]
pub mod ssm;
#[cfg(feature = "aws-user-data")]
pub mod user_data;
