//! Which refusals the SDK must not repeat by itself.

use aws_sdk_ec2::config::interceptors::InterceptorContext;
use aws_sdk_ec2::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::operation::run_instances::RunInstancesError;

use super::fault::is_no_capacity;

/// Makes a lack of capacity final. EC2 reports it with status 500, so the SDK would ask again
/// and again, while the next rung of the ladder may have an instance at once.
#[derive(Debug)]
pub(super) struct CapacityIsFinal;

impl ClassifyRetry for CapacityIsFinal {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let refused = context
            .output_or_error()
            .and_then(Result::err)
            .and_then(|error| error.as_operation_error())
            .and_then(|error| error.downcast_ref::<RunInstancesError>())
            .and_then(ProvideErrorMetadata::code);
        if refused.is_some_and(is_no_capacity) {
            RetryAction::RetryForbidden
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "a lack of capacity is final"
    }
}
