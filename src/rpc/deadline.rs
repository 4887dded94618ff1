//! The caller's deadline: `grpc-timeout`, read once and held for the whole call, its stream included.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::domain::fault::{Fault, Reason};

/// When the caller gives up; `None`: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline(pub(super) Option<Instant>);

impl Deadline {
    /// Reads the header.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when it is there and is not a time-out.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let Some(value) = headers.get("grpc-timeout") else {
            return Ok(Self(None));
        };
        let timeout = value.to_str().ok().and_then(parse);
        let timeout =
            timeout.ok_or_else(|| Fault::invalid("grpc-timeout", "is not a gRPC time-out"))?;
        Ok(Self(Instant::now().checked_add(timeout)))
    }

    /// The earlier of this and `most` from now, less `margin`: so that the last word still gets out.
    pub(super) fn budget(self, most: Duration, margin: Duration) -> Instant {
        let whole = Instant::now() + most;
        let end = self.0.map_or(whole, |deadline| deadline.min(whole));
        end.checked_sub(margin).unwrap_or(end)
    }
}

/// The deadline has passed.
pub(super) fn passed() -> Fault {
    Fault::new(Reason::Deadline, "the deadline of the call has passed")
}

/// At most eight digits and a unit, as the gRPC protocol has it.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(parse("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("0n"), Some(Duration::ZERO));
        for bad in ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", "1 S", "ü"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_is_the_shorter_of_the_two_less_the_margin() {
        let (most, margin) = (Duration::from_secs(600), Duration::from_millis(100));
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(Deadline(None).budget(most, margin), now + most - margin);
        assert_eq!(
            Deadline(Some(now + second)).budget(most, margin),
            now + second - margin
        );
        assert_eq!(
            Deadline(Some(now + most * 2)).budget(most, margin),
            now + most - margin
        );
    }
}
