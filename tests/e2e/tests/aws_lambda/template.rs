use std::path::Path;
use std::time::Duration;

use diogenes_e2e::aws::lambda::{Gateway, Integration, Invoked, LambdaHost, Overrides, Template};

use crate::fixture::{TEMPLATE, values};

/// The problem of a template in which `from` is `to`; within a runtime.
fn problem(from: &str, to: &str) -> String {
    assert!(TEMPLATE.contains(from), "{from}");
    let template = match Template::parse(&TEMPLATE.replacen(from, to, 1), &values()) {
        Ok(template) => template,
        Err(error) => return error.to_string(),
    };
    let host = LambdaHost::start(template.functions.values().map(|each| each.run("/nowhere")));
    let started = Gateway::from_template(&template, &host, Overrides::default());
    started.map(|_| ()).expect_err("a problem").to_string()
}

#[test]
fn functions_and_routes_are_as_the_template_says() {
    let template = Template::parse(TEMPLATE, &values().parameter("Reserved", "4")).unwrap();
    let plain = &template.functions["PlainFunction"];
    assert_eq!(plain.reserved_concurrency, Some(4));
    assert_eq!((plain.async_retries, plain.async_max_age), (1, Duration::from_mins(1)));
    assert_eq!(plain.binary, "scripted-function");
    let stream = template.functions["StreamFunction"].run("/bootstrap");
    assert_eq!((stream.timeout, stream.memory), (Duration::from_mins(1), 256));
    assert_eq!(stream.environment["TABLE"], "the-table");
    let route = template.api.routes.iter().find(|route| route.path == "/stream/{proxy+}");
    let route = route.unwrap();
    let function =
        Invoked { name: "StreamFunction".into(), streamed: true, timeout: Duration::from_mins(15) };
    assert_eq!(route.integration, Integration::Function(function));
    assert_eq!(route.authorizer.as_deref(), Some("Keys"));
    let defaults = Template::parse(TEMPLATE, &values()).unwrap();
    assert_eq!(defaults.functions["PlainFunction"].reserved_concurrency, None);
}

#[tokio::test]
async fn what_is_not_known_is_refused_with_its_place() {
    let cases = [
        (
            "      BinaryMediaTypes:",
            "      Cors: x\n      BinaryMediaTypes:",
            "Resources.Api.Properties.Cors: ",
        ),
        (
            "                timeoutInMillis: 900000\n",
            "                timeoutInMillis: 900000\n                cacheNamespace: x\n",
            "paths./stream/{proxy+}.x-amazon-apigateway-any-method.x-amazon-apigateway-integration.cacheNamespace: ",
        ),
        ("          /open:", "          /open:\n            trace: {}", "paths./open.trace: "),
        ("2021-11-15", "2015-03-31", "x-amazon-apigateway-integration.uri: "),
        (
            "                responseTransferMode: STREAM\n",
            "",
            "x-amazon-apigateway-integration.responseTransferMode: `uri` and it",
        ),
        ("httpMethod: POST", "httpMethod: GET", "httpMethod: `GET`"),
        ("statusCode: \"202\"", "statusCode: \"200\"", "responses.default.statusCode: "),
        ("- NONE: []", "- Other: []", "paths./stream/{proxy+}: no authorizer `Other`"),
        (
            "        Ref: StreamFunction\n      Principal",
            "        Ref: PlainFunction\n      Principal",
            "no AWS::Lambda::Permission lets it invoke `StreamFunction`",
        ),
        ("${Api}/*", "${Api}/*/GET/x", "Resources.StreamPermission.Properties.SourceArn: "),
        (
            "FunctionPayloadType: TOKEN",
            "FunctionPayloadType: REQUEST",
            "Resources.Api.Properties.Auth.Authorizers.Keys.FunctionPayloadType: `REQUEST`",
        ),
        (
            "Type: ScheduleV2",
            "Type: Api",
            "Resources.PlainFunction.Properties.Events.Schedule.Type: `Api`",
        ),
        (
            "Ref: Table\n",
            "Ref: Tabel\n",
            "Resources.StreamFunction.Properties.Environment.Variables.TABLE: there is no `Tabel`",
        ),
        (
            "Fn::Join: [\"+\"",
            "Fn::Select: [1",
            "Resources.StreamFunction.Properties.Environment.Variables.ZONES.Fn::Select: ",
        ),
        (
            "timeoutInMillis: 900000",
            "timeoutInMillis: 900001",
            "x-amazon-apigateway-integration.timeoutInMillis: longer than 900s",
        ),
        ("AWS::DynamoDB::Table", "AWS::Serverless::SimpleTable", "Resources.Table: the type"),
        (
            "\"$context.error.message\"",
            "\"#set($x = 1)\"",
            "GatewayResponses.DEFAULT_4XX.ResponseTemplates: `#set(`",
        ),
        (
            "$context.requestId",
            "$context.wrong",
            "GatewayResponses.UNAUTHORIZED.ResponseTemplates: `$context.wrong`",
        ),
        (
            "$context.requestId",
            "$input.body",
            "GatewayResponses.UNAUTHORIZED.ResponseTemplates: `$i`",
        ),
        ("\"'Bearer'\"", "context.requestId", "GatewayResponses.UNAUTHORIZED.ResponseParameters: "),
        ("        THROTTLED:", "        TROTTLED:", "GatewayResponses.TROTTLED"),
        (
            "DefaultAuthorizer: Keys",
            "DefaultAuthorizer: Other",
            "paths./stream/{proxy+}: no authorizer `Other`",
        ),
    ];
    for (from, to, expected) in cases {
        let problem = problem(from, to);
        assert!(problem.contains(expected), "{to}: {problem}");
    }
}

