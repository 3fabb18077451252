//! An inference server that answers what it is told, byte for byte: for what `mock-vllm` would
//! never send.
//!
//! A POST brings its own [`Script`] in the header `x-script`. For others, `SCRIPT` is the answer;
//! `{connection}` in it is the connection's number. The connection is closed after it unless the
//! script is `KEEP`-ing it open. `POST /refuse/MILLIS` closes the port and every connection for
//! so long. A line with the header `x-case` is added to the file `SEEN` for each POST that brings
//! one. Where there is a `GATE`, it starts once that file exists.
#![expect(clippy::expect_used, reason = "a program of tests")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use diogenes_e2e::{SCRIPT_HEADER, Script, Step};
use rustix::net::sockopt::{set_socket_linger, set_tcp_cork};

static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

fn main() {
    let variable = |name: &str| std::env::var(name).expect("a variable");
    let address = format!("{}:{}", variable("HOST"), variable("PORT"));
    if let Some(gate) = std::env::var_os("GATE") {
        while !Path::new(&gate).exists() {
            thread::sleep(Duration::from_millis(5));
        }
    }
    let open: Open = Arc::default();
    loop {
        let listener = TcpListener::bind(&address).expect("a free port");
        let wanted: Arc<Mutex<Option<Wanted>>> = Arc::default();
        let Wanted { duration, closed } = loop {
            let (stream, _) = listener.accept().expect("a connection");
            if let Some(wanted) = wanted.lock().expect("no panic").take() {
                break wanted;
            }
            stream.set_nodelay(true).expect("a socket");
            let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
            let copy = stream.try_clone().expect("a socket");
            open.lock().expect("no panic").insert(number, copy);
            let (open, wanted, address) = (open.clone(), wanted.clone(), address.clone());
            let refuse = Refuse { wanted, address, open: open.clone(), number };
            thread::spawn(move || {
                serve(stream, &refuse);
                // Else the copy would keep the socket open.
                open.lock().expect("no panic").remove(&number);
            });
        };
        drop(listener);
        for (_, stream) in open.lock().expect("no panic").drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = closed.send(());
        thread::sleep(duration);
    }
}

/// The connections that are open, by their numbers.
type Open = Arc<Mutex<HashMap<u64, TcpStream>>>;

/// That the port be closed for a while.
struct Wanted {
    duration: Duration,
    closed: Sender<()>,
}

/// Has the port closed, on behalf of one connection.
struct Refuse {
    wanted: Arc<Mutex<Option<Wanted>>>,
    address: String,
    open: Open,
    number: u64,
}

impl Refuse {
    /// Returns once the port and every other connection are closed: whoever reads an answer that
    /// is sent after this may send the next request at once.
    fn everybody_else(&self, duration: Duration) {
        self.open.lock().expect("no panic").remove(&self.number);
        let (closed, is_closed) = mpsc::channel();
        *self.wanted.lock().expect("no panic") = Some(Wanted { duration, closed });
        // The listener looks at it with its next connection.
        let _ = TcpStream::connect(&self.address);
        let _ = is_closed.recv();
    }
}

/// Answers the requests of one connection until it ends.
fn serve(mut stream: TcpStream, refuse: &Refuse) -> Option<()> {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let length = header("content-length: ").map_or(0, |length| length.parse().expect("one"));
        let mut body = vec![0; length];
        if head.starts_with("GET ") {
            stream.write_all(OK).ok()?;
        } else if let Some(rest) = head.strip_prefix("POST /refuse/") {
            let end = rest.find(' ').expect("a request line");
            let millis = rest[..end].parse().expect("milliseconds");
            refuse.everybody_else(Duration::from_millis(millis));
            stream.write_all(OK).ok()?;
            return None;
        } else if let Some(script) = header(&format!("{SCRIPT_HEADER}: ")) {
            if let Some(case) = header("x-case: ") {
                note(case);
            }
            let script = Script::decode(script);
            let steps = script.steps();
            for (at, step) in steps.iter().enumerate() {
                // The end must not come later than the answer: whoever has read that may send the
                // next request at once.
                let next = steps.get(at + 1);
                if matches!((step, next), (Step::Send(_), Some(Step::Close | Step::Die))) {
                    set_tcp_cork(&stream, true).ok()?;
                }
                play(step, &mut stream, &mut reader, &mut body, refuse)?;
            }
        } else {
            reader.read_exact(&mut body).ok()?;
            let script = std::env::var("SCRIPT").expect("a script");
            let closes = std::env::var_os("KEEP").is_none();
            // As above.
            set_tcp_cork(&stream, closes).ok()?;
            stream
                .write_all(script.replace("{connection}", &refuse.number.to_string()).as_bytes())
                .ok()?;
            if closes {
                let _ = stream.shutdown(Shutdown::Both);
                return None;
            }
        }
    }
}

/// Plays one step; `None` is the end of the connection.
fn play(
    step: &Step,
    stream: &mut TcpStream,
    reader: &mut impl Read,
    body: &mut [u8],
    refuse: &Refuse,
) -> Option<()> {
    match step {
        Step::ReadBody => reader.read_exact(body).ok()?,
        Step::Send(bytes) => stream.write_all(bytes).ok()?,
        Step::Repeat(bytes, times) => {
            for _ in 0..*times {
                stream.write_all(bytes).ok()?;
            }
        }
        Step::Drip(bytes, pause) => {
            for byte in bytes {
                stream.write_all(&[*byte]).ok()?;
                thread::sleep(*pause);
            }
        }
        Step::Pause(duration) => thread::sleep(*duration),
        Step::Silence => {
            while reader.read(&mut [0; 4096]).ok()? > 0 {}
            return None;
        }
        Step::Finish => stream.shutdown(Shutdown::Write).ok()?,
        Step::Close => {
            let _ = stream.shutdown(Shutdown::Both);
            return None;
        }
        Step::Reset => {
            // Unread or not: nothing of what was written before is waited for.
            set_socket_linger(&*stream, Some(Duration::ZERO)).ok()?;
            return None;
        }
        Step::Refuse(duration) => refuse.everybody_else(*duration),
        Step::Die => {
            // The kernel may close the port last: who has seen the connection end could still get
            // another, which would then be closed under it.
            refuse.everybody_else(Duration::from_mins(1));
            std::process::exit(1);
        }
    }
    Some(())
}

/// Counts a request, so that this survives the process.
fn note(case: &str) {
    let path = std::env::var_os("SEEN").expect("a file");
    let mut file = File::options().create(true).append(true).open(path).expect("a file");
    file.write_all(format!("{case}\n").as_bytes()).expect("a file");
}
