//! For tests: a provider that answers exactly the bytes it is told to.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

/// What happens on a connection, after a request was read.
#[derive(Clone)]
pub(crate) enum Act {
    /// These bytes are sent.
    Send(Vec<u8>),
    /// Nothing more, until the client hangs up.
    Hold,
    /// The next request is read from the same connection.
    Next,
}

impl Act {
    /// Sends a text.
    pub(crate) fn send(text: &str) -> Self {
        Self::Send(text.as_bytes().to_vec())
    }
}

/// A server on the loopback. Dropping it stops it.
pub(crate) struct Upstream {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    /// The requests, heads and bodies, in order.
    requests: Arc<Mutex<Vec<String>>>,
    /// Rung when a client has hung up while the server held the connection.
    left: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// A server that plays one list of acts for each connection, in order, and takes no more.
    pub(crate) async fn start(connections: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, left) = (Arc::default(), Arc::new(Notify::new()));
        let mut tasks = JoinSet::new();
        let (log, bell) = (Arc::clone(&requests), Arc::clone(&left));
        tasks.spawn(async move {
            for acts in connections {
                let (socket, _) = listener.accept().await.unwrap();
                play(socket, acts, &log, &bell).await;
            }
        });
        Self {
            url,
            requests,
            left,
            _tasks: tasks,
        }
    }

    /// One connection that answers one request with a text.
    pub(crate) async fn answer(text: &str) -> Self {
        Self::start(vec![vec![Act::send(text)]]).await
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until a client has hung up on a held connection.
    pub(crate) async fn client_left(&self) {
        self.left.notified().await;
    }
}

/// A response head with a chunked body of server-sent events.
pub(crate) fn stream_head() -> String {
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        .to_owned()
}

/// One piece of a chunked body.
pub(crate) fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// The end of a chunked body.
pub(crate) const END: &str = "0\r\n\r\n";

/// A whole response.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

async fn play(mut socket: TcpStream, acts: Vec<Act>, log: &Mutex<Vec<String>>, bell: &Notify) {
    let mut read = Vec::new();
    let Some(request) = read_request(&mut socket, &mut read).await else {
        // It has hung up before it asked: its time was up.
        bell.notify_one();
        return;
    };
    log.lock().unwrap().push(request);
    for act in acts {
        match act {
            Act::Send(bytes) => {
                // A client that has hung up hears no more; the test sees what it made of the rest.
                let _gone = socket.write_all(&bytes).await;
            }
            Act::Hold => {
                let mut rest = [0; 64];
                while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
                bell.notify_one();
            }
            Act::Next => {
                let Some(request) = read_request(&mut socket, &mut read).await else {
                    return;
                };
                log.lock().unwrap().push(request);
            }
        }
    }
}

/// Reads one request; `None` when the client has hung up.
async fn read_request(socket: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(read).into_owned();
        if let Some(head) = text.find("\r\n\r\n") {
            let length = text[..head].lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().unwrap())
            });
            let end = head + 4 + length.unwrap_or(0);
            if read.len() >= end {
                let request = String::from_utf8(read.drain(..end).collect()).unwrap();
                return Some(request);
            }
        }
        let mut piece = [0; 4096];
        match socket.read(&mut piece).await {
            Ok(count) if count > 0 => read.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
