use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// As much of AWS as these commands see: one table without conditions, one stack, some quotas,
/// and the deployment's own `/healthz`.
pub(crate) struct Aws {
    address: SocketAddr,
    state: Arc<Mutex<Account>>,
    runtime: tokio::runtime::Runtime,
}

/// What the account has; tests change it.
pub(crate) struct Account {
    pub(crate) table: Value,
    pub(crate) time_to_live: Value,
    pub(crate) items: BTreeMap<(String, String), Value>,
    pub(crate) stack_status: Option<&'static str>,
    pub(crate) outputs: BTreeMap<&'static str, String>,
    pub(crate) quotas: BTreeMap<&'static str, f64>,
    /// What AWS gives who has nothing of his own.
    pub(crate) default_quota: f64,
    /// Operations that fail, by name: status, code, message.
    pub(crate) faults: BTreeMap<&'static str, (u16, &'static str, &'static str)>,
}

impl Aws {
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("http://{address}/prod");
        let outputs = [
            ("Url", format!("{base}/v1")),
            ("ControlUrl", base),
            ("TableName", "the-table".to_owned()),
            ("LaunchTemplateId", "lt-1".to_owned()),
        ];
        let key = |name: &str, of: &str| json!({"AttributeName": name, "KeyType": of});
        let strings = ["pk", "sk", "ipk", "isk"]
            .map(|name| json!({"AttributeName": name, "AttributeType": "S"}));
        let account = Account {
            table: json!({
                "TableName": "the-table", "TableStatus": "ACTIVE",
                "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
                "AttributeDefinitions": strings,
                "GlobalSecondaryIndexes": [{
                    "IndexName": "index", "Projection": {"ProjectionType": "ALL"},
                    "KeySchema": [key("ipk", "HASH"), key("isk", "RANGE")],
                }],
            }),
            time_to_live: json!({"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}),
            items: BTreeMap::new(),
            stack_status: Some("CREATE_COMPLETE"),
            outputs: outputs.into(),
            quotas: BTreeMap::from([
                ("L-DB2E81BA", 8.0),
                ("L-3819A6DF", 8.0),
                ("L-B99A9384", 1000.0),
            ]),
            default_quota: 0.0,
            faults: BTreeMap::new(),
        };
        let state = Arc::new(Mutex::new(account));
        let app = Router::new().fallback(answer).with_state(state.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, state, runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.state.lock().unwrap()
    }

    pub(crate) fn fail(&self, operation: &'static str, status: u16, code: &'static str) {
        self.account().faults.insert(operation, (status, code, "the fake's message"));
    }

    /// Writes records as the deployed functions do.
    pub(crate) fn put(&self, records: &[diogenes_core::ports::Write]) {
        use diogenes_core::ports::StateStore;

        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .region(aws_sdk_dynamodb::config::Region::new("eu-west-1"))
            .credentials_provider(aws_credential_types::Credentials::new(
                "a", "b", None, None, "test",
            ))
            .endpoint_url(self.url())
            .build();
        let store = diogenes_backends::aws::dynamodb::DynamoStore::new(
            aws_sdk_dynamodb::Client::from_conf(config),
            "the-table",
            Arc::new(diogenes_backends::system::SystemClock),
        );
        for record in records {
            self.runtime.block_on(store.commit(std::slice::from_ref(record))).unwrap();
        }
    }
}

async fn answer(
    State(account): State<Arc<Mutex<Account>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if uri.path() == "/prod/healthz" {
        let account = account.lock().unwrap();
        return match account.faults.get("healthz") {
            Some((status, _, message)) => {
                let body = json!({"message": message}).to_string();
                (StatusCode::from_u16(*status).unwrap(), body).into_response()
            }
            None => "ok".into_response(),
        };
    }
    let mut account = account.lock().unwrap();
    if let Some(target) = headers.get("x-amz-target") {
        let operation = target.to_str().unwrap().rsplit('.').next().unwrap();
        if let Some((status, code, message)) = account.faults.get(operation) {
            return json_error(*status, code, message);
        }
        return account.json(operation, &serde_json::from_slice(&body).unwrap());
    }
    let form = String::from_utf8(body.to_vec()).unwrap();
    let operation = form
        .split('&')
        .find_map(|pair| pair.strip_prefix("Action="))
        .unwrap_or_else(|| panic!("{uri}: {form}"));
    match account.faults.get(operation) {
        Some((status, code, message)) => xml_error(*status, code, message),
        None => account.query(operation),
    }
}

impl Account {
    fn json(&mut self, operation: &str, call: &Value) -> Response {
        let of_table = call["TableName"].as_str();
        if of_table.is_some_and(|name| name != "the-table") {
            return json_error(400, "ResourceNotFoundException", "Requested resource not found");
        }
        let key = |of: &Value| {
            let part = |name: &str| of[name]["S"].as_str().unwrap().to_owned();
            (part("pk"), part("sk"))
        };
        let answer = match operation {
            "PutItem" => {
                self.items.insert(key(&call["Item"]), call["Item"].clone());
                json!({})
            }
            "TransactWriteItems" => {
                for write in call["TransactItems"].as_array().unwrap() {
                    let put = &write["Put"];
                    if put["TableName"] != "the-table" {
                        let missing = "Requested resource not found";
                        return json_error(400, "ResourceNotFoundException", missing);
                    }
                    self.items.insert(key(&put["Item"]), put["Item"].clone());
                }
                json!({})
            }
            "GetItem" => match self.items.get(&key(&call["Key"])) {
                Some(item) => json!({"Item": item}),
                None => json!({}),
            },
            "Query" => {
                // The partition is the only value that is the whole of a key here.
                let attribute = if call["IndexName"].is_null() { "pk" } else { "ipk" };
                let values: Vec<_> =
                    call["ExpressionAttributeValues"].as_object().unwrap().values().collect();
                let found = self.items.values().filter(|item| values.contains(&&item[attribute]));
                json!({"Items": found.collect::<Vec<_>>()})
            }
            "DescribeTable" => json!({"Table": self.table}),
            "DescribeTimeToLive" => json!({"TimeToLiveDescription": self.time_to_live}),
            "GetServiceQuota" => match self.quotas.get(call["QuotaCode"].as_str().unwrap()) {
                Some(value) => json!({"Quota": {"Value": value}}),
                None => return json_error(400, "NoSuchResourceException", "no such quota"),
            },
            "GetAWSDefaultServiceQuota" => json!({"Quota": {"Value": self.default_quota}}),
            other => panic!("the fake does not know {other}: {call}"),
        };
        axum::Json(answer).into_response()
    }

    fn query(&self, operation: &str) -> Response {
        let result = match operation {
            "GetCallerIdentity" => "<Arn>arn:aws:iam::123456789012:user/ada</Arn>\
                <UserId>AIDA</UserId><Account>123456789012</Account>"
                .to_owned(),
            "DescribeStacks" => {
                let Some(status) = self.stack_status else {
                    let message = "Stack with id diogenes does not exist";
                    return xml_error(400, "ValidationError", message);
                };
                let outputs = self.outputs.iter().fold(String::new(), |text, (key, value)| {
                    text + "<member><OutputKey>"
                        + key
                        + "</OutputKey><OutputValue>"
                        + value
                        + "</OutputValue></member>"
                });
                format!(
                    "<Stacks><member><StackName>diogenes</StackName><StackStatus>{status}</StackStatus>\
                     <CreationTime>2026-11-01T00:00:00Z</CreationTime><Outputs>{outputs}</Outputs></member></Stacks>"
                )
            }
            other => panic!("the fake does not know {other}"),
        };
        format!("<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>")
            .into_response()
    }
}

fn json_error(status: u16, code: &str, message: &str) -> Response {
    let body = json!({"__type": format!("com.amazonaws#{code}"), "message": message});
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn xml_error(status: u16, code: &str, message: &str) -> Response {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}
