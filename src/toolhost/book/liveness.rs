//! Sessions fall silent and break; the grace of their hosts runs out.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Book, Effect, Key, Ticket,
    seat::{InwardSide, Role, Seat, Stream},
};
use crate::domain::fault::{Fault, Reason};

impl<S: Clone, I: Clone> Book<S, I> {
    /// The peer lives.
    pub(in crate::toolhost) fn heard(&mut self, now: Instant, ticket: Ticket) {
        let Some(seat) = self.seats.get_mut(&ticket.seat) else {
            return;
        };
        let Stream::Open {
            session,
            last_heard,
            inward: InwardSide::Open,
            ..
        } = &mut seat.stream
        else {
            return;
        };
        if *session != ticket.session {
            return;
        }
        *last_heard = now;
        if seat.deadline.is_none() && seat.must_be_heard() {
            self.arm(ticket.seat, Some(now + self.settings.dead_after));
        }
    }

    /// A session's stream is gone: the grace begins. Nothing happens when it was not the current one.
    pub(in crate::toolhost) fn lost(&mut self, now: Instant, ticket: Ticket) {
        let Some(seat) = self.current(ticket) else {
            return;
        };
        let nothing_to_keep = match &seat.role {
            Role::Host(_) => false,
            Role::Attached(attached) => seat.held.is_empty() && !attached.cancel_when_lost,
        };
        if nothing_to_keep {
            self.remove_seat(ticket.seat);
            return;
        }
        let until = now + self.settings.grace;
        if let Some(seat) = self.seats.get_mut(&ticket.seat) {
            seat.stream = Stream::Lost;
        }
        self.arm(ticket.seat, Some(until));
    }

    /// Ends a session with a fault; for its host this is the loss of the stream.
    pub(in crate::toolhost) fn fail(&mut self, now: Instant, ticket: Ticket, fault: Fault) {
        let Some(address) = self.current(ticket).and_then(Seat::address).cloned() else {
            return;
        };
        self.end(address, Err(fault));
        self.lost(now, ticket);
    }

    /// When [`Book::tick`] has something to do.
    pub(in crate::toolhost) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does what is due: silent sessions end, and hosts whose grace is over are forgotten.
    pub(in crate::toolhost) fn tick(&mut self, now: Instant) {
        while let Some((at, key)) = self.deadlines.first().copied()
            && at <= now
        {
            self.arm(key, None);
            let Some(seat) = self.seats.get(&key) else {
                continue;
            };
            match seat.stream {
                Stream::Lost => self.expire(key),
                Stream::Open {
                    session,
                    last_heard,
                    ..
                } => {
                    let due = last_heard + self.settings.dead_after;
                    if !seat.must_be_heard() {
                        continue;
                    }
                    if due > now {
                        self.arm(key, Some(due));
                    } else {
                        let ticket = Ticket { seat: key, session };
                        self.fail(now, ticket, silent(self.settings.dead_after));
                    }
                }
            }
        }
    }

    /// The grace is over: the host is forgotten.
    fn expire(&mut self, key: Key) {
        self.reconcile(key, false, &[]);
        if let Some(seat) = self.remove_seat(key)
            && let Role::Attached(attached) = seat.role
            && attached.cancel_when_lost
        {
            self.effects
                .push_back(Effect::Abandon { to: attached.inbox });
        }
    }

    /// Sets when a seat must be looked at next.
    pub(super) fn arm(&mut self, key: Key, at: Option<Instant>) {
        let Some(seat) = self.seats.get_mut(&key) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut seat.deadline, at) {
            self.deadlines.remove(&(old, key));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, key));
        }
    }
}

fn silent(dead_after: Duration) -> Fault {
    Fault::new(
        Reason::HeartbeatMissed,
        format!("nothing was heard for {} s", dead_after.as_secs()),
    )
}
