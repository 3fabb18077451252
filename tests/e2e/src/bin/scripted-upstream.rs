//! An inference server that answers what it is told, byte for byte: for what `mock-vllm` would
//! never send.
//!
//! `SCRIPT` is the answer to every POST; `{connection}` in it is the connection's number. The
//! connection is closed after it unless the script is `KEEP`-ing it open. `POST /refuse/MILLIS`
//! closes the port and every connection for so long.
#![expect(clippy::expect_used, reason = "a program of tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

fn main() {
    let variable = |name: &str| std::env::var(name).expect("a variable");
    let address = format!("{}:{}", variable("HOST"), variable("PORT"));
    let script = variable("SCRIPT");
    let keep = std::env::var_os("KEEP").is_some();
    let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    loop {
        let listener = TcpListener::bind(&address).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let (refuse, refused) = channel();
        let millis = loop {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).expect("a socket");
                open.lock().expect("no panic").push(stream.try_clone().expect("a socket"));
                let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed).to_string();
                let (script, refuse) = (script.replace("{connection}", &number), refuse.clone());
                thread::spawn(move || serve(stream, &script, keep, &refuse));
            } else if let Ok(millis) = refused.try_recv() {
                break millis;
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        };
        drop(listener);
        for stream in open.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        thread::sleep(Duration::from_millis(millis));
    }
}

/// Answers the requests of one connection until it ends.
fn serve(mut stream: TcpStream, script: &str, keep: bool, refuse: &Sender<u64>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
        reader.read_exact(&mut body).ok()?;
        if head.starts_with("GET ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
        } else if let Some(rest) = head.strip_prefix("POST /refuse/") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
            let end = rest.find(' ').expect("a request line");
            refuse.send(rest[..end].parse().expect("milliseconds")).ok()?;
            return None;
        } else {
            stream.write_all(script.as_bytes()).ok()?;
            if !keep {
                let _ = stream.shutdown(Shutdown::Both);
                return None;
            }
        }
    }
}
