use crate::fake::Aws;
use crate::program::{diogenes, operator, program};

const ADA: [&str; 4] = ["key", "create", "--email", "ada@example.com"];

#[test]
fn a_key_is_made_listed_and_revoked_in_the_table() {
    let aws = Aws::start();
    let url = aws.url();
    let run = diogenes(
        &[&ADA[..], &["--table", "the-table", "--scope", "admin", "-o", "json"]].concat(),
        &operator(&url),
    );
    assert_eq!(run.code, 0, "{run:?}");
    let created = run.json();
    let (id, key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    assert!(key.starts_with("dg_") && key.len() == 52, "{created}");
    assert_eq!(created["scopes"], serde_json::json!(["admin"]));
    {
        let account = aws.account();
        let item = &account.items[&(format!("KEY#{id}"), "KEY".to_owned())];
        assert!(!item.to_string().contains(key), "the key itself is stored");
    }
    // The stack's output names the same table.
    let run = diogenes(&["key", "list", "--stack", "diogenes", "-o", "json"], &operator(&url));
    assert_eq!(run.json()["data"][0]["id"], id, "{run:?}");
    let run =
        diogenes(&["key", "revoke", id, "--table", "the-table", "-o", "json"], &operator(&url));
    assert_eq!(run.json()["status"], "revoked", "{run:?}");
    let run = diogenes(&["key", "rotate", id, "--table", "the-table"], &operator(&url));
    assert!(run.code == 1 && run.err.contains("was revoked; create a new key"), "{run:?}");
}

#[test]
fn the_operators_script_makes_a_key() {
    let aws = Aws::start();
    let url = aws.url();
    let mut environment = operator(&url);
    environment.push(("DIOGENES", env!("CARGO_BIN_EXE_diogenes")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/create_api_key.sh");
    let ada = ["--email", "ada@example.com"];
    let run = program(script, &[&ada[..], &["--", "-o", "json"]].concat(), &environment);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()["scopes"], serde_json::json!(["inference"]));
    let run = program(script, &[&ada[..], &["--table", "another"]].concat(), &environment);
    assert!(run.code == 1 && run.err.contains("table `another` does not exist"), "{run:?}");
    let run = program(script, &[], &environment);
    assert!(run.code == 2 && run.err.contains("--email is missing"), "{run:?}");
}

#[test]
fn quiet_prints_the_key_alone() {
    let aws = Aws::start();
    let run =
        diogenes(&[&ADA[..], &["-q", "--table", "the-table"]].concat(), &operator(&aws.url()));
    assert!(run.code == 0 && run.out.trim_end().len() == 52, "{run:?}");
}

#[test]
fn an_allow_list_names_registered_models() {
    let aws = Aws::start();
    let run = diogenes(
        &[&ADA[..], &["--table", "the-table", "--model", "qwne"]].concat(),
        &operator(&aws.url()),
    );
    assert!(run.code == 6 && run.err.contains("model `qwne` is not registered"), "{run:?}");
}

#[test]
fn a_limit_that_nobody_would_count_is_refused() {
    let aws = Aws::start();
    let limited = [&ADA[..], &["--table", "the-table", "--concurrency", "1"]].concat();
    let run = diogenes(&limited, &operator(&aws.url()));
    assert!(run.code == 2 && run.err.contains("not supported by this deployment"), "{run:?}");
}

#[test]
fn each_thing_that_is_missing_is_told_with_what_to_do() {
    let aws = Aws::start();
    let url = aws.url();
    let create = [&ADA[..], &["--table", "the-table"]].concat();
    let without = |left_out: &[&str]| -> Vec<_> {
        operator(&url).into_iter().filter(|(name, _)| !left_out.contains(name)).collect()
    };

    let run = diogenes(&create, &without(&["AWS_REGION"]));
    assert!(
        run.code == 2 && run.err.contains("no AWS region is set; set one with --region"),
        "{run:?}"
    );
    let run =
        diogenes(&[&create[..], &["--region", "eu-west-1"]].concat(), &without(&["AWS_REGION"]));
    assert_eq!(run.code, 0, "{run:?}");

    let run = diogenes(&create, &without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]));
    assert!(run.code == 5 && run.err.contains("no AWS credentials were found"), "{run:?}");
    assert!(run.err.contains("`aws sso login`"), "{run:?}");

    let run = diogenes(&[&ADA[..], &["--table", "another"]].concat(), &operator(&url));
    assert!(run.code == 4 && run.err.contains("table `another` does not exist"), "{run:?}");

    aws.fail("TransactWriteItems", 400, "AccessDeniedException");
    let run = diogenes(&create, &operator(&url));
    assert!(run.code == 4 && run.err.contains("AWS does not allow `dynamodb:PutItem`"), "{run:?}");
    assert!(!run.err.contains("dg_"), "{run:?}");

    aws.account().stack_status = None;
    let run = diogenes(&[&ADA[..], &["--stack", "diogenes"]].concat(), &operator(&url));
    assert!(
        run.code == 6 && run.err.contains("stack `diogenes` does not exist in `eu-west-1`"),
        "{run:?}"
    );
}

#[test]
fn a_stack_of_something_else_has_no_table() {
    let aws = Aws::start();
    aws.account().outputs.clear();
    let run = diogenes(&[&ADA[..], &["--stack", "diogenes"]].concat(), &operator(&aws.url()));
    assert!(run.code == 6 && run.err.contains("has no output `TableName`"), "{run:?}");
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for (flags, text) in [
        (["--table=t", "--stack=s"].as_slice(), "not both"),
        (&["--region=eu-west-1"], "requires --table or --stack"),
    ] {
        let run = diogenes(&[&ADA[..], flags].concat(), &[]);
        assert!(run.code == 2 && run.err.contains(text), "{run:?}");
    }
}
