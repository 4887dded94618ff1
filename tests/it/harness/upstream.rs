//! A provider on the loopback that answers whatever a test says, over real sockets.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// From a request, head and body, to a response.
type Answer = dyn Fn(&str) -> String + Send + Sync;

/// A server. Dropping it ends it.
pub(crate) struct Upstream {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// Answers every request by `answer`.
    pub(crate) async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (log, answer): (_, Arc<Answer>) = (Arc::clone(&requests), Arc::new(answer));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, Arc::clone(&log), Arc::clone(&answer)));
            }
        });
        Self {
            url,
            requests,
            _tasks: tasks,
        }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A whole response with a JSON body.
pub(crate) fn json(status: &str, body: &str) -> String {
    response(status, "application/json", body)
}

/// A whole response.
pub(crate) fn response(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

async fn serve(mut socket: TcpStream, log: Arc<Mutex<Vec<String>>>, answer: Arc<Answer>) {
    let mut read = Vec::new();
    while let Some(request) = read_request(&mut socket, &mut read).await {
        log.lock().unwrap().push(request.clone());
        if socket.write_all(answer(&request).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// One request; `None` when the client has hung up.
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
                return Some(String::from_utf8(read.drain(..end).collect()).unwrap());
            }
        }
        let mut piece = [0; 4096];
        match socket.read(&mut piece).await {
            Ok(count) if count > 0 => read.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
