use std::collections::BTreeMap;

use crate::aws::front::{Recorded, Resource};
use crate::aws::lambda::{ACCOUNT, REGION, Values};
use crate::aws::stack::{INSTANCE, JOBS, ORCHESTRATOR, Stack, TEMPLATES};

use super::condition::Context;

/// The condition key of DynamoDB's partitions.
pub(super) const LEADING_KEYS: &str = "dynamodb:LeadingKeys";

/// Names of resources that no emulator makes, and that stand for themselves.
const IMAGE: &str = "ami-1";
const SECURITY_GROUP: &str = "sg-1";
const VPC_ENDPOINT: &str = "vpce-1";
const WEIGHTS: &str = "weights";

/// What IAM decides upon: one action on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// Such as `dynamodb:GetItem`.
    pub action: String,
    /// An ARN, or `*` where the action knows none.
    pub resource: String,
    /// Values of condition keys.
    pub context: BTreeMap<String, Vec<String>>,
}

/// What the calls of a stack leave open: whose resources they are about.
#[derive(Clone, Debug)]
pub struct Account {
    table: String,
    deployment: String,
    launch_template: String,
    subnets: Vec<String>,
    bucket: String,
}

impl Account {
    /// The account of a stack.
    pub fn of(stack: &Stack) -> Self {
        let environment = &stack.template.functions[ORCHESTRATOR].environment;
        let subnets = environment["DIOGENES_SUBNETS"].split(',');
        let subnets = subnets.map(|pair| pair.rsplit('=').next().unwrap_or(pair).to_owned());
        Self {
            table: stack.table().to_owned(),
            deployment: stack.deployment().to_owned(),
            launch_template: environment["DIOGENES_LAUNCH_TEMPLATE"].clone(),
            subnets: subnets.collect(),
            bucket: stack.template.functions[JOBS].environment["DIOGENES_BUCKET"].clone(),
        }
    }

    /// What the template's roles refer to.
    pub fn values(&self) -> Values {
        let mut values = Values::default()
            .parameter("GpuImageId", IMAGE)
            .parameter("WeightsBucket", WEIGHTS)
            .parameter("JobTemplates", TEMPLATES)
            .reference("AWS::StackName", &self.deployment)
            .reference("Table", &self.table)
            .reference("Table.Arn", self.table_arn())
            .reference("LaunchTemplate", &self.launch_template)
            .reference("InstanceSecurityGroup", SECURITY_GROUP)
            .reference("DynamoDbEndpoint", VPC_ENDPOINT)
            .reference("InstanceRole", "InstanceRole")
            .reference("InstanceRole.Arn", instance_role())
            .reference("Files.Arn", self.bucket())
            .reference("Schedules", &self.deployment)
            .reference("SchedulesRole.Arn", format!("arn:aws:iam::{ACCOUNT}:role/SchedulesRole"))
            .reference("FailedEvents.Arn", arn("sqs", "FailedEvents"));
        for (letter, subnet) in ["A", "B", "C"].into_iter().zip(&self.subnets) {
            values = values.reference(&format!("InstanceSubnet{letter}"), subnet);
        }
        for group in [
            "Router",
            "Orchestrator",
            "Authorizer",
            "Keys",
            "Prompts",
            "Cluster",
            "Batches",
            "Datasets",
            "Eval",
            "Jobs",
            "Transfers",
            "Outbound",
        ] {
            let log_group = arn("logs", &format!("log-group:{group}"));
            values = values.reference(&format!("{group}Logs.Arn"), log_group);
        }
        values
    }

    /// What EventBridge asks when the time of a schedule comes that this call makes.
    pub fn run_of_schedule(call: &Recorded) -> Request {
        let target = call.resource.parameters.get("Target").cloned().unwrap_or_default();
        request("lambda:InvokeFunction", target)
    }

    /// What IAM is asked when this call is made: a call may need several permissions.
    ///
    /// # Panics
    /// If the call is one that nobody has thought of yet.
    pub fn requests(&self, call: &Recorded) -> Vec<Request> {
        let mut requests = self.of_call(call);
        for request in &mut requests {
            // Where the calls of either come from: the instances' through the VPC's endpoint.
            let (key, value) = match call.caller.as_str() {
                INSTANCE => ("aws:SourceVpce", VPC_ENDPOINT.to_owned()),
                function => {
                    ("lambda:SourceFunctionArn", arn("lambda", &format!("function:{function}")))
                }
            };
            request.context.insert(key.to_owned(), vec![value]);
        }
        requests
    }

    fn of_call(&self, call: &Recorded) -> Vec<Request> {
        match (call.service.as_str(), call.action.as_str()) {
            ("dynamodb", _) => self.of_table(call),
            ("lambda", "Invoke") => {
                let function = call.resource.function.as_deref().unwrap_or_default();
                vec![request(
                    "lambda:InvokeFunction",
                    arn("lambda", &format!("function:{function}")),
                )]
            }
            ("ec2", "RunInstances") => Self::of_launch(&call.resource),
            ("ec2", "TerminateInstances") => {
                let ids = call.resource.parameters.iter();
                let ids = ids.filter(|(name, _)| name.starts_with("InstanceId."));
                let own = [("aws:ResourceTag/diogenes:deployment".to_owned(), &self.deployment)];
                ids.map(|(_, id)| {
                    request("ec2:TerminateInstances", arn("ec2", &format!("instance/{id}")))
                        .with(own.clone())
                })
                .collect()
            }
            ("s3", "ListBucket") => vec![request("s3:ListBucket", self.bucket())],
            ("s3", action) if self.is_of_bucket(call) => {
                let key = call.resource.parameters.get("Key").map_or("", String::as_str);
                vec![request(&format!("s3:{action}"), format!("{}/{key}", self.bucket()))]
            }
            ("scheduler", "CreateSchedule") => {
                let parameter =
                    |name: &str| call.resource.parameters.get(name).cloned().unwrap_or_default();
                let place = format!("schedule/{}/{}", parameter("Group"), parameter("Name"));
                let passing = request("iam:PassRole", parameter("Role"));
                let service = ("iam:PassedToService".to_owned(), "scheduler.amazonaws.com");
                vec![
                    request("scheduler:CreateSchedule", arn("scheduler", &place)),
                    passing.with([service]),
                ]
            }
            ("ssm", "GetParameter" | "PutParameter") => {
                let name = call.resource.parameters.get("Name").map_or("", String::as_str);
                let action = format!("ssm:{}", call.action);
                vec![request(&action, arn("ssm", &format!("parameter{name}")))]
            }
            // https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
            ("ec2", "DescribeInstances") => vec![request("ec2:DescribeInstances", "*".to_owned())],
            _ => panic!("which permissions does {call:?} need? teach it to {}", file!()),
        }
    }

