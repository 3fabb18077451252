use diogenes_e2e::{Config, Model, Serve};
use serde_json::json;

use crate::Sheet;

#[tokio::test]
async fn orders_and_logs_that_make_no_sense() {
    let serve = Serve::start(Config::with([Model::mock("demo", &[])])).await;
    let client = serve.client();
    let mut sheet = Sheet::default();
    for (what, body) in [
        ("nothing", json!({})),
        ("no action", json!({"model": "demo"})),
        ("an unknown action", json!({"model": "demo", "action": "start"})),
        ("an unknown field", json!({"model": "demo", "action": "up", "replicas": 2})),
        ("a model with a typo", json!({"model": "dmeo", "action": "up"})),
    ] {
        sheet.add(what, &client.post("/api/v1/cluster/scale", &body).await);
    }
    for query in [
        "",
        "model=demo",
        "model=a%20b",
        "model=unknown",
        "model=demo&claim=00000000000000000000000000000000",
        "model=demo&offset=-1",
        "model=demo&tail=5",
    ] {
        sheet.add(
            &format!("logs?{query}"),
            &client.get(&format!("/api/v1/cluster/logs?{query}")).await,
        );
    }
    insta::assert_snapshot!(sheet.text());
}
