//! The numbers of the Runner.

use std::{sync::Arc, time::Duration};

use super::port::{Clock, Models, RetryPolicy, Store, Tools};
use crate::domain::{policy::ToolPolicy, run::Limits};

/// The world a run lives in.
#[derive(Clone)]
pub struct Ports {
    /// Models.
    pub models: Arc<dyn Models>,
    /// Tools.
    pub tools: Arc<dyn Tools>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}

/// How much of a thread a run takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Runs.
    pub runs: usize,
    /// Bytes of their messages, by estimate.
    pub bytes: usize,
}

/// The numbers of the Runner. Defaults are those of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a caller's unset limits become, and at most can be.
    pub default_limits: Limits,
    /// The operator's policy, which comes before that of any run.
    pub policy: Arc<ToolPolicy>,
    /// How long a run that waits for people alone stays in memory, for a quick answer.
    pub park_after: Duration,
    /// How long an answer is waited for before the input is declined by itself.
    pub input_timeout: Duration,
    /// Time for one tool execution, from acceptance.
    pub tool_timeout: Duration,
    /// Time to wait for a host to accept a call.
    pub accept_timeout: Duration,
    /// How long a host that was chosen may take to accept; then another one is looked for.
    pub reaction_timeout: Duration,
    /// What a host gets beyond a call's time-out before the call is given up: its clock starts later.
    pub result_slack: Duration,
    /// How long a cancelled host is waited for.
    pub cancel_grace: Duration,
    /// Most deliveries of one call that a host has begun.
    pub max_attempts: u32,
    /// The wait after a call's first rejection or failure; each further one is twice as long.
    pub redelivery_base_delay: Duration,
    /// The longest such wait.
    pub redelivery_max_delay: Duration,
    /// The largest result of a tool; a larger one becomes an error result.
    pub max_result_bytes: usize,
    /// How long a fact that nothing waits for may stay unstored, for company.
    pub lazy_commit: Duration,
    /// How long one append to the store may take.
    pub store_timeout: Duration,
    /// The wait before a run that its store has failed is tried again; each further one is twice as long.
    pub resume_base_delay: Duration,
    /// The longest such wait.
    pub resume_max_delay: Duration,
    /// Most times in a row that a run is taken over from a process that has ended while the run did nothing:
    /// then it is taken for the cause, and ends.
    pub max_claims: u32,
    /// Inputs that a run's mailbox holds; senders wait for room.
    pub mailbox: usize,
    /// Most runs that wait in a thread; more are refused with `THREAD_BUSY`.
    pub max_queued_runs: usize,
    /// Most runs of a line whose messages a run goes on from, and most bytes of those, by estimate.
    pub max_line: Line,
    /// Most messages that wait for a run's next turn; more are refused with `TOO_MANY_MESSAGES`.
    pub max_added_messages: usize,
    /// Most live runs of the server; more are refused with `SERVER_OVERLOADED`.
    pub max_live_runs: usize,
    /// Retries of model calls.
    pub retry: RetryPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_limits: Limits {
                max_turns: 100,
                max_tool_calls: 1_000,
                max_tokens: 10_000_000,
                max_parallel_tool_calls: 64,
                max_depth: 4,
                timeout: Duration::from_secs(60 * 60),
            },
            policy: Arc::default(),
            park_after: Duration::from_secs(1),
            input_timeout: Duration::from_secs(7 * 24 * 60 * 60),
            tool_timeout: Duration::from_secs(5 * 60),
            accept_timeout: Duration::from_secs(60),
            reaction_timeout: Duration::from_secs(15),
            result_slack: Duration::from_secs(2),
            cancel_grace: Duration::from_secs(10),
            max_attempts: 3,
            redelivery_base_delay: Duration::from_millis(100),
            redelivery_max_delay: Duration::from_secs(5),
            max_result_bytes: 1024 * 1024,
            lazy_commit: Duration::from_millis(20),
            store_timeout: Duration::from_secs(30),
            resume_base_delay: Duration::from_secs(1),
            resume_max_delay: Duration::from_secs(30),
            max_claims: 3,
            mailbox: 32,
            max_queued_runs: 64,
            max_line: Line {
                runs: 10_000,
                bytes: 64 * 1024 * 1024,
            },
            max_added_messages: 64,
            max_live_runs: 100_000,
            retry: RetryPolicy::default(),
        }
    }
}

impl Settings {
    /// The wait before a call is delivered again, after so many earlier waits.
    pub(super) fn redelivery_delay(&self, earlier: u32) -> Duration {
        let factor = 1_u32.checked_shl(earlier).unwrap_or(u32::MAX);
        self.redelivery_base_delay
            .saturating_mul(factor)
            .min(self.redelivery_max_delay)
    }

    /// The wait before a suspended run is tried again, after so many earlier waits.
    pub(super) fn resume_delay(&self, earlier: u32) -> Duration {
        let factor = 1_u32.checked_shl(earlier).unwrap_or(u32::MAX);
        self.resume_base_delay
            .saturating_mul(factor)
            .min(self.resume_max_delay)
    }

    /// What a run may have of what its caller asks for.
    pub(super) fn bounded(&self, asked: Limits) -> Limits {
        let most = self.default_limits;
        Limits {
            max_turns: asked.max_turns.min(most.max_turns),
            max_tool_calls: asked.max_tool_calls.min(most.max_tool_calls),
            max_tokens: asked.max_tokens.min(most.max_tokens),
            max_parallel_tool_calls: asked
                .max_parallel_tool_calls
                .min(most.max_parallel_tool_calls),
            max_depth: asked.max_depth.min(most.max_depth),
            timeout: asked.timeout.min(most.timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_before_a_redelivery_doubles_up_to_its_bound() {
        let settings = Settings::default();
        let waits: Vec<_> = [0, 1, 2, 5, 6, 31, 32, u32::MAX]
            .map(|earlier| settings.redelivery_delay(earlier).as_millis())
            .into();
        assert_eq!(waits, [100, 200, 400, 3_200, 5_000, 5_000, 5_000, 5_000]);
    }

    #[test]
    fn a_caller_gets_no_more_than_the_server_gives() {
        let settings = Settings::default();
        let modest = Limits {
            max_turns: 3,
            ..settings.default_limits
        };
        assert_eq!(settings.bounded(modest), modest);
        let greedy = Limits {
            max_turns: u32::MAX,
            timeout: Duration::MAX,
            ..settings.default_limits
        };
        assert_eq!(settings.bounded(greedy), settings.default_limits);
    }
}
