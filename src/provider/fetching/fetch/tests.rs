//! Fetching over real sockets. The upstream is on the loopback, which these tests allow where they mean
//! to reach it.

use std::sync::{LazyLock, Mutex};

use super::*;
use crate::provider::{
    fetching::Network,
    upstream::{Act, Upstream, response},
};

const PNG: &str = "image/png";

fn settings(allowed: &[&str]) -> Fetching {
    Fetching {
        enabled: true,
        timeout: Duration::from_secs(30),
        max_bytes: 100,
        private_networks: allowed
            .iter()
            .map(|text| Network::parse(text).unwrap())
            .collect(),
        ..Fetching::default()
    }
}

fn fetcher(allowed: &[&str]) -> Fetcher {
    Fetcher::new(settings(allowed), system()).unwrap()
}

async fn fetch(fetcher: &Fetcher, url: &str) -> Result<Fetched, Problem> {
    fetcher.fetch(url, PNG, &Room::new(100)).await
}

fn image(body: &str) -> String {
    response("200 OK", "content-type: image/png\r\n", body)
}

fn redirect(status: u16, to: &str) -> String {
    response(
        &format!("{status} Moved"),
        &format!("location: {to}\r\n"),
        "",
    )
}

async fn upstream(answers: &[String]) -> Upstream {
    let connections = answers.iter().map(|answer| vec![Act::send(answer)]);
    Upstream::start(connections.collect()).await
}

#[tokio::test]
async fn a_url_is_fetched_and_nothing_of_the_server_goes_along() {
    let upstream = upstream(&[image("pixels")]).await;
    let url = format!("{}/a.png?signature=s", upstream.url);
    let fetched = fetch(&fetcher(&["127.0.0.1"]), &url).await.unwrap();
    assert_eq!(
        (&*fetched.media_type, &*fetched.bytes),
        (PNG, &b"pixels"[..])
    );
    let request = upstream.requests()[0].to_ascii_lowercase();
    assert!(request.starts_with("get /a.png?signature=s http/1.1\r\n"));
    for absent in ["authorization", "cookie", "referer", "forwarded"] {
        assert!(!request.contains(absent), "{request}");
    }
}

#[tokio::test]
async fn an_address_that_is_not_public_is_never_connected_to_however_it_is_written() {
    let upstream = upstream(&[image("secret")]).await;
    let port = upstream.url.rsplit(':').next().unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[::1]",
        "0.0.0.0",
        "localhost",
        "LOCALHOST.",
        "①②⑦.0.0.1",
        "169.254.169.254",
    ] {
        let url = format!("http://{host}:{port}/");
        let problem = fetch(&fetcher(&[]), &url).await.unwrap_err();
        // A name that the system does not know is nobody's address.
        let is_refused = matches!(problem, Problem::Address | Problem::Unreachable);
        assert!(is_refused, "{url}: {problem:?}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

proptest::proptest! {
    /// In every way in which a browser reads an IPv4 address (WHATWG URL, "IPv4 parser").
    #[test]
    fn an_address_is_judged_alike_however_a_url_spells_it(bits in proptest::num::u32::ANY) {
        static FETCHER: LazyLock<Fetcher> = LazyLock::new(|| fetcher(&[]));
        let address = std::net::Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = address.octets();
        let text = address.to_string();
        let expected = Filter::default().permits(address.into());
        for host in [
            text.clone(),
            format!("{text}."),
            format!("%3{text}"),
            format!("{bits}"),
            format!("{bits:#x}"),
            format!("0{bits:o}"),
            format!("{a:#x}.{b}.{:#X}", u32::from(c) << 8 | u32::from(d)),
            format!("{a}.{}", bits & 0x00ff_ffff),
            format!("[::ffff:{text}]"),
            format!("[64:ff9b::{text}]"),
        ] {
            let url = Url::parse(&format!("http://{host}:8080/x"));
            // What is no URL is not fetched.
            let is_permitted = url.is_ok_and(|url| FETCHER.judge(&url).is_ok());
            proptest::prop_assert!(!is_permitted || expected, "{}", host);
        }
        let plain = Url::parse(&format!("http://{address}/")).unwrap();
        proptest::prop_assert_eq!(FETCHER.judge(&plain).is_ok(), expected);
    }
}

#[tokio::test]
async fn only_http_and_https_without_a_user_are_fetched() {
    for (url, expected) in [
        ("file:///etc/passwd", "SCHEME"),
        ("ftp://example.com/", "SCHEME"),
        ("gopher://example.com/", "SCHEME"),
        ("http://user:secret@example.com/", "URL"),
        ("http://user@example.com/", "URL"),
        ("http://", "URL"),
        ("relative/path", "URL"),
    ] {
        let problem = fetch(&fetcher(&[]), url).await.unwrap_err();
        assert_eq!(problem.name(), expected, "{url}");
    }
}

/// A name server that gives one answer after the other, the last one for ever, and counts.
fn answers(answers: &[&[&str]]) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let left: Vec<Vec<IpAddr>> = answers
        .iter()
        .map(|answer| answer.iter().map(|text| text.parse().unwrap()).collect())
        .collect();
    let left = Mutex::new(left);
    let lookup: Lookup = Arc::new(move |_name| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut left = left.lock().unwrap();
        let answer = if left.len() > 1 {
            left.remove(0)
        } else {
            left[0].clone()
        };
        Box::pin(std::future::ready(Ok(answer)))
    });
    (lookup, asked)
}

