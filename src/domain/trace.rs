//! The place of a run in its caller's trace, as W3C Trace Context writes it.

use serde::{Deserialize, Serialize};

/// The largest `tracestate` that is passed on, as much as the recommendation asks of everybody.
const MAX_STATE_BYTES: usize = 512;

/// Where a run belongs in a trace. Passed on as it came: the server is no span of its own in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    parent: String,
    state: String,
}

impl Trace {
    /// Takes the two headers; `None` when the parent is not well-formed. A state that is not, or is too
    /// large, is left out: it means nothing without its vendors, and the parent does without it.
    pub fn parse(parent: &str, state: &str) -> Option<Self> {
        is_parent(parent).then(|| Self {
            parent: parent.to_owned(),
            state: if is_state(state) { state } else { "" }.to_owned(),
        })
    }

    /// The header `traceparent`.
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// The header `tracestate`; empty when there is none.
    pub fn state(&self) -> &str {
        &self.state
    }
}

/// `version-trace-span-flags`; later versions may have more behind it.
fn is_parent(parent: &str) -> bool {
    let mut fields = parent.splitn(5, '-');
    let mut next = |digits: usize| {
        fields
            .next()
            .filter(|field| field.len() == digits && field.bytes().all(is_lower_hex))
    };
    let (version, trace, span, flags) = (next(2), next(32), next(16), next(2));
    let some = |id: Option<&str>| id.is_some_and(|id| id.bytes().any(|digit| digit != b'0'));
    let more = fields.next().is_some();
    some(trace)
        && some(span)
        && flags.is_some()
        && match version {
            None | Some("ff") => false,
            Some("00") => !more,
            Some(_later) => parent.len() <= MAX_STATE_BYTES,
        }
}

const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_state(state: &str) -> bool {
    state.len() <= MAX_STATE_BYTES
        && state
            .bytes()
            .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_well_formed_context_is_kept_as_it_came() {
        let trace = Trace::parse(PARENT, "vendor=a,other=b").unwrap();
        assert_eq!(trace.parent(), PARENT);
        assert_eq!(trace.state(), "vendor=a,other=b");
        let later = format!("42{}-more-to-come", &PARENT[2..]);
        assert_eq!(Trace::parse(&later, "").unwrap().parent(), later);
    }

    #[test]
    fn what_is_no_parent_is_no_context() {
        let (zero_trace, zero_span) = ("0".repeat(32), "0".repeat(16));
        for bad in [
            "",
            "hello",
            &PARENT[..54],
            &PARENT.to_uppercase(),
            &format!("{PARENT}-more"),
            &format!("ff{}", &PARENT[2..]),
            &format!("00-{zero_trace}-00f067aa0ba902b7-01"),
            &format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{zero_span}-01"),
            &format!("01{}-{}", &PARENT[2..], "x".repeat(MAX_STATE_BYTES)),
        ] {
            assert_eq!(Trace::parse(bad, "vendor=a"), None, "{bad}");
        }
    }

    #[test]
    fn a_state_that_is_none_is_left_out() {
        for bad in ["caf\u{e9}=1", "a=\u{7}", &"a".repeat(MAX_STATE_BYTES + 1)] {
            assert_eq!(Trace::parse(PARENT, bad).unwrap().state(), "", "{bad}");
        }
    }
}
