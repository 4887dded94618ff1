//! When a failed model call is worth another try. Pure: time and chance come with the question.

use std::time::Duration;

use super::port::RetryPolicy;
use crate::domain::fault::{Code, Fault};

/// The time that a caller gave, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What there was.
    pub total: Duration,
    /// What is left.
    pub left: Duration,
}

impl Budget {
    /// Whether it pays to begin again after a wait: at least a third must be left then. A try that is
    /// bound to be cut short costs tokens and tells nobody anything.
    pub fn allows(self, wait: Duration) -> bool {
        self.left
            .checked_sub(wait)
            .is_some_and(|left| left >= self.total / 3)
    }
}

/// How long to wait before the same model is asked again; `None`: not again.
///
/// `attempts` is how often it was asked so far. `seed` decides the jitter: the same seed, the same wait.
pub fn next_wait(
    policy: &RetryPolicy,
    fault: &Fault,
    attempts: u32,
    budget: Option<Budget>,
    seed: u64,
) -> Option<Duration> {
    if attempts >= policy.max_attempts || !is_transient(fault) {
        return None;
    }
    let chance = mix(seed.wrapping_add(u64::from(attempts)));
    let wait = match fault.retry_after {
        Some(asked) if asked > policy.max_delay => return None,
        // Never earlier than asked; a little later, so that all who were refused do not come at once.
        Some(asked) => asked + share(asked / 10, chance),
        None => {
            let whole = backoff(policy, attempts);
            whole / 2 + share(whole / 2, chance)
        }
    };
    budget.is_none_or(|b| b.allows(wait)).then_some(wait)
}

/// Whether the same request may succeed in a moment.
pub fn is_transient(fault: &Fault) -> bool {
    match fault.code() {
        Code::Unavailable => true,
        // Without a time it is a quota that does not come back by waiting.
        Code::ResourceExhausted => fault.retry_after.is_some(),
        Code::Cancelled
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::Unauthenticated => false,
    }
}

/// The wait after so many attempts, before jitter: doubles each time, up to the longest.
fn backoff(policy: &RetryPolicy, attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1);
    2_u32
        .checked_pow(doublings)
        .and_then(|factor| policy.base_delay.checked_mul(factor))
        .map_or(policy.max_delay, |wait| wait.min(policy.max_delay))
}

/// The part of `whole` that `chance` picks, in 1,024 steps.
fn share(whole: Duration, chance: u64) -> Duration {
    let step = u32::try_from(chance % 1_025).unwrap_or_default();
    whole / 1_024 * step
}

/// Spreads neighbouring numbers over all of `u64` (the finaliser of `SplitMix64`).
const fn mix(number: u64) -> u64 {
    let n = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::fault::Reason;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 4,
        base_delay: Duration::from_millis(500),
        max_delay: Duration::from_secs(20),
    };

    fn fault(reason: Reason) -> Fault {
        Fault::new(reason, "it failed")
    }

    #[test]
    fn only_what_may_pass_is_retried() {
        for reason in Reason::ALL {
            let waits = next_wait(&POLICY, &fault(*reason), 1, None, 7).is_some();
            assert_eq!(waits, reason.code() == Code::Unavailable, "{reason}");
        }
        let limited = fault(Reason::ProviderRateLimited).retry_after(Duration::from_secs(1));
        assert!(next_wait(&POLICY, &limited, 1, None, 7).is_some());
        let wrong = fault(Reason::ProviderInvalidRequest).retry_after(Duration::from_secs(1));
        assert_eq!(next_wait(&POLICY, &wrong, 1, None, 7), None);
    }

    #[test]
    fn the_attempts_are_counted() {
        let down = fault(Reason::ProviderUnavailable);
        let tries: Vec<bool> = (1..=5)
            .map(|made| next_wait(&POLICY, &down, made, None, 7).is_some())
            .collect();
        assert_eq!(tries, [true, true, true, false, false]);
    }

    #[test]
    fn a_provider_that_asks_for_too_long_a_wait_is_given_up() {
        let patient = |seconds| {
            let limited =
                fault(Reason::ProviderRateLimited).retry_after(Duration::from_secs(seconds));
            next_wait(&POLICY, &limited, 1, None, 7).is_some()
        };
        assert!(patient(20));
        assert!(!patient(21));
    }

    #[test]
    fn a_third_of_the_budget_must_be_left_after_the_wait() {
        let down = fault(Reason::ProviderUnavailable).retry_after(Duration::from_secs(10));
        let tries = |left| {
            let budget = Budget {
                total: Duration::from_secs(60),
                left: Duration::from_secs(left),
            };
            next_wait(&POLICY, &down, 1, Some(budget), 7).is_some()
        };
        assert!(tries(60));
        assert!(tries(31));
        assert!(!tries(29));
        assert!(!tries(5));
    }

    proptest! {
        #[test]
        fn a_wait_doubles_within_its_jitter_and_never_passes_the_longest(
            attempts in 1_u32..80,
            seed: u64,
        ) {
            let policy = RetryPolicy { max_attempts: u32::MAX, ..POLICY };
            let down = fault(Reason::ProviderOverloaded);
            let wait = next_wait(&policy, &down, attempts, None, seed).unwrap();
            let whole = backoff(&policy, attempts);
            prop_assert!(wait >= whole / 2 && wait <= whole);
            prop_assert!(wait <= policy.max_delay);
            prop_assert_eq!(next_wait(&policy, &down, attempts, None, seed), Some(wait));
        }

        #[test]
        fn a_wait_that_was_asked_for_is_kept(asked in 0_u64..20_000, seed: u64) {
            let asked = Duration::from_millis(asked);
            let limited = fault(Reason::ProviderRateLimited).retry_after(asked);
            let wait = next_wait(&POLICY, &limited, 1, None, seed).unwrap();
            prop_assert!(wait >= asked && wait <= asked + asked / 10);
        }
    }
}
