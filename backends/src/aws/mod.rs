//! The ports on AWS.

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
#[cfg(feature = "aws-ssm")]
pub mod ssm;
#[cfg(feature = "aws-user-data")]
pub mod user_data;
