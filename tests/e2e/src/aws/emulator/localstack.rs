use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use testcontainers::bollard::models::PortBinding;
use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerRequest, ImageExt};
use testcontainers_modules::localstack::LocalStack;

use super::keeper::Keeper;
use super::tools::{lock, root, run};
use super::{Emulator, Kind, answers};

/// The last version that is free without an account.
const RELEASED: (&str, &str) = ("localstack/localstack", "4.14.0");

/// What `tests/e2e/localstack/build-image.sh` makes.
const BUILT: (&str, &str) = ("diogenes-localstack", "local");

/// Where LocalStack listens in its container.
const PORT: u16 = 4566;

/// Whether a Docker engine answers.
pub(super) fn docker_answers() -> Result<(), String> {
    run(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"])).map(drop)
}

/// Starts LocalStack in a container that listens on a free port of 127.0.0.1.
pub(super) async fn start() -> Result<Emulator, String> {
    let image = tokio::task::spawn_blocking(image).await.expect("no panic")?;
    let began = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
    let container_name = format!("diogenes-e2e-{}-{began}", std::process::id());
    let keeper = Keeper::of_container(&container_name);
    let container = request(image, &container_name)
        .start()
        .await
        .map_err(|error| format!("LocalStack does not start: {error}"))?;
    let port = container
        .get_host_port_ipv4(PORT.tcp())
        .await
        .map_err(|error| format!("LocalStack has no port: {error}"))?;
    // Its drop would remove the container now; the keeper does so at the end.
    std::mem::forget(container);
    let endpoint = format!("http://127.0.0.1:{port}");
    if !answers(&endpoint, Kind::LocalStack, || true).await {
        return Err(format!("LocalStack does not answer at {endpoint}"));
    }
    Ok(Emulator { endpoint, kind: Kind::LocalStack, _keeper: Some(keeper) })
}

fn request(image: (&str, &str), container_name: &str) -> ContainerRequest<LocalStack> {
    LocalStack::default()
        .with_name(image.0)
        .with_tag(image.1)
        .with_container_name(container_name)
        // No calls to its makers, no name server.
        .with_env_var("DISABLE_EVENTS", "1")
        .with_env_var("SKIP_SSL_CERT_DOWNLOAD", "1")
        .with_env_var("DNS_ADDRESS", "0")
        // The module's own conditions add three seconds of sleep.
        .with_ready_conditions(vec![WaitFor::message_on_stdout("Ready.")])
        .with_startup_timeout(Duration::from_mins(2))
        .with_host_config_modifier(|host| {
            let loopback = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
            host.publish_all_ports = Some(false);
            host.port_bindings =
                Some(HashMap::from([(format!("{PORT}/tcp"), Some(vec![loopback]))]));
        })
}

/// The image to use: the released one where it is or can be had, else our own, which is built
/// where it is missing.
fn image() -> Result<(&'static str, &'static str), String> {
    let _alone = lock("localstack");
    // One that is built already tells that the released one could not be had.
    if on_machine(RELEASED) || (!on_machine(BUILT) && pulled(RELEASED)) {
        return Ok(RELEASED);
    }
    let script = root().join("tests/e2e/localstack/build-image.sh");
    let status = Command::new(&script)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("`{}` does not start: {error}", script.display()))?;
    if status.success() {
        return Ok(BUILT);
    }
    Err(format!(
        "no image of LocalStack: `docker pull {}:{}` failed, and so did `{}`",
        RELEASED.0,
        RELEASED.1,
        script.display()
    ))
}

fn on_machine((name, tag): (&str, &str)) -> bool {
    run(Command::new("docker").args(["image", "inspect", &format!("{name}:{tag}")])).is_ok()
}

fn pulled((name, tag): (&str, &str)) -> bool {
    super::say(&format!("pulling {name}:{tag}"));
    let pull = run(Command::new("docker").args(["pull", "--quiet", &format!("{name}:{tag}")]));
    pull.inspect_err(|error| super::say(error)).is_ok()
}
