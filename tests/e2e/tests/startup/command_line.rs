//! Flags overrule the environment, which overrules the file.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails at once")]

use std::net::TcpListener;
use std::process::{Command, Stdio};

use diogenes_e2e::{diogenes, refused_to_start};
use tempfile::tempdir;

/// A port that is taken, and its address.
fn taken() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

#[test]
fn a_port_in_use_is_refused() {
    let (_listener, address) = taken();
    let folder = tempdir().unwrap();
    let data = folder.path().join("data");
    let (code, said) =
        refused_to_start(&["--listen", &address, "--data-dir", &data.display().to_string()]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
    assert!(!data.exists());
}

#[test]
fn unknown_flags_and_values_are_refused() {
    for (arguments, part) in [
        (["--lisen", "127.0.0.1:0"], "--listen"),
        (["--listen", "localhost"], "localhost"),
        (["--drain-timeout", "soon"], "is not a duration"),
        (["--on-shutdown", "keep"], "leave"),
    ] {
        let (code, said) = refused_to_start(&arguments);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn flags_overrule_the_environment_which_overrules_the_file() {
    // Each names a port that is taken, so that the refusal tells which one counted.
    let [(_a, file), (_b, environment), (_c, flag)] = [taken(), taken(), taken()];
    let folder = tempdir().unwrap();
    let config = folder.path().join("diogenes.toml");
    std::fs::write(&config, format!("listen = \"{file}\"\n")).unwrap();
    let said = |variables: &[(&str, &str)], arguments: &[&str]| {
        let output = Command::new(diogenes())
            .arg("serve")
            .args(arguments)
            .current_dir(folder.path())
            .env("DIOGENES_DATA_DIR", folder.path().join("data"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // `diogenes.toml` of the working directory is read without being named.
    assert!(said(&[], &[]).contains(&file));
    let variables = [("DIOGENES_LISTEN", environment.as_str())];
    assert!(said(&variables, &[]).contains(&environment));
    assert!(said(&variables, &["--listen", &flag]).contains(&flag));
    // And the file itself may be named by a variable.
    let other = folder.path().join("other.toml");
    std::fs::write(&other, format!("listen = \"{flag}\"\n")).unwrap();
    assert!(said(&[("DIOGENES_CONFIG", &other.display().to_string())], &[]).contains(&flag));
}

#[test]
fn every_setting_can_come_from_the_environment() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("taken");
    std::fs::write(&file, "").unwrap();
    for (name, value, code) in [
        ("DIOGENES_DATA_DIR", file.display().to_string().as_str(), 3),
        ("DIOGENES_ON_SHUTDOWN", "keep", 2),
        ("DIOGENES_DRAIN_TIMEOUT", "soon", 2),
        ("DIOGENES_MAX_BODY_BYTES", "big", 2),
        ("DIOGENES_LISTEN", "localhost", 2),
        ("DIOGENES_CONFIG", "/nowhere.toml", 2),
    ] {
        let mut command = Command::new(diogenes());
        command.arg("serve").current_dir(folder.path()).stdin(Stdio::null());
        if name != "DIOGENES_LISTEN" {
            command.env("DIOGENES_LISTEN", "127.0.0.1:0");
        }
        let output = command.env(name, value).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name}: {said}");
        assert!(said.contains(value), "{name}: {said}");
    }
}
