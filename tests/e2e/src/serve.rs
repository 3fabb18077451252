use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::config::{Config, Model};
use crate::folder::Folder;
use crate::programs::diogenes;
use crate::wait::eventually;

/// How long a `serve` may take to end by itself once its test is over.
const PATIENCE: Duration = Duration::from_secs(3);

/// A running `diogenes serve`.
#[derive(Debug)]
pub struct Serve {
    child: Option<Child>,
    folder: Arc<Folder>,
    config: Config,
    base_url: String,
    log: Arc<Mutex<String>>,
}

impl Serve {
    /// Starts `serve` with this configuration in a fresh data directory.
    pub async fn start(config: Config) -> Self {
        Self::start_in(Arc::new(Folder::new()), config).await
    }

    /// The same with variables in its environment.
    pub async fn start_with(config: Config, environment: &[(&str, &str)]) -> Self {
        Self::launch(Arc::new(Folder::new()), config, environment).await
    }

    /// Starts it with one model and waits until that is ready.
    pub async fn ready(model: Model) -> (Self, Client) {
        let name = model.name().to_owned();
        let serve = Self::start(Config::with([model])).await;
        let client = serve.client();
        client.scale(&name, "up").await;
        client.until(&name, "ready").await;
        (serve, client)
    }

    /// What it keeps on disk, and what runs for it. It stays as long as one of its holders.
    pub fn folder(&self) -> Arc<Folder> {
        self.folder.clone()
    }

    /// Ends it with SIGKILL and starts it anew on the same data.
    pub async fn crash_and_restart(mut self) -> Self {
        self.kill();
        let (folder, config) = (self.folder.clone(), self.config.clone());
        drop(self);
        Self::start_in(folder, config).await
    }

    /// Ends it with SIGTERM and starts it anew on the same data with another configuration.
    pub async fn restart_with(mut self, config: Config) -> Self {
        self.terminate().await;
        let folder = self.folder.clone();
        drop(self);
        Self::start_in(folder, config).await
    }

    /// Starts it on what an earlier one has left.
    pub async fn start_in(folder: Arc<Folder>, config: Config) -> Self {
        Self::launch(folder, config, &[]).await
    }

    async fn launch(folder: Arc<Folder>, config: Config, environment: &[(&str, &str)]) -> Self {
        let mut command = command(folder.path());
        command.envs(environment.iter().copied());
        Self::spawn(command, folder, config).await
    }

    async fn spawn(mut command: Command, folder: Arc<Folder>, config: Config) -> Self {
        std::fs::write(folder.path().join("diogenes.toml"), config.text()).unwrap();
        let mut child =
            command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("diogenes starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let sink = log.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = sink.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let base_url = eventually("the listening line", async || {
            let text = log.lock().unwrap().clone();
            let url =
                text.split("listening on ").nth(1).and_then(|rest| rest.split_whitespace().next());
            match url {
                Some(url) => Ok(url.to_owned()),
                None => Err(text),
            }
        })
        .await;
        Self { child: Some(child), folder, config, base_url, log }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.data_dir()
    }

    /// The operator's key.
    pub fn admin_key(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("admin.key")).unwrap().trim().to_owned()
    }

    /// Starts it as a service manager does that holds the listening socket.
    pub async fn start_on(socket: &TcpListener, folder: Arc<Folder>, config: Config) -> Self {
        let plain = command(folder.path());
        let mut command = Command::new("/bin/sh");
        // Of the process that it becomes, the number is known only here.
        let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\" 3<&0 </dev/null";
        command
            .args(["-c", script, "sh"])
            .arg(plain.get_program())
            .args(plain.get_args())
            .env_remove("DIOGENES_API_KEY")
            .env("NO_COLOR", "1")
            .stdin(OwnedFd::from(socket.try_clone().expect("a socket")));
        Self::spawn(command, folder, config).await
    }

    /// A client with the operator's key.
    pub fn client(&self) -> Client {
        Client::new(&self.base_url, &self.admin_key())
    }

    /// A client with another key.
    pub fn client_with(&self, key: &str) -> Client {
        Client::new(&self.base_url, key)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A command of the CLI against it.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(diogenes())
            .args(arguments)
            .env("DIOGENES_URL", &self.base_url)
            .env("DIOGENES_API_KEY", self.admin_key())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .expect("diogenes runs")
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    /// Sends SIGKILL and waits.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends SIGTERM, without waiting.
    pub fn ask_to_end(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.ended().await
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> ExitStatus {
        let log = self.log.clone();
        let child = self.child.as_mut().expect("it runs");
        let status = eventually("the end of serve", async || {
            child.try_wait().unwrap().ok_or_else(|| log.lock().unwrap().clone())
        })
        .await;
        self.child = None;
        status
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // Inference servers end with it; those of a killed one with the folder.
        if let Some(mut child) = self.child.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            let began = Instant::now();
            while began.elapsed() < PATIENCE {
                if let Ok(Some(_)) = child.try_wait() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `diogenes serve` in `folder`, listening on a free port.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(diogenes());
    command
        .arg("serve")
        .args(["--listen", "127.0.0.1:0"])
        .arg("--config")
        .arg(folder.join("diogenes.toml"))
        .arg("--data-dir")
        .arg(folder.join("data"))
        .env_remove("DIOGENES_API_KEY")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// Runs a `serve` that must refuse to start; returns its exit code and what it said.
pub fn refused_to_start(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(diogenes())
        .arg("serve")
        .args(arguments)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("diogenes runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
