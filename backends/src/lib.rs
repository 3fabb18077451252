//! Implementations of the ports of `diogenes-core`, one feature each: `sqlite` keeps the state in
//! a SQLite database, `process` runs inference servers as child processes, `aws-dynamodb`,
//! `aws-ec2`, `aws-lambda` and `aws-scheduler` do the same on AWS. `blobs` keeps
//! files in a folder, `blobs-s3` in a bucket too. `engine` is what `process` and the agent of an
//! instance share. Errors of vendors are converted where they come in.

#[cfg(any(
    feature = "aws-dynamodb",
    feature = "aws-ec2",
    feature = "aws-lambda",
    feature = "aws-placement",
    feature = "aws-scheduler",
    feature = "aws-user-data"
))]
pub mod aws;

#[cfg(feature = "blobs")]
pub mod blobs;

#[cfg(feature = "engine")]
pub mod engine;

#[cfg(feature = "process")]
pub mod process;

#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "system")]
pub mod system;
