//! How long to wait before trying again.

use std::time::Duration;

use uuid::Uuid;

use super::Error;

/// Waits that double, with full jitter, up to a most, for so many tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first wait.
    pub first: Duration,
    /// The longest wait of all.
    pub longest: Duration,
    /// Most tries in a row without success, the first included.
    pub tries: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            tries: 8,
        }
    }
}

impl Backoff {
    /// The wait after `failed` failures in a row; `None` when it is time to give up. A server that asks
    /// for a wait gets at least that.
    pub(super) fn wait(&self, failed: u32, error: &Error) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let most = 2_u32
            .checked_pow(failed.saturating_sub(1))
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.longest, |wait| wait.min(self.longest));
        let asked = error.retry_delay.unwrap_or_default();
        Some(asked.saturating_add(jittered(most)))
    }
}

/// A part of `most`, evenly drawn.
pub(super) fn jittered(most: Duration) -> Duration {
    // The low bits of a v7 id are random; that is all the randomness that this needs.
    let chance = u32::try_from(Uuid::now_v7().as_u128() & 0x3ff).unwrap_or_default();
    most / 1_024 * chance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_end() {
        let backoff = Backoff::default();
        let error = Error::local("broken");
        for failed in 1..backoff.tries {
            let most = Duration::from_millis(100 << (failed - 1)).min(backoff.longest);
            assert!(backoff.wait(failed, &error).unwrap() <= most);
        }
        assert_eq!(backoff.wait(backoff.tries, &error), None);
    }

    #[test]
    fn a_server_that_asks_for_a_wait_gets_it() {
        let mut error = Error::local("busy");
        error.retry_delay = Some(Duration::from_secs(3));
        assert!(Backoff::default().wait(1, &error).unwrap() >= Duration::from_secs(3));
    }
}
