//! A mutex for short critical sections that never wait.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A mutex without poison: whoever holds it leaves what it guards valid after every statement, so that a
/// panic elsewhere in one run must not take the others with it.
#[derive(Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    /// Guards a value.
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Holds it until the guard is dropped, which must be before the next `await`.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}
