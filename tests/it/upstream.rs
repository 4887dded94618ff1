//! A model server of the tests: it answers each request with bytes of the test's choice, and hangs up.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The head of a streamed answer that ends with its connection.
pub(crate) const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// A whole answer.
pub(crate) fn whole(kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What is asked: the model's name, and the whole body.
pub(crate) struct Asked<'a> {
    pub(crate) model: &'a str,
    pub(crate) body: &'a str,
}

/// A request, once all of it is there.
fn asked(request: &str) -> Option<Asked<'_>> {
    let (head, body) = request.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().unwrap())
    });
    if body.len() < length? {
        return None;
    }
    let (_, after) = body.split_once(r#""model":""#)?;
    let (model, _) = after.split_once('"')?;
    Some(Asked { model, body })
}

async fn serve_one(mut socket: TcpStream, answer: fn(&Asked<'_>) -> String) {
    let mut request = String::new();
    let mut buffer = vec![0; 64 << 10];
    let answer = loop {
        if let Some(asked) = asked(&request) {
            break answer(&asked);
        }
        match socket.read(&mut buffer).await {
            Ok(read) if read > 0 => request.push_str(&String::from_utf8_lossy(&buffer[..read])),
            _ => return,
        }
    };
    // The reader may hang up in the middle of an endless line.
    let _hung_up = socket.write_all(answer.as_bytes()).await;
}

/// Starts the server; one connection for every request. Returns its base URL.
pub(crate) async fn provider(tasks: &mut JoinSet<()>, answer: fn(&Asked<'_>) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.spawn(serve_one(socket, answer));
        }
    });
    url
}
