//! Plays operations on a book, and judges every effect by what can be seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{
        Arc, Attachment, Book, CallNews, Command, Delivery, Duration, Effect, Fault, Hello,
        Instant, Principal, Report, Route, RunId, Settings, Tenant, Ticket, ToolSpec, any,
        assignment, delivery, hello, host_id, only, principal, sticky, tool,
    },
    Attach, Change, Connect, Op,
};
use crate::{
    domain::{call::StopReason, fault::Reason},
    toolhost::book::Routed,
};

const TOOLS: [&str; 4] = ["search@1", "search@2", "mail@1", "mail@1#other"];

/// What is known of a call from outside.
#[derive(Debug)]
struct Seen {
    tenant: Tenant,
    run: u32,
    /// The session that it was last assigned on.
    at: Option<u32>,
    accepted: bool,
    over: bool,
}

/// What is known of a session from outside.
#[derive(Debug)]
struct Session {
    ticket: Ticket,
    who: Principal,
    ended: bool,
}

/// Plays operations and judges every effect.
pub(super) struct Judge {
    book: Book<u32, u32>,
    now: Instant,
    sessions: Vec<Session>,
    calls: Vec<Seen>,
    /// How many calls each seat held after the operation before.
    held: BTreeMap<u64, usize>,
}

fn tenant(number: u8) -> Tenant {
    Tenant::parse(&format!("t{number}")).unwrap()
}

fn tenant_of_run(run: u32) -> u8 {
    u8::from(run % 2 == 1)
}

fn who(number: u8, name: &str) -> Principal {
    Principal {
        tenant: tenant(number),
        ..principal(name)
    }
}

fn tools(mask: u8) -> Vec<Result<Arc<ToolSpec>, (String, Fault)>> {
    let chosen = |(bit, name): (usize, &&str)| (mask >> bit & 1 == 1).then(|| Ok(tool(name)));
    TOOLS.iter().enumerate().filter_map(chosen).collect()
}

fn route(number: u8) -> Route {
    match number {
        0 => Route::Attached,
        1 => only("h0"),
        2 | 3 => sticky(),
        _ => any(),
    }
}

impl Judge {
    pub(super) fn new(seed: u64) -> Self {
        let settings = Settings {
            max_window: 3,
            ..Settings::default()
        };
        Self {
            book: Book::new(settings, seed),
            now: Instant::now(),
            sessions: Vec::new(),
            calls: Vec::new(),
            held: BTreeMap::new(),
        }
    }

    fn call(&self, index: usize) -> Delivery {
        delivery(&format!("c{}", index % self.calls.len().max(1)))
    }

    fn listed(&self, mask: u8) -> Vec<Delivery> {
        let count = self.calls.len().min(8);
        let newest = self.calls.len() - count..self.calls.len();
        newest
            .filter(|index| mask >> (index % 8) & 1 == 1)
            .map(|index| self.call(index))
            .chain((mask & 1 == 1).then(|| delivery("ghost")))
            .take(6)
            .collect()
    }

    fn session(&self, index: u32) -> Option<&Session> {
        let newest = self.sessions.len().checked_sub(1 + index as usize)?;
        self.sessions.get(newest)
    }

