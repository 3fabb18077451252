//! What the template of the stack says.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");

/// The whole template.
pub(crate) fn read() -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(TEMPLATE).unwrap()).unwrap()
}

/// The resources of a type, by their logical ids.
fn resources(kind: &str) -> Map<String, Value> {
    let template = read();
    let all = template["Resources"].as_object().unwrap().clone();
    let found: Map<_, _> = all.into_iter().filter(|(_, each)| each["Type"] == kind).collect();
    assert!(!found.is_empty(), "no {kind}");
    found
}

fn properties(of: &str) -> Value {
    read()["Resources"][of]["Properties"].clone()
}

fn reference(to: &str) -> Value {
    json!({"Ref": to})
}

#[test]
fn an_instance_ends_with_its_shutdown_and_keeps_its_role_to_itself() {
    let data = &properties("LaunchTemplate")["LaunchTemplateData"];
    assert_eq!(data["InstanceInitiatedShutdownBehavior"], "terminate");
    assert_eq!(data["MetadataOptions"]["HttpTokens"], "required");
    assert_eq!(data["MetadataOptions"]["HttpPutResponseHopLimit"], 1);
    assert_eq!(data["SecurityGroupIds"], json!([reference("InstanceSecurityGroup")]));
    assert_eq!(data["KeyName"], Value::Null, "nobody logs in");
    for disk in data["BlockDeviceMappings"].as_array().unwrap() {
        assert_eq!(disk["Ebs"]["DeleteOnTermination"], true, "a volume that stays is paid for");
        assert_eq!(disk["Ebs"]["Encrypted"], true);
    }
}

#[test]
fn an_instance_is_reached_by_the_router_alone() {
    let ingress = &properties("InstanceSecurityGroup")["SecurityGroupIngress"];
    let [rule] = &ingress.as_array().unwrap()[..] else { panic!("{ingress}") };
    assert_eq!(rule["SourceSecurityGroupId"], reference("RouterSecurityGroup"));
    assert_eq!((&rule["FromPort"], &rule["ToPort"]), (&json!(8000), &json!(8000)));
    assert_eq!(properties("RouterSecurityGroup")["SecurityGroupIngress"], Value::Null);
    let text = std::fs::read_to_string(TEMPLATE).unwrap();
    assert!(!text.contains("AWS::EC2::SecurityGroupIngress"), "a rule that stands elsewhere");
}

#[test]
fn every_log_is_kept_as_long_as_the_parameter_says() {
    let groups = resources("AWS::Logs::LogGroup");
    for (name, group) in &groups {
        assert_eq!(group["Properties"]["RetentionInDays"], reference("LogRetentionDays"), "{name}");
    }
    for (name, function) in resources("AWS::Serverless::Function") {
        let group = &function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"];
        assert!(groups.contains_key(group.as_str().unwrap()), "{name} logs to {group}");
    }
}

#[test]
fn what_the_orchestrator_could_not_do_is_kept() {
    let asynchronous = &properties("OrchestratorFunction")["EventInvokeConfig"];
    let failed = &asynchronous["DestinationConfig"]["OnFailure"];
    assert_eq!(failed["Destination"], json!({"Fn::GetAtt": ["FailedEvents", "Arn"]}));
    assert_eq!(asynchronous["MaximumEventAgeInSeconds"], 60);
}

#[test]
fn the_workers_of_requests_are_outside_of_the_vpc_and_reach_nothing_inward() {
    let (inside, outside) = (properties("JobsFunction"), properties("OutboundFunction"));
    let transfers = properties("TransfersFunction");
    assert_ne!(inside["VpcConfig"], Value::Null);
    assert_eq!(outside["VpcConfig"], Value::Null);
    assert_eq!(transfers["VpcConfig"], Value::Null, "it asks no replica");
    let binary =
        |of: &str| read()["Resources"][of]["Metadata"]["BuildProperties"]["Binary"].clone();
    assert_eq!(binary("JobsFunction"), binary("OutboundFunction"));
    assert_eq!(binary("JobsFunction"), binary("TransfersFunction"));
    for (of, duty) in [(&inside, "inference"), (&transfers, "transfers"), (&outside, "outbound")] {
        assert_eq!(of["Environment"]["Variables"]["DIOGENES_DUTY"], duty);
        assert_eq!(of["RecursiveLoop"], "Allow", "they go on for as long as something is due");
        assert_eq!(of["EventInvokeConfig"]["MaximumRetryAttempts"], 0);
    }
    let text = std::fs::read_to_string(TEMPLATE).unwrap();
    assert!(!text.contains("DIOGENES_HTTP_ALLOW"), "only tests open inward addresses");
}

