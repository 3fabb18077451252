//! Launching an instance.

use aws_sdk_ec2::config;
use aws_sdk_ec2::types::{
    HttpTokensState, Instance as Ec2Instance, InstanceInterruptionBehavior,
    InstanceMarketOptionsRequest, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest,
    InstanceType, LaunchTemplateSpecification, MarketType, ResourceType, ShutdownBehavior,
    SpotInstanceType, SpotMarketOptions, Tag, TagSpecification,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use diogenes_core::fleet::{InstanceId, Placement};
use diogenes_core::ports::{InstanceState, LaunchError, LaunchRequest};

use super::describe::{id_of, state_of};
use super::fault::Fault;
use super::retry::CapacityIsFinal;
use super::{Ec2Compute, TAG_CLAIM, TAG_DEPLOYMENT, TAG_MODEL};
use crate::aws::placement::{Ec2Placement, Market, NotOnEc2};
use crate::aws::user_data::{MAX_USER_DATA_BYTES, UserData};

/// The longest value of a tag, in characters.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>
const MAX_TAG_VALUE: usize = 256;

impl Ec2Compute {
    pub(super) async fn run_instance(
        &self,
        request: &LaunchRequest,
    ) -> Result<InstanceId, LaunchError> {
        if request.rung.label() == Placement::local().label() {
            let reason = format!(
                "model `{}` does not say on which instances it runs; give it a `ladder`, for \
                 example [{{\"instance_type\": \"g6.xlarge\", \"market\": \"spot\"}}]",
                request.model
            );
            return Err(LaunchError::InvalidSpec { reason });
        }
        let rung = &Ec2Placement::try_from(&request.rung).map_err(|NotOnEc2(problem)| {
            let reason = format!("the `ladder` of model `{}` {problem}", request.model);
            LaunchError::InvalidSpec { reason }
        })?;
        let subnet = self.settings.subnet(rung, &request.token)?;
        let call = self
            .client
            .run_instances()
            .client_token(request.token.as_str())
            .launch_template(self.launch_template())
            .min_count(1)
            .max_count(1)
            .instance_type(InstanceType::from(rung.instance_type.as_str()))
            .set_instance_market_options(market_options(rung.market))
            .subnet_id(&subnet.id)
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
            .metadata_options(
                InstanceMetadataOptionsRequest::builder()
                    .http_endpoint(InstanceMetadataEndpointState::Enabled)
                    .http_tokens(HttpTokensState::Required)
                    // As in the template: it is not documented that what a call leaves out
                    // stays as the template has it.
                    .http_put_response_hop_limit(1)
                    .build(),
            )
            .tag_specifications(self.tags(ResourceType::Instance, request))
            .tag_specifications(self.tags(ResourceType::Volume, request))
            .user_data(self.user_data(request)?);
        let retries = config::Builder::new().retry_classifier(CapacityIsFinal);
        match call.customize().config_override(retries).send().await {
            Ok(output) => launched(output.instances()),
            Err(error) => {
                let fault = Fault::of("RunInstances", error);
                if fault.code == "IdempotentParameterMismatch" {
                    return self.adopt(request).await;
                }
                Err(fault.into_launch_error(rung, subnet, &self.settings.region))
            }
        }
    }

    /// Finds the instance that the token launched with other parameters. What we send follows
    /// from the slot's record and the settings, so the settings changed between a launch and its
    /// repeat: a new deployment after a crash. What runs serves the claim all the same.
    ///
    /// An instance that the listing does not know is too young for it: one that has ended would
    /// be listed for an hour, longer than a claim waits for its launch. So this is a passing
    /// fault, and the claim's boot timeout bounds how often it passes.
    async fn adopt(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError> {
        let found = self.find("client-token", request.token.as_str()).await;
        let found = found.map_err(|fault| {
            let error = fault.into_compute_error();
            let reason = "the instance of an earlier try could not be looked up".into();
            LaunchError::Transient { reason, source: Some(error.into()) }
        })?;
        if found.is_empty() {
            let reason = "an earlier try with other settings has launched an instance that is \
                          not listed yet";
            return Err(LaunchError::Transient { reason: reason.into(), source: None });
        }
        tracing::info!(
            model = %request.model, claim = %request.claim,
            "the settings changed since the instance for `{}` was launched; it is kept",
            request.model
        );
        launched(&found)
    }

    fn launch_template(&self) -> LaunchTemplateSpecification {
        let name_or_id = &self.settings.launch_template;
        let version = &self.settings.launch_template_version;
        let template = LaunchTemplateSpecification::builder().version(version);
        if name_or_id.starts_with("lt-") {
            template.launch_template_id(name_or_id).build()
        } else {
            template.launch_template_name(name_or_id).build()
        }
    }

    fn tags(&self, of: ResourceType, request: &LaunchRequest) -> TagSpecification {
        let deployment = &self.settings.deployment;
        let name = format!("{deployment}/{}", request.model);
        let tags = [
            ("Name", name.chars().take(MAX_TAG_VALUE).collect()),
            (TAG_DEPLOYMENT, deployment.to_string()),
            (TAG_CLAIM, request.claim.to_string()),
            (TAG_MODEL, request.model.to_string()),
        ];
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
        TagSpecification::builder().resource_type(of).set_tags(Some(tags.into())).build()
    }

    /// Base64, as the API takes it.
    fn user_data(&self, request: &LaunchRequest) -> Result<String, LaunchError> {
        let settings = &self.settings;
        let lifetime = request.lifetime.unwrap_or(settings.max_lifetime);
        let user_data = UserData {
            deployment: settings.deployment.clone(),
            claim: request.claim.clone(),
            model: request.model.clone(),
            engine: request.engine.clone(),
            upstream_key: request.upstream_key.clone(),
            table: settings.table.clone(),
            region: settings.region.clone(),
            max_lifetime: lifetime.min(settings.max_lifetime),
            lease_timeout: settings.lease_timeout,
        };
        let json = serde_json::to_vec(&user_data).map_err(|error| LaunchError::InvalidSpec {
            reason: format!("the instance's user data cannot be written: {error}"),
        })?;
        let excess = json.len().saturating_sub(MAX_USER_DATA_BYTES);
        if excess > 0 {
            let reason = format!(
                "the command and the environment of model `{}` are {excess} bytes too long for \
                 an instance's user data ({} of {MAX_USER_DATA_BYTES}); shorten them",
                request.model,
                json.len()
            );
            return Err(LaunchError::InvalidSpec { reason });
        }
        Ok(BASE64_STANDARD.encode(json))
    }
}

/// The instance of an answer. A repeat shows the one there is in the state it has by now.
fn launched(instances: &[Ec2Instance]) -> Result<InstanceId, LaunchError> {
    let Some((seen, id)) = instances.first().and_then(|seen| Some((seen, id_of(seen)?))) else {
        let reason = "`RunInstances` answered without the id of an instance".into();
        return Err(LaunchError::Transient { reason, source: None });
    };
    match state_of(seen) {
        InstanceState::Running => Ok(id),
        InstanceState::Stopping | InstanceState::Terminated { .. } => Err(LaunchError::TokenSpent),
    }
}

/// None for on demand, the default.
fn market_options(market: Market) -> Option<InstanceMarketOptionsRequest> {
    let spot = SpotMarketOptions::builder()
        .spot_instance_type(SpotInstanceType::OneTime)
        .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate)
        .build();
    match market {
        Market::OnDemand => None,
        Market::Spot => Some(
            InstanceMarketOptionsRequest::builder()
                .market_type(MarketType::Spot)
                .spot_options(spot)
                .build(),
        ),
    }
}
