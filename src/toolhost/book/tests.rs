//! The book under a desk: what happens goes in as calls, what follows is read as lines of text.

mod calls;
mod hosts;
mod offers;
mod property;
mod streams;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Book, Effect, Ticket};
use crate::{
    domain::{
        call::{Assignment, Command, Delivery, Report, Route, RunContext},
        fault::Fault,
        id::{CallId, HostId, RunId},
        json::JsonText,
        principal::{Principal, Tenant},
        tool::{Affinity, ToolName, ToolSpec},
    },
    run::{port::CallNews, sample},
    toolhost::{Attachment, Hello, Settings},
};

/// A book whose sessions and mailboxes are numbers.
struct Desk {
    book: Book<u32, u32>,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        Self {
            book: Book::new(settings, 7),
            now: Instant::now(),
        }
    }

    /// A host of `anonymous` opens the session `address`; none of its tools is refused.
    #[track_caller]
    fn host(&mut self, address: u32, hello: Hello) -> Ticket {
        let (ticket, rejected) = self.connect(address, "anonymous", hello).unwrap();
        assert_eq!(rejected, []);
        ticket
    }

    fn connect(
        &mut self,
        address: u32,
        who: &str,
        hello: Hello,
    ) -> Result<(Ticket, Vec<(String, Fault)>), Fault> {
        self.book.connect(self.now, &principal(who), hello, address)
    }

    /// `anonymous` attaches to the run; the run's mailbox has the run's number.
    fn attach(&mut self, address: u32, run: u32, attachment: Attachment) -> Ticket {
        let inbox = (RunId::from_u128(run.into()), run);
        let who = Principal::anonymous();
        self.book
            .attach(self.now, &who, inbox, attachment, address)
            .unwrap()
    }

    fn assign(&mut self, run: u32, call: &str, tool: &Arc<ToolSpec>, route: Route) {
        let assignment = Arc::new(assignment(run, call, tool, route));
        self.book.assign(&Tenant::default_tenant(), assignment, run);
    }

    fn accept(&mut self, ticket: Ticket, call: &str) {
        self.book.report(ticket, &delivery(call), &Report::Accepted);
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.book.tick(self.now);
    }

    /// What has followed, but for changes of registrations.
    fn effects(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.book.next_effect())
            .filter(|effect| !matches!(effect, Effect::Registered(_)))
            .map(|effect| line(&effect))
            .collect()
    }

    /// What has followed, in no order.
    fn sorted(&mut self) -> Vec<String> {
        let mut effects = self.effects();
        effects.sort();
        effects
    }
}

fn line(effect: &Effect<u32, u32>) -> String {
    let name = |delivery: &Delivery| format!("{}/{}", delivery.call_id, delivery.attempt);
    match effect {
        Effect::Tell { to, command, .. } => match command {
            Command::Assign(assignment) => format!("s{to} assign {}", name(&assignment.delivery)),
            Command::Cancel { delivery, reason } => {
                format!("s{to} cancel {} {}", name(delivery), reason.name())
            }
            Command::Answer {
                delivery, number, ..
            } => format!("s{to} answer {} {number}", name(delivery)),
            Command::GoAway { time_left } => format!("s{to} go away {}", time_left.as_secs()),
            Command::Receipt { .. } | Command::Heartbeat => panic!("the book sends none"),
        },
        Effect::News { to, delivery, news } => {
            let delivery = name(delivery);
            match news {
                CallNews::Assigned { host_id } => format!("r{to} {delivery} at {host_id}"),
                CallNews::NotBegun => format!("r{to} {delivery} not begun"),
                CallNews::Lost { host_id } => format!("r{to} {delivery} lost {host_id}"),
                CallNews::Changed => format!("r{to} {delivery} changed"),
                CallNews::Withdrawn => format!("r{to} {delivery} withdrawn"),
                CallNews::Reported { .. } => panic!("the book reports nothing"),
            }
        }
        Effect::End { session, how } => match how {
            Ok(()) => format!("s{session} ends well"),
            Err(fault) => format!("s{session} ends {}", fault.reason),
        },
        Effect::Abandon { to } => format!("r{to} abandoned"),
        Effect::Registered(tenant) => format!("registered {tenant}"),
    }
}

fn principal(name: &str) -> Principal {
    Principal {
        name: name.into(),
        ..Principal::anonymous()
    }
}

fn delivery(call: &str) -> Delivery {
    Delivery {
        call_id: CallId::parse(call).unwrap(),
        attempt: 1,
    }
}

fn host_id(id: &str) -> HostId {
    HostId::parse(id).unwrap()
}

/// The tool `name@version`; what stands behind a `#` changes the definition only.
fn tool(name: &str) -> Arc<ToolSpec> {
    let (name, description) = name.split_once('#').unwrap_or((name, ""));
    let (name, version) = name.split_once('@').unwrap_or((name, "1"));
    Arc::new(ToolSpec {
        description: description.to_owned(),
        version: version.to_owned(),
        ..sample::tool(name, "{}")
    })
}

fn hello(id: &str, tools: &[&str], window: u32) -> Hello {
    Hello {
        host_id: host_id(id),
        tools: tools.iter().map(|name| Ok(tool(name))).collect(),
        window: Some(window),
        labels: BTreeMap::new(),
        in_flight: Vec::new(),
    }
}

impl Hello {
    fn with_label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    fn with_calls(mut self, calls: &[&str]) -> Self {
        self.in_flight = calls.iter().copied().map(delivery).collect();
        self
    }
}

fn attachment(id: &str, window: u32) -> Attachment {
    Attachment {
        host_id: Some(host_id(id)),
        window: Some(window),
        in_flight: Vec::new(),
        cancel_when_lost: false,
    }
}

fn assignment(run: u32, call: &str, tool: &Arc<ToolSpec>, route: Route) -> Assignment {
    Assignment {
        delivery: delivery(call),
        tool: Arc::clone(tool),
        arguments: JsonText::parse_object("{}").unwrap(),
        route,
        timeout: Duration::from_secs(60),
        progress_timeout: None,
        run: Arc::new(RunContext {
            run_id: RunId::from_u128(run.into()),
            labels: BTreeMap::new(),
            principal: "anonymous".into(),
            agent_name: String::new(),
            trace: None,
        }),
    }
}

fn any() -> Route {
    Route::Hosted {
        host_id: None,
        host_labels: BTreeMap::new(),
        affinity: Affinity::Any,
    }
}

fn sticky() -> Route {
    Route::Hosted {
        host_id: None,
        host_labels: BTreeMap::new(),
        affinity: Affinity::Run,
    }
}

fn only(id: &str) -> Route {
    Route::Hosted {
        host_id: Some(host_id(id)),
        host_labels: BTreeMap::new(),
        affinity: Affinity::Any,
    }
}

fn labelled(key: &str, value: &str) -> Route {
    Route::Hosted {
        host_id: None,
        host_labels: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        affinity: Affinity::Any,
    }
}
