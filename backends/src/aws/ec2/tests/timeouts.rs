use std::time::Duration;

use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use diogenes_core::fleet::InstanceId;
use diogenes_core::ports::{ComputeBackend as _, ComputeError, LaunchError};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::super::{Ec2Compute, OPERATION_TIMEOUT};
use super::{request, settings};

/// An EC2 that accepts connections and never answers. Time passes at once while nothing happens.
#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .endpoint_url(format!("http://{}", silent.local_addr().unwrap()))
        .build();
    let compute = Ec2Compute::new(aws_sdk_ec2::Client::from_conf(config), settings());
    let most = OPERATION_TIMEOUT + Duration::from_secs(1);

    let began = Instant::now();
    let launch = compute.launch(&request()).await.unwrap_err();
    assert!(matches!(launch, LaunchError::Transient { .. }), "{launch:?}");
    assert!(began.elapsed() <= most, "{:?}", began.elapsed());

    let began = Instant::now();
    let listing = compute.describe().await.unwrap_err();
    assert!(matches!(listing, ComputeError::Transient { .. }), "{listing:?}");
    let end = compute.terminate(&InstanceId::new("i-0123456789abcdef0")).await.unwrap_err();
    assert!(matches!(end, ComputeError::Transient { .. }), "{end:?}");
    assert!(began.elapsed() <= most * 2, "{:?}", began.elapsed());
}