    pub(super) fn play(&mut self, op: Op) {
        match op {
            Op::Connect(connect) => self.connect(&connect),
            Op::Attach(attach) => self.attach(&attach),
            Op::Change { session, change } => self.change(session, &change),
            Op::Report {
                session,
                call,
                is_acceptance,
            } => self.report(session, call, is_acceptance),
            Op::Assign {
                run,
                tool: at,
                route: kind,
            } => {
                let index = self.calls.len();
                let seen = Seen {
                    tenant: tenant(tenant_of_run(run)),
                    run,
                    at: None,
                    accepted: false,
                    over: false,
                };
                self.calls.push(seen);
                let name = format!("c{index}");
                let assignment = assignment(run, &name, &tool(TOOLS[at as usize]), route(kind));
                let tenant = tenant(tenant_of_run(run));
                self.book.assign(&tenant, Arc::new(assignment), run);
            }
            Op::Cancel(call) => {
                let call = self.call(call);
                self.book.cancel(&call, StopReason::RunCancelled);
            }
            Op::Release(call) => {
                let index = call % self.calls.len().max(1);
                if let Some(seen) = self.calls.get_mut(index) {
                    seen.over = true;
                }
                let call = self.call(call);
                self.book.release(&call);
            }
            Op::ForgetRun(run) => {
                // A run releases its calls before it ends.
                for index in 0..self.calls.len() {
                    if self.calls[index].run == run && !self.calls[index].over {
                        self.play(Op::Release(index));
                    }
                }
                self.book.forget_run(RunId::from_u128(run.into()));
            }
            Op::Wait(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.book.tick(self.now);
            }
        }
        self.judge();
        self.check_inside();
        let seats = self.book.seats.iter();
        self.held = seats.map(|(key, seat)| (*key, seat.held.len())).collect();
    }

    fn connect(&mut self, connect: &Connect) {
        // Bob may use one host id, if he comes first.
        let name = if connect.is_bob && connect.host == 2 {
            "bob"
        } else {
            "ann"
        };
        let who = who(connect.tenant, name);
        let hello = Hello {
            tools: tools(connect.tools),
            in_flight: self.listed(connect.listed),
            ..hello(&format!("h{}", connect.host), &[], connect.window)
        };
        let opened = self.book.connect(self.now, &who, hello, self.address());
        self.opened(opened.map(|(ticket, _)| ticket), who);
    }

    fn attach(&mut self, attach: &Attach) {
        let attachment = Attachment {
            host_id: attach.host.map(|host| host_id(&format!("me{host}"))),
            window: Some(attach.window),
            in_flight: self.listed(attach.listed),
            cancel_when_lost: attach.cancel_when_lost,
        };
        let who = who(tenant_of_run(attach.run), "ann");
        let run = (RunId::from_u128(attach.run.into()), attach.run);
        let address = self.address();
        let opened = self.book.attach(self.now, &who, run, attachment, address);
        self.opened(opened, who);
    }

    fn address(&self) -> u32 {
        u32::try_from(self.sessions.len()).unwrap()
    }

    fn opened(&mut self, opened: Result<Ticket, Fault>, who: Principal) {
        match opened {
            Ok(ticket) => self.sessions.push(Session {
                ticket,
                who,
                ended: false,
            }),
            Err(fault) => assert_eq!(fault.reason, Reason::PermissionDenied),
        }
    }

    fn change(&mut self, session: u32, change: &Change) {
        let Some(session) = self.session(session) else {
            return;
        };
        let (ticket, who) = (session.ticket, session.who.clone());
        match change {
            Change::Update {
                window,
                tools: bits,
            } => {
                let tools = bits.map(tools);
                self.book.update(ticket, Some(&who), *window, tools);
            }
            Change::HalfClose => self.book.half_close(ticket),
            Change::Lost => self.book.lost(self.now, ticket),
            Change::Heard => self.book.heard(self.now, ticket),
        }
    }

    fn report(&mut self, session: u32, call: usize, is_acceptance: bool) {
        let Some(from) = self.session(session) else {
            return;
        };
        let (ticket, tenant) = (from.ticket, from.who.tenant.clone());
        let report = if is_acceptance {
            Report::Accepted
        } else {
            Report::Stopped
        };
        let delivery = self.call(call);
        if let Routed::Live { inbox, .. } = self.book.report(ticket, &delivery, &report) {
            let index = call % self.calls.len().max(1);
            let seen = &mut self.calls[index];
            assert!(!seen.over, "a report on a call that is over was routed");
            assert_eq!((seen.run, &seen.tenant), (inbox, &tenant));
            seen.accepted |= is_acceptance;
        }
    }

