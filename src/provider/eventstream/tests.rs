use proptest::prelude::*;

use super::*;
use crate::domain::fault::Reason;

/// A header that is a text.
pub(crate) fn text_header(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![u8::try_from(name.len()).unwrap()];
    out.extend_from_slice(name.as_bytes());
    out.push(7);
    out.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    out.extend_from_slice(value.as_bytes());
    out
}

/// A message with these headers.
pub(crate) fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut out = total.to_be_bytes().to_vec();
    out.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

/// An event of that name.
pub(crate) fn event(name: &str, payload: &str) -> Vec<u8> {
    let headers = [
        text_header(":event-type", name),
        text_header(":content-type", "application/json"),
        text_header(":message-type", "event"),
    ];
    message(&headers.concat(), payload.as_bytes())
}

/// An exception of that name.
pub(crate) fn exception(name: &str, payload: &str) -> Vec<u8> {
    let headers = [
        text_header(":exception-type", name),
        text_header(":message-type", "exception"),
    ];
    message(&headers.concat(), payload.as_bytes())
}

type Messages = Vec<(Kind, String, Vec<u8>)>;

fn decode(pieces: &[&[u8]], max: usize) -> (Messages, Result<(), Fault>) {
    let mut found = Messages::new();
    let mut decoder = Decoder::new(max);
    let mut sink = |message: Message<'_>| {
        let Message {
            kind,
            name,
            payload,
        } = message;
        found.push((kind, name.to_owned(), payload.to_vec()));
        Ok(())
    };
    let end = pieces
        .iter()
        .try_for_each(|piece| decoder.feed(piece, &mut sink));
    (found, end)
}

#[track_caller]
fn check_broken(stream: &[u8]) {
    let (_, end) = decode(&[stream], 1000);
    assert_eq!(end.unwrap_err().reason, Reason::ProviderStreamBroken);
}

#[test]
fn a_message_of_the_specification_is_read() {
    // "Amazon Event Stream", the vector `payload_one_str_header`. It does not say what it is.
    let vector = [
        b"\x00\x00\x00\x3d\x00\x00\x00\x20\x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json",
        &b"{'foo':'bar'}\x8d\x9c\x08\xb1"[..],
    ];
    let (found, end) = decode(&[&vector.concat()], 1000);
    end.unwrap();
    assert_eq!(
        found,
        [(Kind::Event, String::new(), b"{'foo':'bar'}".to_vec())]
    );
}

#[test]
fn events_and_exceptions_are_told_apart() {
    let stream = [
        event("contentBlockDelta", r#"{"a":1}"#),
        exception("throttlingException", "{}"),
    ]
    .concat();
    let (found, end) = decode(&[&stream], 1000);
    end.unwrap();
    let expected = [
        (
            Kind::Event,
            "contentBlockDelta".to_owned(),
            br#"{"a":1}"#.to_vec(),
        ),
        (
            Kind::Exception,
            "throttlingException".to_owned(),
            b"{}".to_vec(),
        ),
    ];
    assert_eq!(found, expected);
}

#[test]
fn headers_of_every_type_are_passed_over() {
    let mut headers = Vec::new();
    for (kind, bytes) in [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 4),
        (5, 8),
        (8, 8),
        (9, 16),
    ] {
        headers.extend_from_slice(&[1, b'x', kind]);
        headers.extend(std::iter::repeat_n(255, bytes));
    }
    headers.extend_from_slice(&[1, b'b', 6, 0, 2, 255, 255]);
    headers.extend(text_header(":message-type", "event"));
    headers.extend(text_header(":event-type", "e"));
    let (found, end) = decode(&[&message(&headers, b"p")], 1000);
    end.unwrap();
    assert_eq!(found, [(Kind::Event, "e".to_owned(), b"p".to_vec())]);
}

#[test]
fn a_byte_that_was_changed_is_noticed_wherever_it_stands() {
    let whole = event("e", r#"{"text":"hi"}"#);
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let (found, end) = decode(&[&changed], 1000);
        assert!(found.is_empty() && end.is_err(), "byte {at}");
    }
}

#[test]
fn what_is_no_event_stream_is_refused_at_once() {
    check_broken(b"\x00\x00\x00\x20garbage-garbage-garbage!");
    check_broken(b"<html><head></head></html>");
    check_broken(&message(&[200, b'x'], b""));
    check_broken(&message(&[1, b'x', 10], b""));
    check_broken(&message(&[1, b'x', 7, 255, 255, b'y'], b""));
    check_broken(&message(&text_header(":message-type", "novel"), b""));
}

#[test]
fn a_message_that_is_too_long_is_refused_before_it_is_held() {
    let whole = event("e", &"x".repeat(1000));
    let (found, end) = decode(&[&whole[..12]], 1000);
    assert!(found.is_empty());
    assert_eq!(end.unwrap_err().reason, Reason::ProviderStreamBroken);
}

#[test]
fn a_message_that_has_not_ended_is_dropped() {
    let whole = event("e", "{}");
    let (found, end) = decode(&[&whole[..whole.len() - 1]], 1000);
    end.unwrap();
    assert!(found.is_empty());
}

proptest! {
    #[test]
    fn any_split_gives_the_same_messages(
        payloads in prop::collection::vec(".{0,40}", 0..6),
        garbage in prop::collection::vec(any::<u8>(), 0..40),
        cuts in prop::collection::vec(0_usize..600, 0..12),
    ) {
        let mut stream: Vec<u8> = payloads.iter().flat_map(|text| event("e", text)).collect();
        stream.extend(garbage);
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < stream.len()).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        let (whole, cut) = (decode(&[&stream], 400), decode(&pieces, 400));
        prop_assert_eq!(whole.0, cut.0);
        prop_assert_eq!(whole.1.map_err(|fault| fault.reason), cut.1.map_err(|fault| fault.reason));
    }
}
