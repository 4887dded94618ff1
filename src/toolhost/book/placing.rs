//! Which seat takes a call, and which call takes a free seat.

use std::sync::Arc;

use super::{
    Book, Call, Effect, Key, Place, Queue,
    line::Line,
    registry::Standing,
    seat::{InwardSide, Role, Seat, Stream},
};
use crate::{
    domain::{
        call::{Command, Delivery, Route},
        id::HostId,
        principal::Tenant,
        tool::{Affinity, ToolName},
    },
    run::port::CallNews,
};

/// What to do with a call that no seat holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This seat takes it now.
    Seat(Key),
    /// It waits there.
    Wait(Queue),
    /// Nobody will take it: only other definitions of its tool are offered.
    Changed,
}

impl<S: Clone, I: Clone> Book<S, I> {
    /// Where a call goes as things stand.
    pub(super) fn choose(&mut self, call: &Call<I>) -> Choice {
        let roll = self.dice.roll();
        self.choose_by(call, roll)
    }

    fn choose_by(&self, call: &Call<I>, roll: u64) -> Choice {
        match &call.assignment.route {
            Route::Attached => self
                .attached
                .get(&call.assignment.run.run_id)
                .filter(|key| self.has_room(**key))
                .map_or(Choice::Wait(Queue::Attached), |key| Choice::Seat(*key)),
            Route::Hosted {
                host_id: Some(host_id),
                ..
            } => self.choose_host(call, host_id),
            Route::Hosted { host_id: None, .. } => match self.first_host(call) {
                Some((key, _)) if self.has_room(key) => Choice::Seat(key),
                Some((_, host_id)) => Choice::Wait(Queue::Host(host_id)),
                None => self.choose_any(call, roll),
            },
            // None that the hub is asked for.
            Route::Mcp { .. } => Choice::Wait(Queue::Pool),
        }
    }

    /// The one host that the agent names.
    fn choose_host(&self, call: &Call<I>, host_id: &HostId) -> Choice {
        let wait = Choice::Wait(Queue::Host(host_id.clone()));
        let Some(key) = self
            .tenants
            .get(&call.tenant)
            .and_then(|hosted| hosted.hosts.get(host_id))
        else {
            return wait;
        };
        let spec = &call.assignment.tool;
        let is_changed = self.seats.get(key).is_some_and(|seat| match &seat.role {
            Role::Host(host) => host.tools.contains_key(&spec.name) && !host.offers(spec),
            Role::Attached(_) => false,
        });
        if is_changed {
            Choice::Changed
        } else if self.has_room(*key) && self.may_take(*key, call) {
            Choice::Seat(*key)
        } else {
            wait
        }
    }

    /// The less loaded of two hosts drawn by lot; when neither can take it, any that can.
    fn choose_any(&self, call: &Call<I>, roll: u64) -> Choice {
        let standing = self
            .tenants
            .get(&call.tenant)
            .map_or(Standing::Unknown, |hosted| {
                hosted.registry.standing(&call.assignment.tool)
            });
        let hosts = match standing {
            Standing::Changed => return Choice::Changed,
            Standing::Unknown => return Choice::Wait(Queue::Pool),
            Standing::Offered(hosts) => hosts,
        };
        let can = |key: Key| self.has_room(key) && self.may_take(key, call);
        let draw = |roll: u64| {
            let at = (roll % hosts.len().max(1) as u64) as usize;
            hosts.get(at).copied().filter(|key| can(*key))
        };
        let chosen = match (draw(roll >> 32), draw(roll & 0xffff_ffff)) {
            (Some(one), Some(other)) => Some(self.less_loaded(one, other)),
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => hosts.iter().copied().find(|key| can(*key)),
        };
        chosen.map_or(Choice::Wait(Queue::Pool), Choice::Seat)
    }

    fn less_loaded(&self, one: Key, other: Key) -> Key {
        match (self.seats.get(&one), self.seats.get(&other)) {
            (Some(a), Some(b)) if b.is_less_loaded_than(a) => other,
            (Some(_) | None, _) => one,
        }
    }