#[test]
fn the_table_outlives_the_stack_and_can_be_restored() {
    let template = read();
    let table = &template["Resources"]["Table"];
    assert_eq!(table["DeletionPolicy"], "RetainExceptOnCreate");
    assert_eq!(table["UpdateReplacePolicy"], "Retain");
    let recovery = &table["Properties"]["PointInTimeRecoverySpecification"];
    assert_eq!(recovery["PointInTimeRecoveryEnabled"], reference("PointInTimeRecovery"));
    assert_eq!(template["Parameters"]["PointInTimeRecovery"]["Default"].to_string(), "\"true\"");
}

#[test]
fn the_outputs_are_those_that_others_read() {
    let template = read();
    let outputs: BTreeSet<_> = template["Outputs"].as_object().unwrap().keys().cloned().collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/smoke.sh");
    let script = std::fs::read_to_string(script).unwrap();
    let read = script.split("$(out ").skip(1).filter_map(|rest| rest.split(')').next());
    // The command `doctor --aws` reads these, and the last two are for operators.
    let others = ["ControlUrl", "TableName", "LaunchTemplateId", "FailedEventsUrl", "FirstKey"];
    for name in read.chain(others) {
        assert!(outputs.contains(name), "{name} is not in {outputs:?}");
    }
}

#[test]
fn the_root_volume_is_as_fast_as_the_parameter_says() {
    let disks = &properties("LaunchTemplate")["LaunchTemplateData"]["BlockDeviceMappings"];
    let [disk] = &disks.as_array().unwrap()[..] else { panic!("{disks}") };
    assert_eq!(disk["Ebs"]["VolumeType"], "gp3");
    assert_eq!(disk["Ebs"]["Throughput"], reference("GpuVolumeThroughput"));
    let parameter = &read()["Parameters"]["GpuVolumeThroughput"];
    // EBS includes 125 MiB/s, at which a boot takes minutes longer; 3,000 operations of 256 KiB a
    // second, which it includes too, can be no more than 750.
    let bounds = [&parameter["MinValue"], &parameter["Default"], &parameter["MaxValue"]];
    assert_eq!(bounds.map(|bound| bound.as_u64().unwrap()), [125, 500, 750]);
}

/// The routes of the instances' subnets that lead to the internet.
fn routes_out() -> Map<String, Value> {
    let routes = resources("AWS::EC2::Route").into_iter();
    routes
        .filter(|(_, route)| route["Properties"]["RouteTableId"] == reference("InstanceRouteTable"))
        .collect()
}

#[test]
fn an_instance_reaches_no_internet_unless_it_is_asked_for() {
    let template = read();
    for parameter in ["GpuPublicIpv4", "GpuIpv6Internet"] {
        assert_eq!(template["Parameters"][parameter]["Default"], "false", "{parameter}");
    }
    let is_true = |parameter: &str| json!({"Fn::Equals": [reference(parameter), "true"]});
    let conditions = &template["Conditions"];
    assert_eq!(conditions["HasPublicIpv4"], is_true("GpuPublicIpv4"));
    assert_eq!(
        conditions["HasIpv6Internet"],
        json!({"Fn::Or": [{"Condition": "HasPublicIpv4"}, is_true("GpuIpv6Internet")]})
    );
    let routes = routes_out();
    assert!(routes.contains_key("InstanceIpv6Out"), "{routes:?}");
    for (name, route) in &routes {
        let to = &route["Properties"];
        let wanted = if to["DestinationIpv6CidrBlock"].is_null() {
            "HasPublicIpv4"
        } else {
            // Nobody reaches it from there.
            assert_eq!(to["EgressOnlyInternetGatewayId"], reference("EgressOnlyGateway"), "{name}");
            "HasIpv6Internet"
        };
        assert_eq!(route["Condition"], wanted, "{name}");
    }
    let egress = properties("InstanceSecurityGroup")["SecurityGroupEgress"].to_string();
    let by_ipv6 = egress.find("::/0").unwrap();
    assert!(egress[..by_ipv6].contains(r#"{"Fn::If":["HasIpv6Internet","#), "{egress}");
}
