use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use diogenes_backends::engine::secrets;
use diogenes_core::fleet::ModelSpec;
use diogenes_core::secret::SecretRef;
use rustix::fs::Access;

use super::report::Report;
use crate::serve::Config;

/// Looks for the program of each model: those of the configuration, and those that the server
/// of this machine has beside them.
pub(super) fn check(
    config: Option<&Config>,
    of_server: &BTreeMap<String, ModelSpec>,
    report: &mut Report,
) {
    let mut models = of_server.clone();
    for (name, spec) in config.iter().flat_map(|config| &config.models) {
        models.insert(name.to_string(), spec.clone());
    }
    // A model with a ladder runs on an instance of its own, whose programs are not looked at here.
    for (name, spec) in models.iter().filter(|(_, spec)| spec.ladder.is_empty()) {
        let title = format!("model `{name}`");
        if let Err(problem) = check_directory(spec) {
            let next = format!("create it, or fix `working_dir` of `{name}`");
            report.fail(&title, problem, next);
        } else {
            match program(spec) {
                Ok(Some(path)) => report.ok(&title, format!("runs {}", path.display())),
                Ok(None) => report.ok(&title, "not looked for: its `PATH` is not shown"),
                Err(problem) => {
                    let next = format!(
                        "install it, or fix `command` of `{name}` (or `PATH` in its `env`)"
                    );
                    report.fail(&title, problem, next);
                }
            }
        }
        check_secrets(&title, spec, report);
    }
}

fn check_directory(spec: &ModelSpec) -> Result<(), String> {
    let Some(directory) = spec.working_dir.as_deref().map(Path::new) else { return Ok(()) };
    match (directory.is_dir(), directory.exists()) {
        (true, _) => Ok(()),
        (false, true) => Err(format!("`working_dir` {} is not a directory", directory.display())),
        (false, false) => Err(format!("`working_dir` {} does not exist", directory.display())),
    }
}

/// Reads the secrets that a model refers to, as its start would. `serve` may run as another user
/// and with another environment, so that one that is not found here is only a warning.
fn check_secrets(title: &str, spec: &ModelSpec, report: &mut Report) {
    let mut engine = spec.engine();
    // One after the other: each that is missing is told.
    for (variable, value) in std::mem::take(&mut engine.env) {
        let Some(reference) = value.reference().cloned() else { continue };
        engine.env.clear();
        engine.env.insert(variable, value);
        let Err(unread) = secrets::read(&engine, &BTreeMap::new()) else { continue };
        let next = match reference {
            SecretRef::Env(name) => format!("set `{name}` where `diogenes serve` is started"),
            SecretRef::File(path) => format!("let the user of `diogenes serve` read {path}"),
            SecretRef::Ssm(_) => "use `env` or `file`; only an instance on AWS reads it".into(),
        };
        report.warn(title, unread.to_string(), next);
    }
}

/// Where the program of a model is; none if the `PATH` of its own is not shown here.
fn program(spec: &ModelSpec) -> Result<Option<PathBuf>, String> {
    let Some(name) = spec.command.first() else {
        return Err("`command` is empty".into());
    };
    let directory = spec.working_dir.as_deref().map(Path::new);
    let within =
        |path: &Path| directory.map_or_else(|| path.to_owned(), |directory| directory.join(path));
    if name.contains('/') {
        let path = within(Path::new(name));
        return match (path.is_file(), is_executable(&path)) {
            (true, true) => Ok(Some(path)),
            (true, false) => Err(format!("{} is not executable", path.display())),
            (false, _) => Err(format!("{} does not exist", path.display())),
        };
    }
    let search = match spec.env.get("PATH") {
        Some(path) => match path.plain() {
            Some(text) if !path.is_masked() => OsString::from(text),
            Some(_) | None => return Ok(None),
        },
        None => std::env::var_os("PATH").unwrap_or_default(),
    };
    std::env::split_paths(&search)
        .map(|directory| within(&directory).join(name))
        .find(|path| path.is_file() && is_executable(path))
        .map(Some)
        .ok_or_else(|| format!("`{name}` is not in PATH"))
}

fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_is_found_as_the_launch_would_find_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("engine");
        std::fs::write(&path, "#!/bin/sh\n").expect("written");
        let shown = dir.path().display().to_string();
        let mut spec = ModelSpec::new([path.display().to_string()]);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(program(&spec).is_err_and(|problem| problem.contains("is not executable")));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("changed");
        assert_eq!(program(&spec), Ok(Some(path.clone())));

        spec.command = vec!["engine".into()];
        assert!(program(&spec).is_err_and(|problem| problem.contains("is not in PATH")));
        spec.env.insert("PATH".into(), format!("/nowhere:{shown}").into());
        assert_eq!(program(&spec), Ok(Some(path.clone())));
        assert_eq!(program(&spec.clone().masked()), Ok(None));

        spec.command = vec!["./engine".into()];
        spec.working_dir = Some(shown);
        assert!(program(&spec).is_ok());
    }

    #[test]
    fn a_directory_is_checked_before_the_program_in_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut spec = ModelSpec::new(["sh"]);
        for (directory, problem) in [
            ("/nowhere", "`working_dir` /nowhere does not exist".to_owned()),
            (
                &*file.path().display().to_string(),
                format!("`working_dir` {} is not a directory", file.path().display()),
            ),
        ] {
            spec.working_dir = Some(directory.to_owned());
            let mut report = Report::default();
            check(None, &BTreeMap::from([("demo".into(), spec.clone())]), &mut report);
            let checks = &report.to_value()["checks"];
            assert_eq!(checks[0]["detail"], problem);
            assert_eq!(checks[0]["next"], "create it, or fix `working_dir` of `demo`");
        }
    }

    #[test]
    fn each_secret_that_is_missing_is_told() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "secret").expect("written");
        let path = file.path().display().to_string();
        let mut spec = ModelSpec::new(["sh"]);
        spec.env.insert("A".into(), SecretRef::Env("DIOGENES_TEST_NOT_SET".into()).into());
        spec.env.insert("B".into(), SecretRef::File(path.clone()).into());
        spec.env.insert("C".into(), SecretRef::File("/nowhere".into()).into());
        let mut report = Report::default();
        check(None, &BTreeMap::from([("demo".into(), spec)]), &mut report);
        let report = report.to_value();
        let told: Vec<_> = report["checks"]
            .as_array()
            .expect("checks")
            .iter()
            .filter(|check| check["status"] == "warning")
            .map(|check| check["detail"].as_str().expect("text"))
            .collect();
        assert_eq!(
            told,
            [
                "its variable `A` comes from the environment variable `DIOGENES_TEST_NOT_SET`, \
                 which is not set",
                "its variable `C` comes from the file `/nowhere`, which does not exist",
            ]
        );
        assert!(!report.to_string().contains("\"secret\"") && !report.to_string().contains(&path));
    }
}
