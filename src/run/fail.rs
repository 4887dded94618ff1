//! Places where a test lets the process end at once, as if it had been killed there. A release build has
//! none.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

/// A place in the life of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A transaction of the store is complete but for its end.
    InTransaction,
    /// A run's creation is stored, and not answered.
    Created,
    /// A run has facts that are not stored.
    BeforeCommit,
    /// They are stored; nobody has heard of them.
    AfterCommit,
    /// Receipts were answered; nothing was dispatched.
    AfterReceipts,
    /// What a run wanted was dispatched.
    AfterEffects,
}

impl Point {
    /// Every place.
    pub const ALL: [Self; 6] = [
        Self::InTransaction,
        Self::Created,
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::AfterReceipts,
        Self::AfterEffects,
    ];

    /// Its name in `RUNWIRE_FAIL_POINT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InTransaction => "in_transaction",
            Self::Created => "created",
            Self::BeforeCommit => "before_commit",
            Self::AfterCommit => "after_commit",
            Self::AfterReceipts => "after_receipts",
            Self::AfterEffects => "after_effects",
        }
    }
}

/// The place, and how often it is still passed unharmed.
static ARMED: OnceLock<(Point, AtomicU32)> = OnceLock::new();

/// Arms one place, once: `after_commit:3` ends the process when it comes there for the third time. Says
/// whether it understood; a release build never does.
pub fn arm(text: &str) -> bool {
    let parsed = text.split_once(':').and_then(|(name, count)| {
        let point = Point::ALL.into_iter().find(|point| point.name() == name)?;
        let count: u32 = count.parse().ok().filter(|count| *count > 0)?;
        Some((point, AtomicU32::new(count)))
    });
    let armed = parsed.filter(|_| cfg!(debug_assertions));
    armed.is_some_and(|armed| ARMED.set(armed).is_ok())
}

/// Passes a place.
pub(crate) fn pass(point: Point) {
    if cfg!(debug_assertions)
        && let Some((armed, left)) = ARMED.get()
        && *armed == point
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}
