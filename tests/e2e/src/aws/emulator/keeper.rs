use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A small shell that outlives this process by a moment and takes away what this process has
/// started.
///
/// Statics are not dropped, and a test may end by a signal. What tells the keeper is a pipe: this
/// process holds its other end and never writes to it, and the kernel closes it when the process
/// is gone, however it went. The keeper has a process group of its own, so that Ctrl-C in a terminal
/// spares it.
#[derive(Debug)]
pub(super) struct Keeper {
    /// Its standard input is the pipe.
    child: Child,
}

impl Keeper {
    /// Will remove this container. It may not exist yet: a container that is being created when
    /// this process ends is waited for.
    pub(super) fn of_container(name: &str) -> Self {
        // A container may be in the making while this process ends.
        let script = r#"read -r _
            tries=0
            while [ "$tries" -lt 40 ]; do
                if docker container inspect "$1" >/dev/null 2>&1; then
                    docker rm --force --volumes "$1" >/dev/null 2>&1 && exit
                fi
                tries=$((tries + 1))
                sleep 0.5
            done"#;
        Self::start(Command::new("sh").args(["-c", script, "keeper", name]))
    }

    /// Runs `program` as its child, and ends that and its children.
    pub(super) fn of_process(program: &mut Command) -> Self {
        // Whichever ends first, the pipe or the program, ends the group, which is all of them. The
        // reader is in the background, whose standard input a shell takes away.
        let script = r#"exec 3<&0
            { read -r _ <&3; kill -KILL 0; } &
            "$@" 3<&- </dev/null
            kill -KILL 0"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "keeper"]);
        shell.arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Self::start(&mut shell)
    }

    /// Whether it has ended, and so its program.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn start(shell: &mut Command) -> Self {
        let child = shell
            .process_group(0)
            .stdin(Stdio::piped())
            // Whoever reads the test's output must not wait for the keeper.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        Self { child }
    }
}