    /// The host that a call has to follow its run to, while that host lives and still offers the tool.
    fn first_host(&self, call: &Call<I>) -> Option<(Key, HostId)> {
        let Route::Hosted {
            affinity: Affinity::Run,
            host_labels,
            ..
        } = &call.assignment.route
        else {
            return None;
        };
        let key = *self.first_hosts.peek(&call.assignment.run.run_id)?;
        let seat = self.seats.get(&key)?;
        let Role::Host(host) = &seat.role else {
            return None;
        };
        let follows = seat.will_have_room()
            && host.offers(&call.assignment.tool)
            && host.has_labels(host_labels);
        follows.then(|| (key, host.host_id.clone()))
    }

    fn has_room(&self, seat: Key) -> bool {
        self.seats.get(&seat).is_some_and(Seat::has_room)
    }

    /// Whether a call may go to a seat, room aside.
    fn may_take(&self, key: Key, call: &Call<I>) -> bool {
        let Some(seat) = self.seats.get(&key).filter(|s| s.tenant == call.tenant) else {
            return false;
        };
        match (&call.assignment.route, &seat.role) {
            (Route::Attached, Role::Attached(attached)) => {
                attached.run_id == call.assignment.run.run_id
            }
            (
                Route::Hosted {
                    host_id,
                    host_labels,
                    affinity: _,
                },
                Role::Host(host),
            ) => {
                host_id.as_ref().is_none_or(|id| *id == host.host_id)
                    && host.has_labels(host_labels)
                    && host.offers(&call.assignment.tool)
                    && self.first_host(call).is_none_or(|(first, _)| first == key)
            }
            (Route::Attached, Role::Host(_))
            | (Route::Hosted { .. }, Role::Attached(_))
            | (Route::Mcp { .. }, _) => false,
        }
    }

    /// Does with a call what was chosen.
    pub(super) fn apply(&mut self, delivery: &Delivery, choice: Choice) {
        match choice {
            Choice::Seat(seat) => self.hand_over(delivery, seat),
            Choice::Wait(queue) => self.wait(delivery, queue),
            Choice::Changed => self.drop_with(delivery, CallNews::Changed),
        }
    }

    fn hand_over(&mut self, delivery: &Delivery, key: Key) {
        let (Some(call), Some(seat)) = (self.calls.get_mut(delivery), self.seats.get_mut(&key))
        else {
            return;
        };
        let Some(host_id) = seat.host_id().cloned() else {
            return;
        };
        call.place = Place::Held {
            seat: key,
            accepted: false,
        };
        seat.held.insert(delivery.clone());
        if let Route::Hosted {
            affinity: Affinity::Run,
            ..
        } = call.assignment.route
        {
            self.first_hosts.insert(call.assignment.run.run_id, key);
        }
        self.effects.push_back(Effect::News {
            to: call.inbox.clone(),
            delivery: delivery.clone(),
            news: CallNews::Assigned { host_id },
        });
        let command = Command::Assign(Arc::clone(&call.assignment));
        self.tell(key, command);
    }

    fn wait(&mut self, delivery: &Delivery, queue: Queue) {
        let Some(call) = self.calls.get_mut(delivery) else {
            return;
        };
        let run_id = call.assignment.run.run_id;
        let line = match &queue {
            Queue::Attached => self.unattached.entry(run_id).or_default(),
            Queue::Host(host_id) => {
                let hosted = self.tenants.entry(call.tenant.clone()).or_default();
                hosted.pinned.entry(host_id.clone()).or_default()
            }
            Queue::Pool => {
                let hosted = self.tenants.entry(call.tenant.clone()).or_default();
                let name = call.assignment.tool.name.clone();
                hosted.pools.entry(name).or_default()
            }
        };
        line.push(run_id, delivery.clone());
        call.place = Place::Waiting(queue);
    }

