use proptest::prelude::*;

use super::*;

type Events = Vec<(String, Vec<u8>)>;

/// Decodes a stream cut after each of `cuts` (positions in any order, perhaps out of range).
fn decode(stream: &[u8], cuts: &[usize], max: usize) -> Result<Events, Fault> {
    let mut events = Events::new();
    let mut sink = |event: Event<'_>| {
        let name = String::from_utf8_lossy(event.name).into_owned();
        events.push((name, event.data.to_vec()));
        Ok(())
    };
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    let mut decoder = Decoder::new(max);
    for pair in cuts.windows(2) {
        decoder.feed(&stream[pair[0]..pair[1]], &mut sink)?;
    }
    decoder.finish(&mut sink)?;
    Ok(events)
}

#[track_caller]
fn check(stream: &str, expected: &[(&str, &str)]) {
    let expected: Events = expected
        .iter()
        .map(|(name, data)| ((*name).to_owned(), data.as_bytes().to_vec()))
        .collect();
    assert_eq!(decode(stream.as_bytes(), &[], 100).unwrap(), expected);
    let every: Vec<usize> = (0..stream.len()).collect();
    assert_eq!(decode(stream.as_bytes(), &every, 100).unwrap(), expected);
}

#[test]
fn lines_end_in_lf_cr_or_both() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = "data: a\n\ndata: b\n\n".replace('\n', end);
        check(&stream, &[("", "a"), ("", "b")]);
    }
    check("data: a\r\rdata: b\n\r\n", &[("", "a"), ("", "b")]);
}

#[test]
fn data_lines_are_joined_and_lose_one_space() {
    check("data:a\ndata:  b\ndata\n\n", &[("", "a\n b\n")]);
}

#[test]
fn a_name_holds_for_one_event() {
    check(
        "event: ping\ndata: {}\n\ndata: x\n\n",
        &[("ping", "{}"), ("", "x")],
    );
    check("event: a\nevent: b\ndata: x\n\n", &[("b", "x")]);
}

#[test]
fn comments_ids_retries_and_unknown_fields_are_skipped() {
    check(
        ": ping\nid: 7\nretry: 10\nfoo: bar\nbar\ndata: x\n\n",
        &[("", "x")],
    );
}

#[test]
fn an_event_without_data_is_none() {
    check("event: ping\n\n\n\n: c\n\n", &[]);
}

#[test]
fn a_byte_order_mark_counts_only_in_front() {
    check("\u{feff}data: x\n\n\u{feff}data: y\n\n", &[("", "x")]);
}

#[test]
fn the_last_event_needs_no_empty_line() {
    check("data: [DONE]", &[("", "[DONE]")]);
    check("data: a\n\ndata: b\n", &[("", "a"), ("", "b")]);
}

#[test]
fn an_endless_line_is_refused_however_it_is_cut() {
    let stream = format!("data: {}", "x".repeat(200));
    for cuts in [&[][..], &[1, 2, 3], &[50, 100, 150]] {
        let fault = decode(stream.as_bytes(), cuts, 100).unwrap_err();
        assert_eq!(fault.reason, Reason::ProviderStreamBroken);
    }
}

#[test]
fn an_endless_event_is_refused() {
    let stream = "data: 0123456789\n".repeat(20);
    let fault = decode(stream.as_bytes(), &[], 100).unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderStreamBroken);
}

#[test]
fn an_error_of_the_sink_ends_the_decoding() {
    let mut calls = 0;
    let fault = Decoder::new(100).feed(b"data: a\n\ndata: b\n\n", &mut |_event| {
        calls += 1;
        Err(Fault::new(Reason::ProviderResponseInvalid, "no"))
    });
    assert_eq!(fault.unwrap_err().reason, Reason::ProviderResponseInvalid);
    assert_eq!(calls, 1);
}

proptest! {
    #[test]
    fn every_cut_gives_the_same_events(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "data: a", "data:b", "data", "event: e", ": c", "", "", "id: 1", "data: \u{1F600}ü", "x",
            ]),
            0..20,
        ),
        ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n"]), 20),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
        max in prop_oneof![1_usize..12, Just(1 << 10)],
    ) {
        let stream: String = lines.iter().zip(&ends).flat_map(|(l, e)| [*l, *e]).collect();
        let outcome = |cuts| decode(stream.as_bytes(), cuts, max).map_err(|fault| fault.reason);
        prop_assert_eq!(outcome(&cuts), outcome(&[]));
    }

    #[test]
    fn no_bytes_break_the_decoder(
        stream in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        prop_assert_eq!(decode(&stream, &cuts, 1 << 10), decode(&stream, &[], 1 << 10));
    }
}
