//! Sessions come, change, are taken over and end.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Book, Effect, Key, Place, Ticket,
    registration::{Rejected, draining, missing_scope},
    seat::{Attached, Host, InwardSide, Role, Seat, Stream},
};
use crate::{
    domain::{
        call::{Command, Delivery, StopReason},
        fault::{Fault, Reason},
        id::RunId,
        principal::{Principal, Scope},
    },
    run::port::CallNews,
    toolhost::{Attachment, Hello, Proposed},
};

impl<S: Clone, I: Clone> Book<S, I> {
    /// A host opens a stream.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, `SERVER_OVERLOADED`, `SERVER_DRAINING`, `INVALID_REQUEST`.
    pub(in crate::toolhost) fn connect(
        &mut self,
        now: Instant,
        principal: &Principal,
        hello: Hello,
        address: S,
    ) -> Result<(Ticket, Rejected), Fault> {
        let known = self.admit(principal, &hello)?;
        let is_new = known.is_none();
        let key = known.unwrap_or_else(|| self.next_key());
        let session = self.next_key();
        let stream = Stream::Open {
            session,
            address,
            last_heard: now,
            inward: InwardSide::Open,
        };
        let window = self.window(hello.window);
        if is_new {
            let hosted = self.tenants.entry(principal.tenant.clone()).or_default();
            hosted.hosts.insert(hello.host_id.clone(), key);
            let role = Role::Host(Host {
                host_id: hello.host_id,
                labels: hello.labels,
                tools: HashMap::new(),
            });
            self.seats
                .insert(key, new_seat(principal, role, window, stream));
        } else {
            // What is remembered of its old tools goes by its old labels; then the new ones hold.
            self.take_over(key, stream, window);
            if let Some(seat) = self.seats.get_mut(&key)
                && let Role::Host(host) = &mut seat.role
            {
                host.labels = hello.labels;
            }
        }
        self.arm(key, Some(now + self.settings.dead_after));
        self.reconcile(key, true, &hello.in_flight);
        let rejected = self.register(key, principal, hello.tools);
        self.settle(key);
        Ok((Ticket { seat: key, session }, rejected))
    }

    /// A run's own stream opens.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, `SERVER_DRAINING`, `INVALID_REQUEST`.
    pub(in crate::toolhost) fn attach(
        &mut self,
        now: Instant,
        principal: &Principal,
        run: (RunId, I),
        attachment: Attachment,
        address: S,
    ) -> Result<Ticket, Fault> {
        self.check_hello(&attachment.in_flight)?;
        let takes_calls = attachment.host_id.is_some() && attachment.window != Some(0);
        if takes_calls && !principal.has(Scope::RunsWrite) {
            return Err(missing_scope(Scope::RunsWrite));
        }
        let window = if takes_calls {
            self.window(attachment.window)
        } else {
            0
        };
        let (run_id, inbox) = run;
        let known = self.attached.get(&run_id).copied();
        let key = known.unwrap_or_else(|| self.next_key());
        let session = self.next_key();
        let stream = Stream::Open {
            session,
            address,
            last_heard: now,
            inward: InwardSide::Open,
        };
        let is_same = self.seats.get(&key).is_some_and(|seat| {
            seat.principal == principal.name && seat.host_id() == attachment.host_id.as_ref()
        });
        let role = Role::Attached(Attached {
            run_id,
            host_id: attachment.host_id,
            inbox,
            cancel_when_lost: attachment.cancel_when_lost,
        });
        if known.is_some() {
            self.take_over(key, stream, window);
            // The calls of another process are settled under its own name.
            if !is_same {
                self.reconcile(key, false, &[]);
            }
            if let Some(seat) = self.seats.get_mut(&key) {
                seat.principal = Arc::clone(&principal.name);
                seat.role = role;
            }
        } else {
            self.attached.insert(run_id, key);
            self.seats
                .insert(key, new_seat(principal, role, window, stream));
        }
        let must_be_heard = self.seats.get(&key).is_some_and(Seat::must_be_heard);
        let dead_at = must_be_heard.then(|| now + self.settings.dead_after);
        self.arm(key, dead_at);
        self.reconcile(key, true, &attachment.in_flight);
        self.settle(key);
        Ok(Ticket { seat: key, session })
    }

    /// A host changes its window or its tools. Returns the tools that were not taken.
    pub(in crate::toolhost) fn update(
        &mut self,
        ticket: Ticket,
        host: Option<&Principal>,
        window: Option<u32>,
        tools: Option<Vec<Proposed>>,
    ) -> Rejected {
        let Some(seat) = self.current(ticket) else {
            return Vec::new();
        };
        if let Some(window) = window {
            let takes_calls = seat.host_id().is_some();
            let max = self.settings.max_window;
            if let Some(seat) = self.seats.get_mut(&ticket.seat) {
                seat.window = if takes_calls { window.min(max) } else { 0 };
            }
        }
        let rejected = if let (Some(principal), Some(tools)) = (host, tools) {
            self.register(ticket.seat, principal, tools)
        } else {
            self.look_again_at_followers(ticket.seat);
            Vec::new()
        };
        self.settle(ticket.seat);
        rejected
    }