#[test]
fn values_that_only_aws_knows_must_be_given() {
    let error = Template::parse(TEMPLATE, &diogenes_e2e::aws::lambda::Values::default());
    let error = error.unwrap_err();
    assert_eq!(error.place, "Resources.StreamFunction.Properties.Environment.Variables.TABLE");
    assert!(error.problem.contains("give it one with `Values::reference`"), "{error}");
}

/// The template that is deployed.
#[tokio::test]
async fn the_real_template_is_understood() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let zones = ["A", "B", "C"];
    let values = zones.iter().fold(values(), |values, zone| {
        let subnet = format!("InstanceSubnet{zone}");
        values
            .reference(
                &format!("{subnet}.AvailabilityZone"),
                format!("us-east-1{}", zone.to_lowercase()),
            )
            .reference(&subnet, format!("subnet-{zone}"))
    });
    let values = values
        .reference("LaunchTemplate", "lt-1")
        .reference("LaunchTemplate.LatestVersionNumber", "1")
        .reference("Files", "files")
        .reference("Schedules", "schedules")
        .reference("SchedulesRole.Arn", "arn:aws:iam::1:role/schedules")
        .reference("FailedEvents.Arn", "arn:aws:sqs:us-east-1:1:failed");
    // Of an account's executions each has its share, unless the account has too few to share.
    let shares = ["Router", "Authorizer", "Orchestrator", "Jobs", "Transfers", "Outbound"];
    let none = shares.iter().fold(values.clone(), |values, function| {
        values.parameter(&format!("{function}ReservedConcurrency"), "0")
    });
    for (values, reserves) in [(&values, true), (&none, false)] {
        let template = Template::read(&path, values).unwrap();
        for function in shares {
            let function = &template.functions[&format!("{function}Function")];
            assert_eq!(function.reserved_concurrency.is_some(), reserves, "{}", function.id);
        }
    }
    let template = Template::read(&path, &values).unwrap();
    let names: Vec<_> =
        template.functions.values().map(|each| (each.id.as_str(), each.binary.as_str())).collect();
    assert_eq!(
        names,
        [
            ("AuthorizerFunction", "authorizer"),
            ("BatchesFunction", "batches"),
            ("ClusterFunction", "cluster"),
            ("DatasetsFunction", "datasets"),
            ("EvalFunction", "eval"),
            ("JobsFunction", "jobs"),
            ("KeysFunction", "keys"),
            ("OrchestratorFunction", "orchestrator"),
            ("OutboundFunction", "jobs"),
            ("PromptsFunction", "prompts"),
            ("RouterFunction", "router"),
            ("TransfersFunction", "jobs"),
        ]
    );
    let orchestrator = &template.functions["OrchestratorFunction"];
    assert_eq!(
        orchestrator.environment["DIOGENES_SUBNETS"],
        "us-east-1a=subnet-A,us-east-1b=subnet-B,us-east-1c=subnet-C"
    );
    let router = &template.functions["RouterFunction"];
    assert_eq!(router.environment["DIOGENES_ORCHESTRATOR"], "OrchestratorFunction");
    let host = LambdaHost::start(template.functions.values().map(|each| each.run("/nowhere")));
    Gateway::from_template(&template, &host, Overrides::default()).unwrap();
}
