use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};

use diogenes_api::control::{ClusterState, ModelPage};
use diogenes_core::fleet::ModelSpec;

use super::report::Report;
use super::{Options, address_of, gateway};
use crate::client::{Address, Client, DEFAULT_URL, decode};
use crate::commands::health;
use crate::exit::{Failure, Kind};
use crate::serve::{Config, running_url};

const NAME: &str = "server";

/// Asks the server, and returns the models of one on this machine. `is_running` tells whether one
/// runs with the data directory.
pub(super) async fn check(
    options: &Options,
    is_running: bool,
    config: Option<&Config>,
    report: &mut Report,
) -> Result<BTreeMap<String, ModelSpec>, Failure> {
    let default = || DEFAULT_URL.parse().map_err(|error: String| Kind::Config.because(error));
    let configured = config.and_then(address_of);
    let running = options.data_dir.as_deref().filter(|_| is_running).and_then(running_url);
    let address: Address = match options.url.as_ref().or(running.as_ref()).or(configured.as_ref()) {
        Some(address) => address.clone(),
        None => default()?,
    };
    let client = options.client_of(address.clone())?;
    let answers = is_diogenes(&client).await;
    if let Some(config) = config {
        // Where it would listen after a restart is not where it listens.
        let elsewhere = running.filter(|running| Some(running) != configured.as_ref());
        if let Some(running) = elsewhere {
            report.ok(
                "port",
                format!("the running server listens at {running}, not on {}", config.listen),
            );
        } else {
            let is_ours = answers && configured.as_ref() == Some(&address);
            check_port(config.listen, is_ours, report);
        }
    }
    if !answers {
        let detail = format!("no Diogenes answers at {address}");
        let next = "start it with `diogenes serve`, or name another with --url";
        if address.is_loopback() {
            // It may just not be started yet.
            report.warn(NAME, detail, next);
        } else {
            report.fail(NAME, detail, next);
        }
        return Ok(BTreeMap::new());
    }
    report.ok(NAME, format!("answers at {address}"));
    match client.get(&["api", "v1", "cluster"], &[]).await.and_then(decode::<ClusterState>) {
        Ok(fleet) => {
            report.ok("api key", "accepted, with the scope `admin`");
            check_fleet(&fleet, report);
        }
        Err(failure) if failure.kind == Kind::Denied => {
            let next = "name a key with the scope `admin` with --api-key or DIOGENES_API_KEY";
            report.fail("api key", failure.error.to_string(), next);
        }
        Err(failure) => {
            report.fail("fleet", failure.error.to_string(), "see the log of `diogenes serve`");
        }
    }
    gateway::check(&client, report).await;
    if !address.is_loopback() {
        return Ok(BTreeMap::new());
    }
    let models = client.get_all(&["api", "v1", "models"], &[]).await.and_then(decode::<ModelPage>);
    // Whatever keeps the list back was told above.
    let models = models.map(|page| page.data).unwrap_or_default();
    Ok(models.into_iter().map(|model| (model.name.to_string(), model.spec)).collect())
}

/// Anybody may answer on a port; only Diogenes describes itself so.
async fn is_diogenes(client: &Client) -> bool {
    let document = client.get(&["api", "v1", "openapi.json"], &[]).await;
    document.is_ok_and(|document| health::is_diogenes(&document))
}

fn check_port(listen: SocketAddr, is_ours: bool, report: &mut Report) {
    const NAME: &str = "port";
    if is_ours {
        report.ok(NAME, format!("{listen} is in use by Diogenes"));
        return;
    }
    let choose = "choose another address with `listen` or --listen";
    match TcpListener::bind(listen) {
        Ok(_) => report.ok(NAME, format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let next = format!("stop the other program (`ss -ltnp` shows it), or {choose}");
            report.fail(NAME, format!("{listen} is in use by another program"), next);
        }
        Err(error) => report.fail(NAME, format!("cannot listen on {listen}: {error}"), choose),
    }
}

fn check_fleet(fleet: &ClusterState, report: &mut Report) {
    let failed = fleet.data.iter().filter_map(|model| Some((model, model.failure.as_ref()?)));
    let mut all_well = true;
    for (model, failure) in failed {
        all_well = false;
        let next =
            format!("see `diogenes logs {name}`, then `diogenes up {name}`", name = model.model);
        report.fail(
            "fleet",
            format!("`{}` could not be started: {}", model.model, failure.reason),
            next,
        );
    }
    if all_well {
        let ready = fleet.data.iter().filter(|model| !model.slots.is_empty()).count();
        let models = match fleet.data.len() {
            1 => "1 model".to_owned(),
            count => format!("{count} models"),
        };
        report.ok("fleet", format!("{models}, {ready} with replicas"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_port_is_free_ours_or_somebody_elses() {
        // An address of its own: no other test is given the port once it is free.
        let listener = TcpListener::bind("127.0.0.94:0").expect("bound");
        let taken = listener.local_addr().expect("an address");
        let mut report = Report::default();
        check_port(taken, true, &mut report);
        assert_eq!(report.failures(), 0);
        check_port(taken, false, &mut report);
        assert_eq!(report.failures(), 1);
        drop(listener);
        // A process that another test forks holds every socket until its exec.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut report = Report::default();
            check_port(taken, false, &mut report);
            if report.failures() == 0 {
                break;
            }
            assert!(Instant::now() < deadline, "{report}");
            std::thread::yield_now();
        }
    }
}
