//! Where a feed stands, as text. Opaque to clients.

use crate::domain::{
    fault::{Fault, Reason},
    id::RunId,
};

/// Where a feed stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Everything up to this position of the tenant's feed was handed out.
    pub(super) position: u64,
    /// While the initial snapshots are handed out, newest run first: the last run that was.
    pub(super) listed: Option<RunId>,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let (position, listed) = match text.split_once('.') {
            Some((position, run_id)) => (position, Some(run_id)),
            None => (text, None),
        };
        let digits = (1..=20).contains(&position.len())
            && position.bytes().all(|byte| byte.is_ascii_digit());
        let cursor = digits.then(|| {
            Some(Self {
                position: position.parse().ok()?,
                listed: listed.map(str::parse).transpose().ok()?,
            })
        });
        cursor.flatten().ok_or_else(invalid)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.listed {
            Some(run_id) => write!(f, "{}.{run_id}", self.position),
            None => write!(f, "{}", self.position),
        }
    }
}

/// The fault of a cursor that this server has not given out.
pub(super) fn invalid() -> Fault {
    Fault::field(
        Reason::CursorInvalid,
        "cursor",
        "not a cursor of this server",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        for cursor in [
            Cursor {
                position: 0,
                listed: None,
            },
            Cursor {
                position: u64::MAX,
                listed: Some(RunId::from_u128(7)),
            },
        ] {
            assert_eq!(Cursor::parse(&cursor.to_string()).unwrap(), cursor);
        }
    }

    #[test]
    fn anything_else_is_invalid() {
        for bad in [
            "",
            "x",
            "+1",
            "-1",
            "1.",
            "1.run_7",
            "1 ",
            "99999999999999999999",
        ] {
            let fault = Cursor::parse(bad).unwrap_err();
            assert_eq!(fault.reason, Reason::CursorInvalid, "{bad:?}");
        }
    }
}
