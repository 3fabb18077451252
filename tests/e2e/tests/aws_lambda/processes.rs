use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use diogenes_e2e::aws::lambda::{Function, LambdaHost};
use diogenes_e2e::{DEADLINE, eventually};
use serde_json::{Value, json};

use crate::fixture::{gone, open, program, scripted};

#[tokio::test]
async fn an_event_is_answered() {
    let host = LambdaHost::start([scripted()]);
    let event = json!({"a": [1, "b"]}).to_string();
    assert_eq!(host.invoke("scripted", event.clone()).await.unwrap(), event);
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:scripted:$LATEST";
    assert_eq!(host.invoke(arn, event.clone()).await.unwrap(), event);
    assert_eq!((host.starts("scripted"), host.invocations("scripted")), (1, 2));
}

#[tokio::test]
async fn parallel_invocations_have_processes_of_their_own_which_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let function = Function { timeout: DEADLINE, ..scripted() };
    let host = LambdaHost::start([function]);
    for round in 0..2 {
        let gate = folder.path().join(format!("gate{round}"));
        let event = json!({"do": "wait", "gate": gate}).to_string();
        let invocations: Vec<_> = (0..20)
            .map(|_| {
                let (host, event) = (host.clone(), event.clone());
                tokio::spawn(async move { host.invoke("scripted", event).await.unwrap() })
            })
            .collect();
        eventually("20 invocations", async || match host.invocations("scripted") {
            begun if begun == 20 * (round + 1) => Ok(()),
            begun => Err(begun),
        })
        .await;
        open(&gate);
        let mut pids = BTreeSet::new();
        for invocation in invocations {
            let answer: Value = serde_json::from_slice(&invocation.await.unwrap()).unwrap();
            pids.insert(u32::try_from(answer["pid"].as_u64().unwrap()).unwrap());
        }
        assert_eq!(pids.len(), 20);
        assert_eq!(pids, host.pids("scripted").into_iter().collect());
        assert_eq!(host.starts("scripted"), 20);
        host.wait_idle().await;
    }
}

#[tokio::test]
async fn what_a_process_writes_is_kept() {
    let host = LambdaHost::start([scripted()]);
    let event = json!({"do": "log", "text": "a line of a log"}).to_string();
    host.invoke("scripted", event).await.unwrap();
    eventually("the line", async || {
        let log = host.logs("scripted");
        if log.contains("a line of a log\n") { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test]
async fn a_process_that_was_killed_between_invocations_is_replaced() {
    let host = LambdaHost::start([scripted()]);
    host.invoke("scripted", "1").await.unwrap();
    host.wait_idle().await;
    host.kill("scripted");
    assert!(host.pids("scripted").is_empty());
    assert_eq!(host.invoke("scripted", "2").await.unwrap(), "2");
    assert_eq!(host.starts("scripted"), 2);
}

#[tokio::test]
async fn processes_end_with_the_host() {
    let host = LambdaHost::start([scripted()]);
    host.invoke("scripted", "1").await.unwrap();
    let pids = host.pids("scripted");
    let other = host.clone();
    drop(host);
    assert_eq!(other.invoke("scripted", "2").await.unwrap(), "2", "a clone keeps it");
    drop(other);
    for pid in pids {
        gone(pid).await;
    }
}

/// Runs a host in a test process of its own, which is killed.
#[tokio::test]
async fn processes_end_with_a_test_process_that_is_killed() {
    if std::env::var_os("HOST_TO_BE_KILLED").is_some() {
        let host = LambdaHost::start([scripted()]);
        host.invoke("scripted", "1").await.unwrap();
        println!("pid={}", host.pids("scripted")[0]);
        std::future::pending::<()>().await;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::processes_end_with_a_test_process_that_is_killed"])
        .arg("--nocapture")
        .env("HOST_TO_BE_KILLED", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("pid=")).expect("a pid");
    let pid = line.rsplit("pid=").next().unwrap().parse().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    gone(pid).await;
}

#[tokio::test]
async fn a_process_sees_the_environment_of_lambda_and_nothing_of_ours() {
    let function = Function {
        program: program("echo-function"),
        memory: 512,
        ..scripted().with("MINE", "x").with("AWS_ACCESS_KEY_ID", "other")
    };
    let host = LambdaHost::start([function]);
    let event = json!({
        "httpMethod": "GET", "path": "/", "headers": {"host": "h"}, "requestContext": {"httpMethod": "GET"},
    });
    let answer = host.invoke("scripted", event.to_string()).await.unwrap();
    let body = answer.windows(8).position(|bytes| bytes == [0; 8]).expect("a delimiter") + 8;
    let echo: Value = serde_json::from_slice(&answer[body..]).unwrap();
    let names: Vec<_> = echo["environment"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        names,
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_DEFAULT_REGION",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_LAMBDA_FUNCTION_VERSION",
            "AWS_LAMBDA_INITIALIZATION_TYPE",
            "AWS_LAMBDA_LOG_GROUP_NAME",
            "AWS_LAMBDA_LOG_STREAM_NAME",
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "LAMBDA_RUNTIME_DIR",
            "LAMBDA_TASK_ROOT",
            "LANG",
            "MINE",
            "PATH",
            "TZ",
            "_HANDLER",
            "_X_AMZN_TRACE_ID",
        ]
    );
    assert_eq!(echo["environment"]["AWS_ACCESS_KEY_ID"], "other");
    assert_eq!(echo["environment"]["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "512");
    assert_eq!(echo["arn"], "arn:aws:lambda:us-east-1:000000000000:function:scripted");
}