    fn bucket(&self) -> String {
        format!("arn:aws:s3:::{}", self.bucket)
    }

    fn is_of_bucket(&self, call: &Recorded) -> bool {
        call.resource.parameters.get("Bucket") == Some(&self.bucket)
    }

    fn table_arn(&self) -> String {
        arn("dynamodb", &format!("table/{}", self.table))
    }

    /// A transaction needs the permission of each of its parts; a query of an index that on the
    /// index.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>
    fn of_table(&self, call: &Recorded) -> Vec<Request> {
        let resource = match &call.resource.index {
            Some(index) => format!("{}/index/{index}", self.table_arn()),
            None => self.table_arn(),
        };
        assert_eq!(call.resource.tables, [self.table.as_str()], "a table of others: {call:?}");
        let one = |action: &str, keys: &[String]| {
            assert!(!keys.is_empty(), "a call of all partitions: {call:?}");
            let mut request = request(&format!("dynamodb:{action}"), resource.clone());
            request.context.insert(LEADING_KEYS.to_owned(), keys.to_vec());
            request
        };
        if call.action.starts_with("Transact") {
            assert!(!call.resource.parts.is_empty(), "a transaction of nothing: {call:?}");
            let parts = call.resource.parts.iter();
            parts.map(|part| one(&part.action, std::slice::from_ref(&part.leading_key))).collect()
        } else {
            vec![one(&call.action, &call.resource.leading_keys)]
        }
    }

    /// A launch needs the permission for everything that it makes or uses, for the tags that it
    /// gives, and for the role of the launch template's profile.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-api-permissions.html>
    fn of_launch(launch: &Resource) -> Vec<Request> {
        let parameter = |name: &str| launch.parameters.get(name).cloned().unwrap_or_default();
        let template = arn(
            "ec2",
            &format!("launch-template/{}", parameter("LaunchTemplate.LaunchTemplateId")),
        );
        let from_template = [("ec2:LaunchTemplate".to_owned(), template.clone())];
        let tagged = tags(launch);
        let mut resources = vec![
            template,
            format!("arn:aws:ec2:{REGION}::image/{IMAGE}"),
            arn("ec2", &format!("security-group/{SECURITY_GROUP}")),
            arn("ec2", &format!("subnet/{}", parameter("SubnetId"))),
            arn("ec2", "network-interface/eni-1"),
            arn("ec2", "instance/i-1"),
            arn("ec2", "volume/vol-1"),
        ];
        if parameter("InstanceMarketOptions.MarketType") == "spot" {
            resources.push(arn("ec2", "spot-instances-request/sir-1"));
        }
        let mut requests = Vec::new();
        for resource in resources {
            let tags = tagged.iter().filter(|(kind, _)| resource.contains(&format!(":{kind}/")));
            let tags: Context = tags.flat_map(|(_, tags)| tags.clone()).collect();
            if !tags.is_empty() {
                let mut tagging = request("ec2:CreateTags", resource.clone())
                    .with([("ec2:CreateAction".to_owned(), "RunInstances")]);
                tagging.context.extend(tags.clone());
                requests.push(tagging);
            }
            let mut launching = request("ec2:RunInstances", resource).with(from_template.clone());
            launching.context.extend(tags);
            requests.push(launching);
        }
        let passing = request("iam:PassRole", instance_role());
        requests.push(passing.with([("iam:PassedToService".to_owned(), "ec2.amazonaws.com")]));
        requests
    }
}

impl Request {
    fn with<V: Into<String>>(mut self, values: impl IntoIterator<Item = (String, V)>) -> Self {
        let values = values.into_iter().map(|(key, value)| (key, vec![value.into()]));
        self.context.extend(values);
        self
    }
}

/// The tags of a launch as condition keys, by the kind of resource that gets them.
fn tags(launch: &Resource) -> Vec<(String, Context)> {
    let fields = &launch.parameters;
    let kinds = (1..).map_while(|n| {
        let prefix = format!("TagSpecification.{n}.");
        let kind = fields.get(&format!("{prefix}ResourceType"))?;
        let tags = (1..).map_while(|n| {
            let key = fields.get(&format!("{prefix}Tag.{n}.Key"))?;
            let value = fields.get(&format!("{prefix}Tag.{n}.Value"))?;
            Some((format!("aws:RequestTag/{key}"), vec![value.clone()]))
        });
        Some((kind.clone(), tags.collect::<BTreeMap<_, _>>()))
    });
    kinds.collect()
}

fn request(action: &str, resource: String) -> Request {
    Request { action: action.to_owned(), resource, context: Context::new() }
}

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}

fn instance_role() -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/InstanceRole")
}
