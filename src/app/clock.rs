//! The clock of the server.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{domain::time::Timestamp, run::port::Clock};

/// The system's time of day, which never goes back however the system's clock is set.
#[derive(Debug, Default)]
pub struct WallClock {
    latest: AtomicU64,
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_types, reason = "this is the Clock port")]
        let since_epoch = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let before = self.latest.fetch_max(millis, Ordering::Relaxed);
        Timestamp::from_millis(millis.max(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back() {
        let clock = WallClock::default();
        let future = clock.now().as_millis() + 3_600_000;
        clock.latest.store(future, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp::from_millis(future));
    }
}
