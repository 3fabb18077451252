//! The program: its log, its signals and its exit codes.

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::process::Stdio;
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
    use tokio::process::{Child, ChildStdout, Command};

    const DEADLINE: Duration = Duration::from_secs(20);

    /// Starts the program on a free port.
    fn start(flags: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mock-vllm"));
        command.args(["--port", "0", "--threads", "1"]).args(flags).env_remove("VLLM_API_KEY");
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }

    /// The log up to the line that contains `wanted`, that line last.
    async fn log_until(lines: &mut Lines<BufReader<ChildStdout>>, wanted: &str) -> Vec<String> {
        let mut seen = Vec::new();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                seen.push(line);
                if seen.last().unwrap().contains(wanted) {
                    return true;
                }
            }
            false
        };
        assert_eq!(
            tokio::time::timeout(DEADLINE, reading).await,
            Ok(true),
            "no {wanted:?} in {seen:#?}"
        );
        seen
    }

    async fn exit_code(child: &mut Child) -> Option<i32> {
        tokio::time::timeout(DEADLINE, child.wait()).await.expect("it did not exit").unwrap().code()
    }

    async fn terminate(child: &Child) {
        let pid = child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    }

    #[tokio::test]
    async fn log_tells_the_phases_and_sigterm_ends_it() {
        let (mut child, mut lines) =
            start(&["--model", "org/model", "--load-weights-delay", "20ms"]);
        let log = log_until(&mut lines, "Starting vLLM server on http://").await;
        let addr = log.last().unwrap().rsplit("http://").next().unwrap();
        TcpStream::connect(addr).unwrap();
        let log = log.join("\n");
        let phases = [
            "Starting to load model org/model...",
            "Loading weights took 0.0",
            "torch.compile takes 0.00 s in total",
            "Graph capturing finished in 0 secs",
        ];
        for phase in phases {
            assert!(log.contains(phase), "no {phase:?} in {log}");
        }
        terminate(&child).await;
        assert_eq!(exit_code(&mut child).await, Some(0));
    }

    #[tokio::test]
    async fn sigterm_ends_it_while_it_loads() {
        let (mut child, mut lines) = start(&["--never-healthy"]);
        log_until(&mut lines, "Starting to load model").await;
        terminate(&child).await;
        assert_eq!(exit_code(&mut child).await, Some(0));
    }

    #[tokio::test]
    async fn sigterm_can_be_ignored() {
        let (mut child, mut lines) = start(&["--ignore-sigterm"]);
        let log = log_until(&mut lines, "Starting vLLM server on http://").await;
        let addr = log.last().unwrap().rsplit("http://").next().unwrap();
        terminate(&child).await;
        // Long enough for an exit to be seen; a pass does not depend on it.
        tokio::time::timeout(Duration::from_millis(200), child.wait()).await.unwrap_err();
        TcpStream::connect(addr).unwrap();
    }

    #[tokio::test]
    async fn failure_to_load_ends_with_a_traceback_and_the_code() {
        let (mut child, _lines) = start(&["--exit-during-boot", "3"]);
        assert_eq!(exit_code(&mut child).await, Some(3));
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).await.unwrap();
        assert!(stderr.contains("Traceback (most recent call last):"), "{stderr}");
        assert!(stderr.contains("RuntimeError: Engine core initialization failed."), "{stderr}");
    }
}
