use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use diogenes_core::fleet::ModelSpec;
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
        match program(spec) {
            Ok(Some(path)) => report.ok(&title, format!("runs {}", path.display())),
            Ok(None) => report.ok(&title, "not looked for: its `PATH` is not shown"),
            Err(problem) => {
                let next =
                    format!("install it, or fix `command` of `{name}` (or `PATH` in its `env`)");
                report.fail(&title, problem, next);
            }
        }
    }
}

/// Where the program of a model is; none if the `PATH` of its own is not shown here.
fn program(spec: &ModelSpec) -> Result<Option<PathBuf>, String> {
    let Some(name) = spec.command.first() else {
        return Err("`command` is empty".into());
    };
    let directory = spec.working_dir.as_deref().map(Path::new);
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        return Err(format!("`working_dir` {} does not exist", directory.display()));
    }
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
        spec.working_dir = Some("/nowhere".into());
        assert!(program(&spec).is_err_and(|problem| problem.contains("does not exist")));
    }
}
