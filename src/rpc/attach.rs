//! `RunService.AttachRun`: a run's own stream. It shows the run's events and runs its attached tools.

use std::sync::Arc;

use futures_util::FutureExt;

use super::{
    convert::{At, Intake, call, input, run as encode_run, thread},
    host::{Ear, Hosting},
    stream::{Listener, Speaker, Streams, Verdict, violation},
    watch::{detail, next_events, position},
};
use crate::{
    domain::{
        call::Command,
        fault::{Fault, Reason},
        id::RunId,
        input::InputAnswer,
        principal::{Principal, Scope},
        run::Run,
        trace::Trace,
    },
    pb::v1::{
        AttachRunRequest, AttachRunResponse, AttachRunStart, AttachRunStarted, RunEvents,
        RunMessages, attach_run_request, attach_run_response::Message as Reply,
        attach_run_start::Target,
    },
    run::{Detail, From, Interest, Runs, Watch},
    toolhost::{Connected, FromHost, Inward, Outward},
};

/// An attachment that stands.
pub(super) struct Attached {
    pub(super) started: AttachRunStarted,
    pub(super) run_id: RunId,
    pub(super) watch: Watch,
    /// `None`: the run has ended, and there is nothing to run.
    pub(super) session: Option<Connected>,
}

/// Hears the caller of an attachment.
pub(super) struct RunListener {
    /// `None`: the run had ended when the stream began.
    ear: Option<Ear>,
    runs: Arc<Runs>,
    intake: Intake,
    principal: Arc<Principal>,
    run_id: RunId,
}

/// Speaks to the caller of an attachment.
pub(super) struct RunSpeaker {
    pub(super) started: Option<AttachRunStarted>,
    pub(super) run_id: RunId,
    pub(super) watch: Watch,
    /// `None`: no more commands will come.
    pub(super) outward: Option<Outward>,
    pub(super) verdict: Verdict,
    pub(super) streams: Streams,
    /// The last event was shown.
    pub(super) over: bool,
}

// === impl Hosting ===

impl Hosting {
    /// Opens an attachment: to a new run, or to one that is there.
    pub(super) async fn attach(
        &self,
        principal: &Principal,
        trace: Option<Trace>,
        first: AttachRunRequest,
    ) -> Result<Attached, Fault> {
        let Some(attach_run_request::Message::Start(start)) = first.message else {
            return Err(violation("the first message is not the start"));
        };
        let attachment = call::attachment(&start)?;
        let detail = detail(start.detail(), Detail::Full);
        let (run, from, interest) = self.target(principal, trace, start, detail).await?;
        let watch = self
            .runs
            .watch(&principal.tenant, run.id, from, detail)
            .await?;
        drop(interest);
        let session = match self.runs.inbox(&principal.tenant, run.id) {
            Ok(inbox) => Some(self.hub.attach(principal, inbox, attachment)?),
            Err(fault) if fault.reason == Reason::RunFinished => None,
            Err(fault) => return Err(fault),
        };
        Ok(Attached {
            started: AttachRunStarted {
                run: Some(encode_run::encode(&run)),
                session: session.as_ref().map(|session| self.session(session)),
            },
            run_id: run.id,
            watch,
            session,
        })
    }

    async fn target(
        &self,
        principal: &Principal,
        trace: Option<Trace>,
        start: AttachRunStart,
        detail: Detail,
    ) -> Result<(Arc<Run>, From, Option<Interest>), Fault> {
        let at = At::root("start");
        match start.target {
            None => Err(At::root("start.target").invalid("is required")),
            Some(Target::Create(spec)) => {
                let at_id = At::root("start.request_id");
                let request_id = encode_run::request_id(&start.request_id, &at_id)?;
                let spec = self
                    .intake
                    .run_spec(Some(spec), &At::root("start.create"))?;
                let (run, interest) = self
                    .runs
                    .create_to_watch(principal, spec, request_id, trace, detail)
                    .await?;
                Ok((run, From::After(0), interest))
            }
            Some(Target::RunId(id)) => {
                let after = start.after_sequence.map(|n| at.sequence(n)).transpose()?;
                let run_id = encode_run::run_id(&id)?;
                let run = self.runs.get(&principal.tenant, run_id).await?;
                Ok((run, position(after), None))
            }
        }
    }

    /// The listener of an attachment.
    pub(super) fn run_listener(
        &self,
        principal: &Arc<Principal>,
        run_id: RunId,
        inward: Option<Inward>,
    ) -> RunListener {
        RunListener {
            ear: inward.map(|inward| Ear {
                inward,
                runs: Arc::clone(&self.runs),
                tenant: principal.tenant.clone(),
            }),
            runs: Arc::clone(&self.runs),
            intake: self.intake.clone(),
            principal: Arc::clone(principal),
            run_id,
        }
    }
}

