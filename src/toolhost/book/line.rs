//! Calls that wait for a host: first come, first served within a run, and the runs take turns, so that
//! a run with a thousand calls does not hold up a run with one.

use std::collections::{HashMap, VecDeque};

use crate::domain::{call::Delivery, id::RunId};

/// A waiting line. A run that waits here stands in `turns` exactly once.
#[derive(Debug, Default)]
pub(super) struct Line {
    turns: VecDeque<RunId>,
    calls: HashMap<RunId, VecDeque<Delivery>>,
}

impl Line {
    /// Nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// At the end of the run's own calls.
    pub(super) fn push(&mut self, run_id: RunId, delivery: Delivery) {
        let calls = self.calls.entry(run_id).or_default();
        if calls.is_empty() {
            self.turns.push_back(run_id);
        }
        calls.push_back(delivery);
    }

    /// The next call that fits, by the runs' turns. It stays in the line.
    pub(super) fn next(&self, mut fits: impl FnMut(&Delivery) -> bool) -> Option<&Delivery> {
        self.turns
            .iter()
            .filter_map(|run_id| self.calls.get(run_id))
            .find_map(|calls| calls.iter().find(|delivery| fits(delivery)))
    }

    /// Takes a call out; its run goes to the end of the turns.
    pub(super) fn remove(&mut self, run_id: RunId, delivery: &Delivery) {
        let Some(calls) = self.calls.get_mut(&run_id) else {
            return;
        };
        let Some(at) = calls.iter().position(|waiting| waiting == delivery) else {
            return;
        };
        calls.remove(at);
        if let Some(turn) = self.turns.iter().position(|turn| *turn == run_id) {
            self.turns.remove(turn);
        }
        if calls.is_empty() {
            self.calls.remove(&run_id);
        } else {
            self.turns.push_back(run_id);
        }
    }

    /// All calls, by the runs' turns.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Delivery> {
        self.turns
            .iter()
            .filter_map(|run_id| self.calls.get(run_id))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::CallId;

    fn call(name: &str) -> Delivery {
        Delivery {
            call_id: CallId::parse(name).unwrap(),
            attempt: 1,
        }
    }

    fn drain(line: &mut Line, runs: &[(&str, u128)]) -> Vec<String> {
        let mut order = Vec::new();
        while let Some(next) = line.next(|_| true).cloned() {
            let name = next.call_id.as_str().to_owned();
            let (_, run) = runs.iter().find(|(call, _)| *call == name).unwrap();
            line.remove(RunId::from_u128(*run), &next);
            order.push(name);
        }
        order
    }

    #[test]
    fn runs_take_turns_and_each_keeps_its_order() {
        let runs = [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2), ("c1", 3)];
        let mut line = Line::default();
        for (name, run) in runs {
            line.push(RunId::from_u128(run), call(name));
        }
        assert_eq!(drain(&mut line, &runs), ["a1", "b1", "c1", "a2", "a3"]);
        assert!(line.is_empty());
    }

    #[test]
    fn a_call_that_does_not_fit_holds_nobody_up() {
        let mut line = Line::default();
        for (name, run) in [("a1", 1), ("a2", 1), ("b1", 2)] {
            line.push(RunId::from_u128(run), call(name));
        }
        let next = line.next(|delivery| delivery.call_id.as_str() != "a1");
        assert_eq!(next, Some(&call("a2")));
    }

    #[test]
    fn removing_what_does_not_wait_changes_nothing() {
        let mut line = Line::default();
        line.push(RunId::from_u128(1), call("a1"));
        line.remove(RunId::from_u128(1), &call("a2"));
        line.remove(RunId::from_u128(2), &call("a1"));
        assert_eq!(line.iter().count(), 1);
    }
}
