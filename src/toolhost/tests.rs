//! The hub with real queues and mailboxes, under a paused clock.

mod reports;
mod sessions;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::advance};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Attachment, Connected, FromHost, Hello, Hub, Outward, Settings};
use crate::{
    domain::{
        call::{Assignment, Command, Delivery, Disposition, Report, Route, RunContext, StopReason},
        fault::{Fault, Reason},
        id::{CallId, HostId, RunId},
        json::JsonText,
        principal::{Principal, Tenant},
        tool::{Affinity, Annotations, ToolName, ToolSpec},
    },
    run::port::{CallNews, Inbox, ReceiptSlip, RunInput, Tools},
};

/// A hub and the one run that uses it.
struct Scene {
    hub: Arc<Hub>,
    inbox: Inbox,
    mail: mpsc::Receiver<Box<RunInput>>,
    shutdown: CancellationToken,
}

impl Scene {
    fn new() -> Self {
        Self::with(Settings::default(), 64)
    }

    fn with(settings: Settings, mailbox: usize) -> Self {
        let shutdown = CancellationToken::new();
        let (sender, mail) = mpsc::channel(mailbox);
        Self {
            hub: Hub::new(settings, &TaskTracker::new(), shutdown.clone()),
            inbox: Inbox::new(RunId::from_u128(7), sender),
            mail,
            shutdown,
        }
    }

    #[track_caller]
    fn connect(&self, id: &str) -> Connected {
        let connected = self
            .hub
            .connect(&Principal::anonymous(), hello(id))
            .unwrap();
        assert_eq!(connected.rejected, []);
        connected
    }

    fn attach(&self, cancel_when_lost: bool) -> Connected {
        let attachment = Attachment {
            host_id: Some(HostId::parse("me").unwrap()),
            window: None,
            in_flight: Vec::new(),
            cancel_when_lost,
        };
        let who = Principal::anonymous();
        self.hub
            .attach(&who, self.inbox.clone(), attachment)
            .unwrap()
    }

    fn assign(&self, call: &str, route: Route) {
        let assignment = assignment(call, route);
        let tenant = Tenant::default_tenant();
        self.hub.assign(&tenant, assignment, self.inbox.clone());
    }

    /// The next news, as a line; and the slip, when there is one.
    async fn news(&mut self) -> (String, Option<ReceiptSlip>) {
        match *self.mail.recv().await.unwrap() {
            RunInput::Call { delivery, news } => {
                let (text, slip) = describe(news);
                (format!("{} {text}", delivery.call_id), slip)
            }
            RunInput::Abandoned => ("abandoned".to_owned(), None),
            RunInput::Cancel { .. }
            | RunInput::Answer { .. }
            | RunInput::Proceed
            | RunInput::AddMessages { .. } => {
                panic!("the hub tells a run of its calls alone")
            }
        }
    }

    #[track_caller]
    fn no_news(&mut self) {
        assert!(self.mail.try_recv().is_err());
    }
}

fn describe(news: CallNews) -> (String, Option<ReceiptSlip>) {
    let text = match news {
        CallNews::Assigned { host_id } => format!("at {host_id}"),
        CallNews::Reported {
            host_id,
            report,
            slip,
        } => {
            let word = match report {
                Report::Accepted => "accepted",
                Report::Rejected(_) => "rejected",
                Report::Progress(_) => "goes on",
                Report::Result(_) => "done",
                Report::Failed(_) => "failed",
                Report::Stopped => "stopped",
                Report::Question(_) => "asked",
            };
            return (format!("{word} by {host_id}"), slip);
        }
        CallNews::NotBegun => "not begun".to_owned(),
        CallNews::Lost { host_id } => format!("lost {host_id}"),
        CallNews::Changed => "changed".to_owned(),
        CallNews::Withdrawn => "withdrawn".to_owned(),
    };
    (text, None)
}

/// The next thing on a stream, as a line.
async fn next(outward: &mut Outward) -> String {
    let name = |delivery: &Delivery| delivery.call_id.to_string();
    match outward.next().await {
        Some(Ok(Command::Assign(assignment))) => format!("assign {}", name(&assignment.delivery)),
        Some(Ok(Command::Cancel { delivery, reason })) => {
            format!("cancel {} {}", name(&delivery), reason.name())
        }
        Some(Ok(Command::Receipt {
            delivery,
            disposition,
        })) => format!("receipt {} {disposition:?}", name(&delivery)),
        Some(Ok(Command::Answer {
            delivery, number, ..
        })) => format!("answer {} {number}", name(&delivery)),
        Some(Ok(Command::GoAway { .. })) => "go away".to_owned(),
        Some(Ok(Command::Heartbeat)) => "heartbeat".to_owned(),
        Some(Err(fault)) => fault.reason.name().to_owned(),
        None => "end".to_owned(),
    }
}

fn delivery(call: &str) -> Delivery {
    Delivery {
        call_id: CallId::parse(call).unwrap(),
        attempt: 1,
    }
}

fn report(call: &str, report: Report) -> FromHost {
    FromHost::Report(delivery(call), report)
}

fn tool(name: &str, schema: &str) -> Arc<ToolSpec> {
    Arc::new(ToolSpec {
        name: ToolName::parse(name).unwrap(),
        description: String::new(),
        input_schema: JsonText::parse(schema).unwrap(),
        output_schema: None,
        version: "1".to_owned(),
        annotations: Annotations::default(),
        cache_breakpoint: false,
    })
}

fn hello(id: &str) -> Hello {
    Hello {
        host_id: HostId::parse(id).unwrap(),
        tools: vec![Ok(tool("search", "{}"))],
        window: None,
        labels: BTreeMap::new(),
        in_flight: Vec::new(),
    }
}

fn any() -> Route {
    Route::Hosted {
        host_id: None,
        host_labels: BTreeMap::new(),
        affinity: Affinity::Any,
    }
}

fn assignment(call: &str, route: Route) -> Assignment {
    Assignment {
        delivery: delivery(call),
        tool: tool("search", "{}"),
        arguments: JsonText::parse_object("{}").unwrap(),
        route,
        timeout: Duration::from_secs(60),
        progress_timeout: None,
        run: Arc::new(RunContext {
            run_id: RunId::from_u128(7),
            labels: BTreeMap::new(),
            principal: "anonymous".into(),
            agent_name: String::new(),
            trace: None,
        }),
    }
}
