//! What makes a log worth writing for.

use std::{fmt, sync::Arc};

use super::Detail;
use crate::run::log::Log;

/// Counts as a watch of a live log until it is dropped. Who will watch a run from its beginning holds one
/// from before its first turn, which would else be asked for in one piece.
pub struct Interest {
    pub(super) log: Arc<Log>,
    detail: Detail,
}

impl Interest {
    pub(in crate::run) fn new(log: Arc<Log>, detail: Detail) -> Self {
        log.add_watch(detail);
        Self { log, detail }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.log.remove_watch(self.detail);
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interest").field(&self.detail).finish()
    }
}