    fn judge(&mut self) {
        while let Some(effect) = self.book.next_effect() {
            match effect {
                Effect::Tell {
                    to,
                    ticket,
                    command,
                } => {
                    // A session that is just being opened is not in the list yet.
                    if let Some(session) = self.sessions.get(to as usize) {
                        assert!(!session.ended, "a command to a session that has ended");
                        assert_eq!(session.ticket, ticket);
                    }
                    if let Command::Assign(assignment) = command {
                        self.assigned(to, &assignment.delivery);
                    }
                }
                Effect::News { to, delivery, news } => self.news(to, &delivery, &news),
                Effect::End { session, .. } => {
                    let session = &mut self.sessions[session as usize];
                    assert!(!session.ended, "a session ended twice");
                    session.ended = true;
                }
                Effect::Abandon { .. } | Effect::Registered(_) => {}
            }
        }
    }

    fn seen(&mut self, delivery: &Delivery) -> &mut Seen {
        let index: usize = delivery.call_id.as_str()[1..].parse().unwrap();
        &mut self.calls[index]
    }

    fn assigned(&mut self, to: u32, delivery: &Delivery) {
        let tenant = self.sessions[to as usize].who.tenant.clone();
        let seen = self.seen(delivery);
        assert!(!seen.over, "a call that is over was assigned");
        assert_eq!(seen.at, None, "a call was assigned twice");
        assert_eq!(seen.tenant, tenant, "a call has crossed tenants");
        seen.at = Some(to);
    }

    fn news(&mut self, to: u32, delivery: &Delivery, news: &CallNews) {
        let seen = self.seen(delivery);
        assert!(!seen.over, "news after the end: {news:?}");
        assert_eq!(seen.run, to, "news went to another run");
        match news {
            CallNews::Assigned { .. } => return,
            CallNews::NotBegun => assert!(seen.at.is_some() && !seen.accepted),
            CallNews::Lost { .. } => assert!(seen.at.is_some() && seen.accepted),
            CallNews::Changed | CallNews::Withdrawn => assert_eq!(seen.at, None),
            CallNews::Reported { .. } => panic!("the book reports nothing"),
        }
        seen.over = true;
    }

    /// What must hold between any two operations.
    fn check_inside(&self) {
        let book = &self.book;
        let mut held = BTreeMap::new();
        for (key, seat) in &book.seats {
            let before = self.held.get(key).copied().unwrap_or(0);
            let may_hold = before.max(seat.window as usize);
            assert!(seat.held.len() <= may_hold, "the window was exceeded");
            if seat.has_room() {
                assert_eq!(
                    book.next_for(*key),
                    None,
                    "a call waits beside a free place"
                );
            }
            for delivery in &seat.held {
                let name = delivery.call_id.as_str().to_owned();
                assert_eq!(held.insert(name, *key), None, "two seats hold one call");
            }
        }
        let deadlines: BTreeSet<_> = book
            .seats
            .iter()
            .filter_map(|(key, seat)| Some((seat.deadline?, *key)))
            .collect();
        assert_eq!(deadlines, book.deadlines);
        let hosted = book.tenants.values();
        let lines = hosted.flat_map(|hosted| hosted.pools.values().chain(hosted.pinned.values()));
        let waiting: Vec<_> = lines
            .chain(book.unattached.values())
            .flat_map(|line| {
                assert!(!line.is_empty(), "an empty line is kept");
                line.iter()
            })
            .collect();
        assert_eq!(waiting.len() + held.len(), book.calls.len());
        let open = self.calls.iter().filter(|seen| !seen.over).count();
        assert_eq!(open, book.calls.len(), "a call was lost or kept too long");
    }

    /// Everybody goes away and nobody comes back.
    pub(super) fn end(&mut self) {
        for at in 0..u32::try_from(self.sessions.len()).unwrap() {
            self.play(Op::Change {
                session: at,
                change: Change::Lost,
            });
        }
        self.play(Op::Wait(31));
        for call in 0..self.calls.len() {
            self.play(Op::Cancel(call));
        }
        assert!(self.book.calls.is_empty());
        assert!(self.book.seats.is_empty());
        assert!(self.book.deadlines.is_empty());
        assert!(self.calls.iter().all(|seen| seen.over));
    }
}
