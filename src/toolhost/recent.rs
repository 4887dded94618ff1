//! A bounded map that forgets what was not used for longest.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// At most `capacity` entries; inserting one more drops the least recently used.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    capacity: usize,
    clock: u64,
    entries: HashMap<K, (u64, V)>,
    /// The same entries by last use: the first is the next to go.
    order: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    /// An empty map of at least one place.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            clock: 0,
            entries: HashMap::new(),
            order: BTreeMap::new(),
        }
    }

    /// Looks an entry up and makes it the most recent.
    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        self.clock += 1;
        let (used, value) = self.entries.get_mut(key)?;
        if let Some(key) = self.order.remove(used) {
            self.order.insert(self.clock, key);
        }
        *used = self.clock;
        Some(value)
    }

    /// Looks an entry up without using it.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// Adds or replaces an entry.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        self.clock += 1;
        self.order.insert(self.clock, key.clone());
        self.entries.insert(key, (self.clock, value));
        if self.entries.len() > self.capacity
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    /// Drops an entry.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (used, value) = self.entries.remove(key)?;
        self.order.remove(&used);
        Some(value)
    }

    /// The entries, most recent first; looking at them is not using them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order
            .values()
            .rev()
            .filter_map(|key| self.entries.get(key).map(|(_, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_entry_goes_first() {
        let mut recent = Recent::new(2);
        recent.insert("a", 1);
        recent.insert("b", 2);
        assert_eq!(recent.get(&"a"), Some(&1));
        recent.insert("c", 3);
        assert_eq!(recent.get(&"b"), None);
        assert_eq!(recent.get(&"a"), Some(&1));
        assert_eq!(recent.get(&"c"), Some(&3));
    }

    #[test]
    fn replacing_an_entry_takes_no_second_place() {
        let mut recent = Recent::new(2);
        recent.insert("a", 1);
        recent.insert("a", 2);
        recent.insert("b", 3);
        let entries: Vec<_> = recent.iter().collect();
        assert_eq!(entries, [(&"b", &3), (&"a", &2)]);
    }
}
