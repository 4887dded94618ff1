//! Who offers which tool, and which call is where: the rules of tool hosting without any input or
//! output.
//!
//! The book is told what happens and when, and answers with [`Effect`]s, in the order in which they
//! must be carried out. It passes on the addresses of sessions (`S`) and of runs' mailboxes (`I`)
//! without looking at them.
//!
//! A delivery that was assigned leaves the table in exactly one way: the run releases it, or the run
//! hears that it was never begun or that its host was lost. A seat with room never has a call waiting
//! that it could take.

mod line;
mod liveness;
mod offer;
mod placing;
mod registration;
mod registry;
mod seat;
mod session;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use line::Line;
use registry::Registry;
use seat::Seat;
use tokio::time::Instant;

use super::{Settings, recent::Recent};
use crate::{
    domain::{
        call::{Assignment, Command, Delivery, Report, StopReason},
        fault::{Fault, Reason},
        id::{HostId, RunId},
        input::InputAnswer,
        principal::{Principal, Tenant},
        tool::ToolName,
    },
    run::port::CallNews,
};

/// Runs whose first host is remembered for [`crate::domain::tool::Affinity::Run`].
const REMEMBERED_RUNS: usize = 65_536;

/// The number of a seat or of a session; never used again.
pub(super) type Key = u64;

/// A session, and the seat that it is a session of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) seat: Key,
    pub(super) session: Key,
}

/// What the shell has to do.
#[derive(Debug)]
pub(super) enum Effect<S, I> {
    /// Send a command down a session; `ticket` names it, should it not take one.
    Tell {
        to: S,
        ticket: Ticket,
        command: Command,
    },
    /// Tell a run about one of its calls.
    News {
        to: I,
        delivery: Delivery,
        news: CallNews,
    },
    /// A session is over, well or with a fault.
    End { session: S, how: Result<(), Fault> },
    /// Tell a run that its stream was lost for good.
    Abandon { to: I },
    /// The registrations of the tenant have changed.
    Registered(Tenant),
}

/// Where a report goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Routed<I> {
    /// To the run that waits for it.
    Live { inbox: I, host_id: HostId },
    /// No live run waits for it from there.
    Late,
}

/// Seats, calls and who waits for what.
#[derive(Debug)]
pub(super) struct Book<S, I> {
    settings: Settings,
    last_key: Key,
    dice: Dice,
    tenants: HashMap<Tenant, Hosted>,
    seats: HashMap<Key, Seat<S, I>>,
    calls: HashMap<Delivery, Call<I>>,
    /// The seats of runs' own streams.
    attached: HashMap<RunId, Key>,
    /// Calls that wait for their run's own stream.
    unattached: HashMap<RunId, Line>,
    /// The host of a run's first call, where later calls follow it.
    first_hosts: Recent<RunId, Key>,
    /// When a seat must be looked at next; each seat at most once.
    deadlines: BTreeSet<(Instant, Key)>,
    effects: VecDeque<Effect<S, I>>,
    draining: bool,
}

/// A tenant's hosts.
#[derive(Debug, Default)]
struct Hosted {
    hosts: HashMap<HostId, Key>,
    registry: Registry,
    /// Calls that wait for any host of a tool.
    pools: HashMap<ToolName, Line>,
    /// Calls that wait for one host.
    pinned: HashMap<HostId, Line>,
}

/// A call from its assignment until the run is done with it.
#[derive(Debug)]
struct Call<I> {
    tenant: Tenant,
    assignment: Arc<Assignment>,
    inbox: I,
    place: Place,
    /// Grows from call to call: of two lines the one that has waited longer goes first.
    arrival: u64,
    /// Set once the host was told to stop, to tell it again when it comes back.
    stop: Option<StopReason>,
    /// What was answered to the host's newest question, to say it again when it comes back.
    answer: Option<(u32, Arc<InputAnswer>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Waiting(Queue),
    Held { seat: Key, accepted: bool },
}

/// Which line a call waits in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Queue {
    /// For its run's own stream.
    Attached,
    /// For this host.
    Host(HostId),
    /// For any host of its tool.
    Pool,
}

/// Chance without a source of chance: the same seed rolls the same numbers.
#[derive(Debug)]
struct Dice(u64);

// === impl Book ===

