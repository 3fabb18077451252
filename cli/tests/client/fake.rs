use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

/// A server that answers as it is told, and keeps what it was asked.
pub(crate) struct Fake {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    asked: Mutex<Vec<(String, String)>>,
    answers: HashMap<String, (StatusCode, String)>,
    others: (StatusCode, String),
}

impl Fake {
    /// One that answers everything alike.
    pub(crate) fn answering(status: u16, body: &str) -> Self {
        Self::with([], status, body)
    }

    /// One with answers of 200 for some paths (`/a`, or `PUT /a`) and one answer for all others.
    pub(crate) fn with<const N: usize>(
        answers: [(&str, &str); N],
        status: u16,
        body: &str,
    ) -> Self {
        let answers = answers.map(|(path, body)| (path, (StatusCode::OK, body.to_owned())));
        Self::listening("127.0.0.1:0", answers, status, body)
    }

    /// One at an address of the test's choice.
    pub(crate) fn listening<const N: usize>(
        address: &str,
        answers: [(&str, (StatusCode, String)); N],
        status: u16,
        body: &str,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            asked: Mutex::default(),
            answers: answers.into_iter().map(|(path, answer)| (path.to_owned(), answer)).collect(),
            others: (StatusCode::from_u16(status).unwrap(), body.to_owned()),
        });
        let app = Router::new().fallback(answer).with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { url: format!("http://{address}"), shared, _runtime: runtime }
    }

    /// Method and path of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().iter().map(|(asked, _)| asked.clone()).collect()
    }

    /// The bodies of the requests so far.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.shared.asked.lock().unwrap().clear();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    body: String,
) -> Response {
    shared.asked.lock().unwrap().push((format!("{method} {}", uri.path()), body));
    // The method and the query count where an answer is given for them.
    let of_method = shared.answers.get(&format!("{method} {}", uri.path()));
    let asked = || uri.path_and_query().and_then(|asked| shared.answers.get(asked.as_str()));
    let answer = of_method.or_else(asked).or_else(|| shared.answers.get(uri.path()));
    let (status, body) = answer.unwrap_or(&shared.others).clone();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A run of `diogenes` with a home and a data directory of its own.
pub(crate) struct Program {
    pub(crate) command: Command,
    home: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) error: String,
}

impl Program {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_diogenes"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", home.path())
            .env("DIOGENES_API_KEY", "dg_x")
            .current_dir(home.path())
            .stdin(Stdio::null());
        Self { command, home }
    }

    /// Adds arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Its home and working directory.
    pub(crate) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// The data directory, made.
    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        let path = self.home.path().join(".local/share/diogenes");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn run(self) -> Done {
        self.run_with(None)
    }

    /// Runs it with `input` on a pipe.
    pub(crate) fn piped(self, input: &str) -> Done {
        self.run_with(Some(input))
    }

    /// Runs it with standard output on a terminal, and returns what that was sent.
    pub(crate) fn shown(mut self) -> String {
        let (terminal, side) = terminal();
        self.command.stdout(side).stderr(Stdio::null());
        self.until_its_end(terminal)
    }

    /// Runs it with standard error on a terminal, and returns what that was sent.
    pub(crate) fn complaint(mut self) -> String {
        let (terminal, side) = terminal();
        self.command.stdout(Stdio::null()).stderr(side);
        self.until_its_end(terminal)
    }

    fn until_its_end(mut self, terminal: OwnedFd) -> String {
        let mut child = self.command.spawn().unwrap();
        // The command has a handle of the other side, which keeps the terminal open.
        drop(self.command);
        let mut sent = Vec::new();
        // A terminal whose other side is closed ends with an error.
        let _ = File::from(terminal).read_to_end(&mut sent);
        child.wait().unwrap();
        String::from_utf8(sent).unwrap()
    }

    fn run_with(mut self, input: Option<&str>) -> Done {
        if input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if let Some(input) = input {
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        }
        let output = child.wait_with_output().unwrap();
        Done {
            code: output.status.code().unwrap(),
            output: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A terminal, and the side of it that a program uses.
pub(crate) fn terminal() -> (OwnedFd, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let side = File::options().read(true).write(true).open(name).unwrap();
    (terminal, side)
}