    /// Takes a call out of the line that it waits in; it stays on the table.
    pub(super) fn unwait(&mut self, delivery: &Delivery) {
        let Some(call) = self.calls.get(delivery) else {
            return;
        };
        let Place::Waiting(queue) = &call.place else {
            return;
        };
        let run_id = call.assignment.run.run_id;
        let leave = |line: &mut Line| {
            line.remove(run_id, delivery);
            line.is_empty()
        };
        if *queue == Queue::Attached {
            if self.unattached.get_mut(&run_id).is_some_and(leave) {
                self.unattached.remove(&run_id);
            }
            return;
        }
        let Some(hosted) = self.tenants.get_mut(&call.tenant) else {
            return;
        };
        match queue {
            Queue::Attached => {}
            Queue::Host(host_id) => {
                if hosted.pinned.get_mut(host_id).is_some_and(leave) {
                    hosted.pinned.remove(host_id);
                }
            }
            Queue::Pool => {
                let name = &call.assignment.tool.name;
                if hosted.pools.get_mut(name).is_some_and(leave) {
                    hosted.pools.remove(name);
                }
            }
        }
    }

    /// A seat may have room: it takes what waits for it, or ends when that was all it waited for.
    pub(super) fn settle(&mut self, key: Key) {
        while self.has_room(key)
            && let Some(delivery) = self.next_for(key)
        {
            self.unwait(&delivery);
            self.hand_over(&delivery, key);
        }
        let Some(seat) = self.seats.get_mut(&key).filter(|s| s.held.is_empty()) else {
            return;
        };
        let Stream::Open {
            address,
            inward: inward @ InwardSide::Closed,
            ..
        } = &mut seat.stream
        else {
            return;
        };
        *inward = InwardSide::Finished;
        let address = address.clone();
        if matches!(seat.role, Role::Host(_)) {
            self.remove_seat(key);
        }
        self.end(address, Ok(()));
    }

    /// The call that has waited longest among those at the heads of the seat's lines.
    pub(super) fn next_for(&self, key: Key) -> Option<Delivery> {
        let seat = self.seats.get(&key)?;
        let fits = |delivery: &Delivery| {
            self.calls
                .get(delivery)
                .is_some_and(|call| self.may_take(key, call))
        };
        let host = match &seat.role {
            Role::Attached(attached) => {
                return self.unattached.get(&attached.run_id)?.next(fits).cloned();
            }
            Role::Host(host) => host,
        };
        let hosted = self.tenants.get(&seat.tenant)?;
        if hosted.pools.is_empty() && hosted.pinned.is_empty() {
            return None;
        }
        let pools = host.tools.keys().filter_map(|name| hosted.pools.get(name));
        hosted
            .pinned
            .get(&host.host_id)
            .into_iter()
            .chain(pools)
            .filter_map(|line| line.next(fits))
            .min_by_key(|delivery| self.calls.get(*delivery).map(|call| call.arrival))
            .cloned()
    }

    /// Looks again at calls that wait for a host or for tools whose registrations have changed.
    pub(super) fn look_again(&mut self, tenant: &Tenant, host_id: &HostId, names: &[ToolName]) {
        let Some(hosted) = self.tenants.get(tenant) else {
            return;
        };
        let pinned = hosted.pinned.get(host_id).into_iter();
        let pools = names.iter().filter_map(|name| hosted.pools.get(name));
        let waiting: Vec<Delivery> = pinned.chain(pools).flat_map(Line::iter).cloned().collect();
        for delivery in waiting {
            let roll = self.dice.roll();
            let Some(call) = self.calls.get(&delivery) else {
                continue;
            };
            // Several versions of one name bring its line here more than once.
            let Place::Waiting(at) = &call.place else {
                continue;
            };
            let choice = self.choose_by(call, roll);
            let stays = matches!(&choice, Choice::Wait(to) if to == at);
            if !stays {
                self.unwait(&delivery);
                self.apply(&delivery, choice);
            }
        }
    }
}