impl<S: Clone, I: Clone> Book<S, I> {
    /// An empty book.
    pub(super) fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            last_key: 0,
            dice: Dice(seed | 1),
            tenants: HashMap::new(),
            seats: HashMap::new(),
            calls: HashMap::new(),
            attached: HashMap::new(),
            unattached: HashMap::new(),
            first_hosts: Recent::new(REMEMBERED_RUNS),
            deadlines: BTreeSet::new(),
            effects: VecDeque::new(),
            draining: false,
        }
    }

    /// The next thing to do.
    pub(super) fn next_effect(&mut self) -> Option<Effect<S, I>> {
        self.effects.pop_front()
    }

    /// Looks for a host for a call, or lets it wait for one. The same delivery again changes nothing.
    pub(super) fn assign(&mut self, tenant: &Tenant, assignment: Arc<Assignment>, inbox: I) {
        let delivery = assignment.delivery.clone();
        if self.calls.contains_key(&delivery) {
            return;
        }
        let call = Call {
            tenant: tenant.clone(),
            assignment,
            inbox,
            place: Place::Waiting(Queue::Pool),
            arrival: self.next_key(),
            stop: None,
            answer: None,
        };
        let choice = self.choose(&call);
        self.calls.insert(delivery.clone(), call);
        self.apply(&delivery, choice);
    }

    /// Tells the host to stop, or takes the call back when no host has it.
    pub(super) fn cancel(&mut self, delivery: &Delivery, reason: StopReason) {
        let Some(call) = self.calls.get_mut(delivery) else {
            return;
        };
        match call.place {
            Place::Held { seat, .. } => {
                call.stop = Some(reason);
                self.tell_cancel(seat, delivery.clone(), reason);
            }
            Place::Waiting(_) => self.drop_with(delivery, CallNews::Withdrawn),
        }
    }

    /// Tells the host what was answered to its question.
    pub(super) fn answer(&mut self, delivery: &Delivery, number: u32, answer: Arc<InputAnswer>) {
        if let Some(call) = self.calls.get_mut(delivery)
            && let Place::Held { seat, .. } = call.place
        {
            call.answer = Some((number, answer));
            self.tell_answer(seat, delivery);
        }
    }

    /// The run is done with a delivery: its place in the window is free for the next one.
    pub(super) fn release(&mut self, delivery: &Delivery) {
        if let Some(call) = self.remove_call(delivery)
            && let Place::Held { seat, .. } = call.place
        {
            self.settle(seat);
        }
    }

    /// A run has ended: its attachment ends well, and its sticky host is forgotten.
    pub(super) fn forget_run(&mut self, run_id: RunId) {
        self.first_hosts.remove(&run_id);
        if let Some(line) = self.unattached.remove(&run_id) {
            for delivery in line.iter() {
                self.calls.remove(delivery);
            }
        }
        let Some(key) = self.attached.get(&run_id).copied() else {
            return;
        };
        if let Some(seat) = self.remove_seat(key) {
            for delivery in &seat.held {
                self.calls.remove(delivery);
            }
            if let Some(address) = seat.address().cloned() {
                self.end(address, Ok(()));
            }
        }
    }

    /// Where a report on a stream goes: only the seat that holds a delivery may speak about it.
    pub(super) fn report(
        &mut self,
        ticket: Ticket,
        delivery: &Delivery,
        report: &Report,
    ) -> Routed<I> {
        match self.holder(delivery) {
            Some(seat) if seat == ticket.seat => self.note(delivery, report),
            Some(_) | None => Routed::Late,
        }
    }

    /// Where a report without a stream goes.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` when another principal of the tenant holds the delivery.
    pub(super) fn report_alone(
        &mut self,
        principal: &Principal,
        delivery: &Delivery,
        report: &Report,
    ) -> Result<Routed<I>, Fault> {
        let holder = self.holder(delivery).and_then(|key| self.seats.get(&key));
        match holder {
            Some(seat) if seat.tenant != principal.tenant => Ok(Routed::Late),
            Some(seat) if seat.principal != principal.name => Err(Fault::new(
                Reason::PermissionDenied,
                "the tool call was not assigned to this principal",
            )),
            Some(_) => Ok(self.note(delivery, report)),
            None => Ok(Routed::Late),
        }
    }

    fn holder(&self, delivery: &Delivery) -> Option<Key> {
        match self.calls.get(delivery)?.place {
            Place::Held { seat, .. } => Some(seat),
            Place::Waiting(_) => None,
        }
    }

    /// Remembers what the report says about the delivery, and says whose it is.
    fn note(&mut self, delivery: &Delivery, report: &Report) -> Routed<I> {
        let Some(call) = self.calls.get_mut(delivery) else {
            return Routed::Late;
        };
        let Place::Held { seat, accepted } = &mut call.place else {
            return Routed::Late;
        };
        match report {
            // A result implies that the call had begun, whatever became of its acceptance.
            Report::Accepted
            | Report::Progress(_)
            | Report::Question(_)
            | Report::Result(_)
            | Report::Failed(_) => {
                *accepted = true;
            }
            Report::Rejected(_) | Report::Stopped => {}
        }
        let Some(host_id) = self.seats.get(seat).and_then(Seat::host_id) else {
            return Routed::Late;
        };
        Routed::Live {
            inbox: call.inbox.clone(),
            host_id: host_id.clone(),
        }
    }

    /// Takes a call off the table and out of its line or seat.
    fn remove_call(&mut self, delivery: &Delivery) -> Option<Call<I>> {
        self.unwait(delivery);
        let call = self.calls.remove(delivery)?;
        if let Place::Held { seat, .. } = call.place
            && let Some(seat) = self.seats.get_mut(&seat)
        {
            seat.held.remove(delivery);
        }
        Some(call)
    }

    /// Takes a call off the table and tells its run why.
    fn drop_with(&mut self, delivery: &Delivery, news: CallNews) {
        if let Some(call) = self.remove_call(delivery) {
            self.effects.push_back(Effect::News {
                to: call.inbox,
                delivery: delivery.clone(),
                news,
            });
        }
    }

    fn tell(&mut self, seat: Key, command: Command) {
        if let Some((address, session)) = self.seats.get(&seat).and_then(Seat::current) {
            self.effects.push_back(Effect::Tell {
                to: address.clone(),
                ticket: Ticket { seat, session },
                command,
            });
        }
    }

    fn tell_cancel(&mut self, seat: Key, delivery: Delivery, reason: StopReason) {
        self.tell(seat, Command::Cancel { delivery, reason });
    }

    /// Says again what was answered to the newest question, if anything was.
    fn tell_answer(&mut self, seat: Key, delivery: &Delivery) {
        let call = self.calls.get(delivery);
        if let Some((number, answer)) = call.and_then(|call| call.answer.clone()) {
            let delivery = delivery.clone();
            self.tell(
                seat,
                Command::Answer {
                    delivery,
                    number,
                    answer,
                },
            );
        }
    }

    fn end(&mut self, session: S, how: Result<(), Fault>) {
        self.effects.push_back(Effect::End { session, how });
    }

    const fn next_key(&mut self) -> Key {
        self.last_key += 1;
        self.last_key
    }
}

// === impl Dice ===

impl Dice {
    /// The next number: xorshift64.
    const fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
