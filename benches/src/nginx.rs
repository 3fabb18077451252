use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// A running nginx with one worker, pinned to the proxy's core.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) url: String,
}

impl Nginx {
    pub(crate) async fn start(folder: &Path, upstream: &str) -> anyhow::Result<Self> {
        let port = crate::serve::free_port()?;
        let folder = folder.join("nginx");
        std::fs::create_dir(&folder)?;
        let config = folder.join("nginx.conf");
        let authority = upstream.trim_start_matches("http://");
        std::fs::write(&config, text(&folder, authority, port))?;
        let child = Command::new("taskset")
            .args(["-c", "1", "nginx", "-p"])
            .arg(&folder)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("nginx does not run; install it with `apt-get install nginx-light`")?;
        let url = format!("http://127.0.0.1:{port}");
        crate::serve::wait_for(&format!("{url}/v1/models")).await?;
        Ok(Self { child, url })
    }

    /// The workers.
    pub(crate) fn pids(&self) -> anyhow::Result<Vec<u32>> {
        let master = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        Ok(children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that the master ends its worker.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn text(folder: &Path, upstream: &str, port: u16) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  upstream up {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://up;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffering off;
    }}
  }}
}}
"
    )
}
