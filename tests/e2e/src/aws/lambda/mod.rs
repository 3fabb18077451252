//! A small Lambda and a small API Gateway, which run the real `bootstrap` programs as AWS does.
//!
//! [`LambdaHost`] gives every concurrent invocation a process of its own, speaks the
//! [runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) with it, freezes
//! it between invocations, and kills it when it takes too long. [`Gateway`] turns HTTP requests
//! into the events of a REST API and streams the answers back. Routes, authorizer and gateway
//! responses come from a SAM [`Template`].
//!
//! Not emulated: memory limits, the bandwidth limit of long streams, snapshots, layers,
//! extensions, VPCs and permissions (see [`crate::aws::front`] for those).

mod answer;
mod desk;
mod events;
mod function;
mod gateway;
mod host;
mod instance;
mod pool;
mod runtime_api;
mod socket;
mod template;

pub use answer::{InvokeError, Streamed};
pub use events::Dropped;
pub use function::{ACCOUNT, Function, REGION};
pub use gateway::{Gateway, Overrides};
pub use host::LambdaHost;
pub(super) use template::Resolver;
pub use template::{
    Api, Authorizer, GatewayResponse, Integration, Invoked, Mock, Route, Template, TemplateError,
    TemplateFunction, Throttle, Values,
};
