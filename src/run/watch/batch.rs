//! What goes to a watcher at once: bounded by size, never empty-handed for the size of one thing.

use super::{Seen, weight};

/// The most of a batch, in bytes of the estimated encoding.
const MAX_BYTES: usize = 256 * 1024;

/// A batch that is being filled.
pub(in crate::run) struct Batch {
    seen: Vec<Seen>,
    weight: usize,
    max: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            seen: Vec::new(),
            weight: 0,
            max: MAX_BYTES,
        }
    }
}

impl Batch {
    /// A batch that takes all there is, for what is bounded otherwise.
    pub(in crate::run) fn unbounded() -> Self {
        Self {
            max: usize::MAX,
            ..Self::default()
        }
    }

    /// Adds something; `false`: there is no room. The first always has.
    pub(in crate::run) fn push(&mut self, seen: Seen) -> bool {
        let weight = match &seen {
            Seen::Event(event) => weight::of_event(event),
            Seen::Ephemeral { ephemeral, .. } => weight::of_ephemeral(ephemeral),
            Seen::Snapshot { snapshot, .. } => weight::of_snapshot(snapshot),
        };
        if !self.seen.is_empty() && self.weight.saturating_add(weight) > self.max {
            return false;
        }
        self.weight = self.weight.saturating_add(weight);
        self.seen.push(seen);
        true
    }

    pub(in crate::run) fn into_seen(self) -> Vec<Seen> {
        self.seen
    }
}