impl RunListener {
    async fn add_messages(&self, messages: RunMessages) -> Result<(), Fault> {
        let messages = thread::added(Some(messages), &At::root("messages"))?;
        let added = self
            .runs
            .add_messages(&self.principal.tenant, self.run_id, messages)
            .await;
        match added {
            // The run's end is on its way.
            Err(fault) if fault.reason == Reason::RunFinished => Ok(()),
            added => added.map(|_run| ()),
        }
    }
}

impl Listener for RunListener {
    type Message = AttachRunRequest;

    async fn hear(&self, message: AttachRunRequest) -> Result<(), Fault> {
        use attach_run_request::Message;
        let said = match message.message {
            Some(Message::Start(_)) => return Err(violation("the start comes first, once")),
            Some(Message::Cancellation(cancellation)) => {
                let reason = encode_run::cancel_reason(&cancellation.reason);
                let tenant = &self.principal.tenant;
                self.runs.cancel(tenant, self.run_id, reason).await?;
                FromHost::Heartbeat
            }
            Some(Message::Answer(answer)) => {
                self.answer(input::answer(&answer, &At::root("answer"))?)
                    .await?;
                FromHost::Heartbeat
            }
            Some(Message::Messages(messages)) => {
                self.add_messages(messages).await?;
                FromHost::Heartbeat
            }
            Some(Message::Report(report)) => {
                let (delivery, report) = self.intake.report(report)?;
                FromHost::Report(delivery, report)
            }
            Some(Message::Update(update)) => call::attached_update(&update)?,
            Some(Message::Heartbeat(_)) => FromHost::Heartbeat,
            // Something newer than this server: skipped, but a sign of life.
            None => FromHost::Heartbeat,
        };
        match &self.ear {
            Some(ear) => ear.take(said).await,
            None => Ok(()),
        }
    }

    fn half_closed(&self) {
        if let Some(ear) = &self.ear {
            ear.inward.half_close();
        }
    }
}

// === impl RunListener ===

impl RunListener {
    /// One that comes too late is left to the events: they tell what counted.
    async fn answer(&self, answer: InputAnswer) -> Result<(), Fault> {
        if !self.principal.has(Scope::RunsAnswer) {
            let scope = Scope::RunsAnswer.name();
            let why = format!("the caller lacks the scope {scope}");
            return Err(Fault::new(Reason::PermissionDenied, why).with("scope", scope));
        }
        let answered = self.runs.answer(&self.principal, self.run_id, vec![answer]);
        match answered.await {
            Ok(_run) => Ok(()),
            Err(fault)
                if [Reason::InputAlreadyAnswered, Reason::RunFinished].contains(&fault.reason) =>
            {
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }
}

// === impl RunSpeaker ===

/// What an attachment's stream waits for.
enum Next {
    Command(Option<Result<Command, Fault>>),
    Events(Option<Result<Vec<crate::pb::v1::RunEvent>, Fault>>),
    Fault(Fault),
}

impl RunSpeaker {
    async fn wait(&mut self) -> Next {
        let silence = self.streams.settings.heartbeat_interval;
        let commands = async {
            match self.outward.as_mut() {
                Some(outward) => outward.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            fault = self.verdict.fault() => Next::Fault(fault),
            fault = self.streams.closed() => Next::Fault(fault),
            command = commands => Next::Command(command),
            events = next_events(self.run_id, &mut self.watch, silence) => Next::Events(events),
        }
    }

    /// After the last event: the receipts that are ready, without waiting for more.
    fn last_word(&mut self) -> Option<Result<Command, Fault>> {
        self.outward.as_mut()?.next().now_or_never()?
    }
}

impl Speaker for RunSpeaker {
    type Reply = AttachRunResponse;

    async fn next(&mut self) -> Option<Result<AttachRunResponse, Fault>> {
        let reply = |message| {
            Some(Ok(AttachRunResponse {
                message: Some(message),
            }))
        };
        if let Some(started) = self.started.take() {
            return reply(Reply::Started(started));
        }
        loop {
            if self.over {
                // The run's outcome is told; how its session ends no longer matters.
                let command = self.last_word()?.ok()?;
                return reply(Reply::Command(call::command(&command)));
            }
            match self.wait().await {
                Next::Command(Some(Ok(command))) => {
                    return reply(Reply::Command(call::command(&command)));
                }
                // The caller runs nothing any more; it still sees the events.
                Next::Command(None) => self.outward = None,
                Next::Events(Some(Ok(events))) => {
                    return reply(Reply::Events(RunEvents { events }));
                }
                Next::Events(None) => self.over = true,
                Next::Command(Some(Err(fault)))
                | Next::Events(Some(Err(fault)))
                | Next::Fault(fault) => return Some(Err(fault)),
            }
        }
    }
}