#[tokio::test]
async fn the_address_that_was_judged_is_the_one_that_is_connected_to() {
    let upstream = upstream(&[image("a"), image("b")]).await;
    let url = upstream.url.replace("127.0.0.1", "rebind.test");
    // Once judged, the name leads elsewhere; a second question would be answered with another address.
    let (lookup, asked) = answers(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let fetcher = Fetcher::new(settings(&["127.0.0.1"]), lookup).unwrap();
    assert_eq!(&*fetch(&fetcher, &url).await.unwrap().bytes, b"a");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // A connection is not kept, so the next fetch asks again, and judges again.
    let problem = fetch(&fetcher, &url).await.unwrap_err();
    assert_eq!(problem.name(), "ADDRESS");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn of_several_addresses_only_the_permitted_ones_are_tried() {
    let upstream = upstream(&[image("a")]).await;
    let url = upstream.url.replace("127.0.0.1", "mixed.test");
    let (lookup, _) = answers(&[&["10.0.0.1", "169.254.169.254", "127.0.0.1"]]);
    let fetcher = Fetcher::new(settings(&["127.0.0.1"]), lookup).unwrap();
    assert_eq!(&*fetch(&fetcher, &url).await.unwrap().bytes, b"a");
}

#[tokio::test]
async fn redirects_are_followed_relative_ones_too() {
    let answers = [
        redirect(302, "/next"),
        redirect(307, "last?x=1"),
        image("there"),
    ];
    let upstream = upstream(&answers).await;
    let url = format!("{}/a/b", upstream.url);
    let fetched = fetch(&fetcher(&["127.0.0.1"]), &url).await.unwrap();
    assert_eq!(&*fetched.bytes, b"there");
    let requests = upstream.requests();
    let targets: Vec<_> = requests
        .iter()
        .map(|request| request.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(targets, ["/a/b", "/next", "/last?x=1"]);
}

#[tokio::test]
async fn every_redirect_is_judged_like_the_first_url() {
    for (to, expected) in [
        ("http://127.0.0.2/", "ADDRESS"),
        ("http://169.254.169.254/latest/meta-data/", "ADDRESS"),
        ("http://[::1]/", "ADDRESS"),
        ("//10.0.0.1/", "ADDRESS"),
        ("file:///etc/passwd", "SCHEME"),
        ("http://user@127.0.0.1/", "URL"),
        ("http://", "STATUS"),
    ] {
        let upstream = upstream(&[redirect(301, to)]).await;
        let problem = fetch(&fetcher(&["127.0.0.1"]), &upstream.url).await;
        assert_eq!(problem.unwrap_err().name(), expected, "{to}");
    }
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let upstream = upstream(&vec![redirect(302, "/again"); 9]).await;
    let problem = fetch(&fetcher(&["127.0.0.1"]), &upstream.url).await;
    assert!(matches!(problem, Err(Problem::Redirects(3))), "{problem:?}");
    assert_eq!(upstream.requests().len(), 4);
}

#[tokio::test]
async fn what_is_too_large_is_given_up_whether_it_says_so_or_not() {
    let declared = image(&"x".repeat(101));
    let mut endless = crate::provider::upstream::stream_head().replace("text/event-stream", PNG);
    for _ in 0..11 {
        endless.push_str(&crate::provider::upstream::chunk("0123456789"));
    }
    for answer in [declared, endless] {
        let upstream = Upstream::start(vec![vec![Act::send(&answer), Act::Hold]]).await;
        let problem = fetch(&fetcher(&["127.0.0.1"]), &upstream.url).await;
        assert!(
            matches!(problem, Err(Problem::TooLarge(100))),
            "{problem:?}"
        );
    }
}

#[tokio::test]
async fn the_urls_of_a_request_share_its_room() {
    let upstream = upstream(&[image(&"x".repeat(60)), image(&"x".repeat(60))]).await;
    let (fetcher, room) = (fetcher(&["127.0.0.1"]), Room::new(100));
    fetcher.fetch(&upstream.url, PNG, &room).await.unwrap();
    let problem = fetcher.fetch(&upstream.url, PNG, &room).await;
    assert!(
        matches!(problem, Err(Problem::TooLarge(100))),
        "{problem:?}"
    );
}

#[tokio::test]
async fn who_does_not_answer_in_time_or_not_at_all_is_given_up() {
    let silent = Upstream::start(vec![vec![Act::Hold]]).await;
    let mut settings = settings(&["127.0.0.1"]);
    settings.timeout = Duration::from_millis(50);
    let fetcher = Fetcher::new(settings, system()).unwrap();
    let problem = fetch(&fetcher, &silent.url).await.unwrap_err();
    assert_eq!(problem.name(), "TOO_SLOW");
    let cut = upstream(&["HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf".to_owned()]).await;
    let fetcher = self::fetcher(&["127.0.0.1"]);
    let problem = fetch(&fetcher, &cut.url).await.unwrap_err();
    assert_eq!(problem.name(), "UNREACHABLE");
    let absent = upstream(&[response("404 Not Found", "", "")]).await;
    let problem = fetch(&fetcher, &absent.url).await.unwrap_err();
    assert_eq!(
        problem.to_string(),
        "the URL is answered with status 404 Not Found"
    );
}

#[test]
fn both_ends_must_mean_the_same_kind_of_media() {
    for (wanted, said, agreed_on) in [
        ("image/png", "image/png", Some("image/png")),
        ("image/png", "IMAGE/PNG; charset=binary", Some("image/png")),
        ("image/png", "image/jpeg", Some("image/jpeg")),
        ("image/*", "image/webp", Some("image/webp")),
        ("image/png", "", Some("image/png")),
        ("image/png", "application/octet-stream", Some("image/png")),
        (
            "application/pdf",
            "binary/octet-stream",
            Some("application/pdf"),
        ),
        (
            "application/pdf",
            "application/pdf",
            Some("application/pdf"),
        ),
        (
            "text/plain",
            "text/markdown; charset=utf-8",
            Some("text/markdown"),
        ),
        ("image/png", "text/html", None),
        ("image/png", "application/json", None),
        ("application/pdf", "application/json", None),
        ("application/pdf", "text/html", None),
        ("text/plain", "application/json", None),
    ] {
        let agreed = agreed(wanted, said).ok();
        assert_eq!(agreed.as_deref(), agreed_on, "{wanted}, {said:?}");
    }
}