    /// The host will say nothing more on this session, and takes no more calls.
    pub(in crate::toolhost) fn half_close(&mut self, ticket: Ticket) {
        if self.current(ticket).is_none() {
            return;
        }
        if let Some(seat) = self.seats.get_mut(&ticket.seat)
            && let Stream::Open { inward, .. } = &mut seat.stream
            && *inward == InwardSide::Open
        {
            *inward = InwardSide::Closed;
        }
        // It cannot send heartbeats any more: only the loss of the stream tells that it has died.
        self.arm(ticket.seat, None);
        self.look_again_at_followers(ticket.seat);
        self.settle(ticket.seat);
    }

    /// Tells every session that its stream will end, and takes no new ones.
    pub(in crate::toolhost) fn go_away(&mut self, time_left: Duration) {
        self.draining = true;
        let seats: Vec<Key> = self.seats.keys().copied().collect();
        for seat in seats {
            self.tell(seat, Command::GoAway { time_left });
        }
    }

    /// Ends every session: the server goes.
    pub(in crate::toolhost) fn close(&mut self) {
        self.draining = true;
        let addresses: Vec<S> = self
            .seats
            .values()
            .filter_map(Seat::address)
            .cloned()
            .collect();
        for address in addresses {
            self.end(address, Err(draining()));
        }
    }

    // === inside ===

    pub(super) fn current(&self, ticket: Ticket) -> Option<&Seat<S, I>> {
        self.seats
            .get(&ticket.seat)
            .filter(|seat| seat.is_current(ticket.session))
    }

    fn window(&self, asked: Option<u32>) -> u32 {
        asked
            .unwrap_or(self.settings.default_window)
            .min(self.settings.max_window)
    }

    /// A new session takes the place of the old one, which ends when it is still open.
    fn take_over(&mut self, key: Key, stream: Stream<S>, window: u32) {
        let Some(seat) = self.seats.get_mut(&key) else {
            return;
        };
        seat.window = window;
        let old = std::mem::replace(&mut seat.stream, stream);
        if let Stream::Open {
            address,
            inward: InwardSide::Open | InwardSide::Closed,
            ..
        } = old
        {
            self.end(address, Err(superseded()));
        }
    }

    /// Compares what the seat holds with what its host says it has: what it does not list, it does
    /// not have. `is_same`: it is the process that the calls were given to.
    pub(super) fn reconcile(&mut self, key: Key, is_same: bool, in_flight: &[Delivery]) {
        let Some(seat) = self.seats.get(&key) else {
            return;
        };
        let listed: HashSet<&Delivery> = in_flight.iter().filter(|_| is_same).collect();
        let (kept, missing): (Vec<_>, Vec<_>) = seat
            .held
            .iter()
            .cloned()
            .partition(|delivery| listed.contains(delivery));
        let over: Vec<Delivery> = in_flight
            .iter()
            .filter(|delivery| !seat.held.contains(*delivery))
            .cloned()
            .collect();
        for delivery in missing {
            self.give_up(&delivery);
        }
        for delivery in kept {
            self.tell_answer(key, &delivery);
            let stop = self.calls.get(&delivery).and_then(|call| call.stop);
            if let Some(reason) = stop {
                self.tell_cancel(key, delivery, reason);
            }
        }
        for delivery in over {
            self.tell_cancel(key, delivery, StopReason::Superseded);
        }
    }

    /// A delivery that its seat no longer has.
    fn give_up(&mut self, delivery: &Delivery) {
        let Some(call) = self.calls.get(delivery) else {
            return;
        };
        let news = match &call.place {
            Place::Waiting(_) => return,
            Place::Held {
                accepted: false, ..
            } => CallNews::NotBegun,
            Place::Held {
                seat,
                accepted: true,
            } => match self.seats.get(seat).and_then(Seat::host_id).cloned() {
                Some(host_id) => CallNews::Lost { host_id },
                None => CallNews::NotBegun,
            },
        };
        self.drop_with(delivery, news);
    }

    /// Forgets a seat. Calls that followed their run to it look for another host.
    pub(super) fn remove_seat(&mut self, key: Key) -> Option<Seat<S, I>> {
        self.arm(key, None);
        let changed = self.unregister(key);
        let seat = self.seats.remove(&key)?;
        match &seat.role {
            Role::Attached(attached) => {
                self.attached.remove(&attached.run_id);
            }
            Role::Host(host) => {
                if let Some(hosted) = self.tenants.get_mut(&seat.tenant) {
                    hosted.hosts.remove(&host.host_id);
                }
                self.look_again(&seat.tenant, &host.host_id, &changed);
                self.effects
                    .push_back(Effect::Registered(seat.tenant.clone()));
            }
        }
        Some(seat)
    }

    /// A host may have stopped taking calls: runs that follow it look elsewhere.
    fn look_again_at_followers(&mut self, key: Key) {
        if let Some(seat) = self.seats.get(&key)
            && let Role::Host(host) = &seat.role
        {
            let (tenant, host_id) = (seat.tenant.clone(), host.host_id.clone());
            self.look_again(&tenant, &host_id, &[]);
        }
    }
}

fn new_seat<S, I>(
    principal: &Principal,
    role: Role<I>,
    window: u32,
    stream: Stream<S>,
) -> Seat<S, I> {
    Seat {
        tenant: principal.tenant.clone(),
        principal: Arc::clone(&principal.name),
        role,
        window,
        held: HashSet::new(),
        stream,
        deadline: None,
    }
}

fn superseded() -> Fault {
    Fault::new(
        Reason::Superseded,
        "another stream has taken this one's place",
    )
}
