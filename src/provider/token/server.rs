//! For tests: a server that grants tokens, and answers whoever brings one that is good.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::join_all};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    domain::{
        completion::{ModelEvent, Request},
        fault::Fault,
        message::{Message, Role},
    },
    provider::{Providers, settings::Settings, upstream::response},
    run::port::{Answer, Models},
};

const WHOLE: &str = r#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#;
const REJECTED: &str = r#"{"error":{"message":"the token is not good"}}"#;
/// So many at once.
const CROWD: usize = 20;
/// How long a token is good for, as the server says.
const LIFETIME: u64 = 3600;

/// A server on the loopback that is both. Dropping it stops it.
pub(crate) struct TokenServer {
    /// `http://127.0.0.1:PORT`, of both.
    pub(crate) url: String,
    book: Arc<Book>,
    _tasks: JoinSet<()>,
}

/// What it has done.
#[derive(Default)]
struct Book {
    granted: AtomicUsize,
    rejected: AtomicUsize,
    /// Tokens up to this one are no good any more.
    revoked: AtomicUsize,
}

/// What is wrong with a request for a token: its path, and its form as it stands on the wire.
type Judge = fn(&str, &str) -> Result<(), String>;

impl TokenServer {
    /// A server that grants tokens `t-1`, `t-2` and so on at all paths with `token` in them, to those whom
    /// `judge` lets pass.
    pub(crate) async fn start(judge: Judge) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let book = Arc::new(Book::default());
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&book);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(serve(socket, Arc::clone(&shared), judge));
            }
        });
        Self {
            url,
            book,
            _tasks: tasks,
        }
    }

    fn granted(&self) -> usize {
        self.book.granted.load(Ordering::SeqCst)
    }

    fn rejected(&self) -> usize {
        self.book.rejected.load(Ordering::SeqCst)
    }

    /// No token that was granted is good any more.
    fn revoke(&self) {
        self.book.revoked.store(self.granted(), Ordering::SeqCst);
    }
}

/// Asserts that a provider, whose tokens this server grants, asks for each of them once however many want
/// it, renews it ahead of its end, and replaces it once when it is rejected.
pub(crate) async fn check_renewal(server: &TokenServer, settings: &Settings, model: &str) {
    let providers = Providers::new(settings).unwrap();
    crowd(&providers, model).await;
    assert_eq!((server.granted(), server.rejected()), (1, 0), "asked once");
    pass(Duration::from_secs(LIFETIME - 100)).await;
    crowd(&providers, model).await;
    assert_eq!((server.granted(), server.rejected()), (2, 0), "ahead");
    pass(Duration::from_secs(60)).await;
    server.revoke();
    crowd(&providers, model).await;
    assert_eq!(server.granted(), 3, "replaced once");
    assert!((1..=CROWD).contains(&server.rejected()));
    pass(Duration::from_secs(2 * LIFETIME)).await;
    let before = server.rejected();
    crowd(&providers, model).await;
    assert_eq!(
        (server.granted(), server.rejected()),
        (4, before),
        "expired"
    );
}

/// Many at once, all of whom are answered.
async fn crowd(providers: &Providers, model: &str) {
    for done in join_all((0..CROWD).map(|_| ask(providers, model))).await {
        done.unwrap();
    }
}

async fn ask(providers: &Providers, model: &str) -> Result<(), Fault> {
    let request = Request {
        messages: vec![Arc::new(Message::text(Role::User, "hi"))],
        tools: Arc::from([]),
        options: Arc::default(),
    };
    let model = providers.resolve(model)?;
    let mut events = providers.call(&model, request, Answer::Whole);
    while let Some(event) = events.next().await {
        if let ModelEvent::Finished(completion) = event? {
            assert_eq!(completion.message.joined_text(), "hello");
        }
    }
    Ok(())
}

/// Time passes; idle connections are closed by it.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

async fn serve(mut socket: TcpStream, book: Arc<Book>, judge: Judge) {
    let Some((head, body)) = read(&mut socket).await else {
        return;
    };
    let path = head.split(' ').nth(1).unwrap_or_default();
    let headers = "content-type: application/json\r\nconnection: close\r\n";
    let answer = if path.contains("token") {
        match judge(path, &body) {
            Ok(()) => {
                let number = book.granted.fetch_add(1, Ordering::SeqCst) + 1;
                let granted = format!(
                    r#"{{"token_type":"Bearer","expires_in":{LIFETIME},"access_token":"t-{number}"}}"#
                );
                response("200 OK", headers, &granted)
            }
            Err(problem) => response("400 Bad Request", headers, &problem),
        }
    } else if number_of(&head) > book.revoked.load(Ordering::SeqCst) {
        response("200 OK", headers, WHOLE)
    } else {
        book.rejected.fetch_add(1, Ordering::SeqCst);
        response("401 Unauthorized", headers, REJECTED)
    };
    // A client that has hung up fails its own test.
    let _gone = socket.write_all(answer.as_bytes()).await;
}

/// The number of the token that a request brings; zero without one.
fn number_of(head: &str) -> usize {
    let token = head.split("authorization: Bearer t-").nth(1);
    let digits = token.and_then(|rest| rest.lines().next());
    digits.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The head and the body of a request.
async fn read(socket: &mut TcpStream) -> Option<(String, String)> {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let value = line.strip_prefix("content-length: ")?;
                value.parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        let mut piece = [0; 4096];
        let count = socket.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        text.push_str(std::str::from_utf8(&piece[..count]).ok()?);
    }
}
