//! The emulator behind the tests: LocalStack in a container, or ministack where no Docker engine
//! answers. One per test process, gone when that ends, in whatever way it ends.

mod keeper;
mod localstack;
mod ministack;
mod tools;

use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use self::keeper::Keeper;

/// How long a started emulator may take until it answers. They take 1 to 8 s on two quiet cores.
const START: Duration = Duration::from_mins(1);

/// Which emulator answers: they differ in what they do not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// LocalStack, released or built here.
    LocalStack,
    /// ministack, whose EC2 knows less.
    Ministack,
}

/// A running emulator of AWS.
#[derive(Debug)]
pub struct Emulator {
    endpoint: String,
    kind: Kind,
    _keeper: Option<Keeper>,
}

impl Emulator {
    /// The emulator of this test process; the first call starts it. In this order:
    ///
    /// 1. what `AWS_ENDPOINT_URL` names;
    /// 2. LocalStack, if a Docker engine answers;
    /// 3. ministack, which needs `python3` with `venv`.
    ///
    /// `DIOGENES_EMULATOR=localstack` or `ministack` takes that one or fails, as CI does, so that
    /// no fallback goes unseen.
    ///
    /// # Panics
    /// When there is none; the text says what to install.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Result<Emulator, String>> = OnceCell::const_new();
        let shared = SHARED.get_or_init(|| async {
            // A runtime of its own: that of the first test ends with the first test.
            let (told, started) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Runtime::new().expect("a runtime");
                let _ = told.send(runtime.block_on(start()));
            });
            started.await.unwrap_or_else(|_| Err("the emulator's thread has panicked".to_owned()))
        });
        match shared.await {
            Ok(emulator) => emulator,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

async fn start() -> Result<Emulator, String> {
    if let Some(endpoint) = std::env::var("AWS_ENDPOINT_URL").ok().filter(|url| !url.is_empty()) {
        return given(endpoint.trim_end_matches('/').to_owned()).await;
    }
    let wanted = std::env::var("DIOGENES_EMULATOR").ok();
    match wanted.as_deref() {
        Some("localstack") => return localstack::start().await,
        Some("ministack") => return ministack::start().await,
        Some(other) => {
            return Err(format!(
                "DIOGENES_EMULATOR is `{other}`: it takes localstack or ministack"
            ));
        }
        None => {}
    }
    let first = match localstack::docker_answers() {
        Ok(()) => localstack::start().await,
        Err(problem) => Err(problem),
    };
    let problem = match first {
        Ok(emulator) => return Ok(emulator),
        Err(problem) => problem,
    };
    say(&format!("no LocalStack ({problem}); using ministack, whose EC2 knows less"));
    ministack::start().await.map_err(|second| {
        format!(
            "no emulator of AWS runs here: LocalStack needs a Docker engine ({problem}); ministack \
             needs python3 with venv and PyPI ({second}). Install `docker.io iptables debootstrap` \
             and start `dockerd`, or install `python3-venv`, or set AWS_ENDPOINT_URL to an emulator \
             of yours, or DIOGENES_E2E=skip to leave these tests out"
        )
    })
}

async fn given(endpoint: String) -> Result<Emulator, String> {
    for kind in [Kind::Ministack, Kind::LocalStack] {
        if healthy(&endpoint, kind).await {
            return Ok(Emulator { endpoint, kind, _keeper: None });
        }
    }
    Err(format!("neither LocalStack nor ministack answers at AWS_ENDPOINT_URL={endpoint}"))
}

/// Waits until it answers; false if it does not in time, or lives no more.
async fn answers(endpoint: &str, kind: Kind, mut lives: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while lives() && began.elapsed() < START {
        if healthy(endpoint, kind).await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

async fn healthy(endpoint: &str, kind: Kind) -> bool {
    // ministack has both.
    let path = match kind {
        Kind::LocalStack => "_localstack/health",
        Kind::Ministack => "_ministack/health",
    };
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(format!("{endpoint}/{path}")).timeout(Duration::from_secs(5)).send();
    answer.await.is_ok_and(|answer| answer.status().is_success())
}

/// To the person who watches. Not captured by the test harness, which hides what a test prints.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "emulated AWS: {text}");
}
