use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::group::Group;
use crate::ready::{ask, free_port};
use crate::request::{Dialect, Request};
use crate::subject::Subject;

/// A gateway of somebody else: how it is started and asked.
///
/// In arguments, files, variables and headers, `{port}` and `{other_port}` are free ports,
/// `{upstream}` the address of the upstream (`127.0.0.1:8000`), `{folder}` an empty folder that has
/// the files, and `{installed}` the folder that `scripts/bench_peers.sh` has installed it to.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// A path, or a name to look for in `PATH`.
    pub(crate) program: &'static str,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// Names and texts.
    pub(crate) files: &'static [(&'static str, &'static str)],
    pub(crate) address: Address,
    /// Each is measured for itself; the first one tells when the peer is ready.
    pub(crate) ways: &'static [Way],
}

/// Where a peer listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// On `{port}`.
    Given,
    /// On a port of its own, which the first URL in its output tells.
    Printed,
}

/// A way to ask a peer.
pub(crate) struct Way {
    /// Behind the peer's name in the report; empty for the plain one.
    pub(crate) name: &'static str,
    pub(crate) dialect: Dialect,
    pub(crate) path: &'static str,
    pub(crate) model: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

impl Peer {
    /// The version that is installed below `peers`. An error says how to install it.
    pub(crate) fn version(&self, peers: &Path) -> anyhow::Result<String> {
        let version = std::fs::read_to_string(peers.join(self.name).join("version"));
        let version = version.with_context(|| {
            let (name, peers) = (self.name, peers.display());
            format!(
                "{name} is not installed in {peers}; run `scripts/bench_peers.sh {peers} {name}`"
            )
        })?;
        Ok(version.trim().to_owned())
    }

    /// Starts it in front of an upstream and waits for its first answer.
    pub(crate) async fn start(
        &self,
        peers: &Path,
        version: &str,
        folder: &Path,
        upstream: &str,
    ) -> anyhow::Result<Vec<Subject>> {
        let folder = folder.join(self.name);
        std::fs::create_dir(&folder)?;
        let port = free_port()?;
        let values = [
            ("{port}", port.to_string()),
            ("{other_port}", free_port()?.to_string()),
            ("{upstream}", upstream.trim_start_matches("http://").to_owned()),
            ("{folder}", folder.display().to_string()),
            ("{installed}", peers.join(self.name).display().to_string()),
        ];
        let filled = |text: &str| {
            values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
        };
        for (name, text) in self.files {
            std::fs::write(folder.join(name), filled(text))?;
        }
        let began = Instant::now();
        let log: PathBuf = folder.join("log");
        let group = Rc::new(Group::start(
            &filled(self.program),
            |command| {
                command.args(self.arguments.iter().map(|word| filled(word)));
                command.envs(self.environment.iter().map(|(name, value)| (name, filled(value))));
                command.current_dir(&folder);
            },
            log,
        )?);
        let requests: Vec<(&str, Request)> =
            self.ways.iter().map(|way| (way.name, way.request(&filled))).collect();
        let (_, first) = requests.first().context("a peer without a way to ask it")?;
        let url = self.ready(&group, port, first).await?;
        let start = began.elapsed();
        for (_, request) in &requests {
            ask(&url, request, false).await?;
            ask(&url, request, true).await.context("a stream")?;
        }
        let subject = |(way, request): (&str, Request)| Subject {
            name: format!("{} {way}", self.name).trim_end().to_owned(),
            version: version.to_owned(),
            url: url.clone(),
            request,
            group: Some(Rc::clone(&group)),
            start,
        };
        Ok(requests.into_iter().map(subject).collect())
    }

    async fn ready(&self, group: &Group, port: u16, request: &Request) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let attempt = async {
                let url = match self.address {
                    Address::Given => format!("http://127.0.0.1:{port}"),
                    Address::Printed => {
                        printed_url(&group.printed()).context("it has printed no URL")?
                    }
                };
                ask(&url, request, false).await?;
                anyhow::Ok(url)
            };
            let error = match attempt.await {
                Ok(url) => return Ok(url),
                Err(error) => error,
            };
            if !group.runs() || began.elapsed() > Duration::from_mins(1) {
                bail!("it does not serve: {error:#}; it printed: {}", group.last_words());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Way {
    fn request(&self, filled: &impl Fn(&str) -> String) -> Request {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), filled(value));
        Request {
            dialect: self.dialect,
            path: self.path.into(),
            model: self.model.into(),
            headers: self.headers.iter().map(header).collect(),
            members: String::new(),
            preface: String::new(),
        }
    }
}

/// Scheme and authority of the first URL on loopback.
fn printed_url(text: &str) -> Option<String> {
    const BEGINNING: &str = "http://127.0.0.1:";
    let (_, rest) = text.split_once(BEGINNING)?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    // More may be about to come if nothing is behind it.
    (rest.len() > port.len()).then(|| format!("{BEGINNING}{port}"))
}
