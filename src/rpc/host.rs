//! `ToolService.HostTools`: the stream of a tool host.

use std::sync::Arc;

use super::{
    convert::{Intake, call, duration, fault},
    stream::{Listener, Speaker, Streams, Verdict, violation},
};
use crate::{
    domain::{
        call::{Delivery, Disposition, Report},
        fault::{Fault, Reason},
        principal::{Principal, Tenant},
    },
    pb::v1::{
        HostRegistered, HostSession, HostToolsRequest, HostToolsResponse, host_tools_request,
        host_tools_response,
    },
    run::Runs,
    toolhost::{Connected, FromHost, Hub, Inward, Outward},
};

/// What both kinds of streams that run tools need of the server.
#[derive(Clone)]
pub(super) struct Hosting {
    pub(super) runs: Arc<Runs>,
    pub(super) hub: Arc<Hub>,
    pub(super) intake: Intake,
    pub(super) streams: Streams,
    /// What a page of a list may weigh.
    pub(super) page_bytes: usize,
}

/// Hears a tool host.
pub(super) struct HostListener {
    pub(super) ear: Ear,
    pub(super) intake: Intake,
}

/// The inward half of a session, with the log behind it for what comes late.
pub(super) struct Ear {
    pub(super) inward: Inward,
    pub(super) runs: Arc<Runs>,
    pub(super) tenant: Tenant,
}

/// Speaks to a tool host.
pub(super) struct HostSpeaker {
    pub(super) first: Option<HostRegistered>,
    pub(super) outward: Outward,
    pub(super) verdict: Verdict,
    pub(super) streams: Streams,
}

// === impl Hosting ===

impl Hosting {
    /// A host opens its stream.
    pub(super) fn register(
        &self,
        principal: &Principal,
        first: HostToolsRequest,
    ) -> Result<(HostRegistered, Connected), Fault> {
        let Some(host_tools_request::Message::Registration(registration)) = first.message else {
            return Err(violation("the first message is not the registration"));
        };
        let hello = self.intake.hello(registration)?;
        let connected = self.hub.connect(principal, hello)?;
        let registered = HostRegistered {
            session: Some(self.session(&connected)),
            rejected_tools: connected
                .rejected
                .iter()
                .map(|(name, cause)| (name.clone(), fault::encode(cause)))
                .collect(),
        };
        Ok((registered, connected))
    }

    /// The terms of a session.
    pub(super) fn session(&self, connected: &Connected) -> HostSession {
        let settings = &self.streams.settings;
        HostSession {
            session_id: connected.session_id.to_string(),
            heartbeat_interval: Some(duration(settings.session_heartbeat)),
            grace: Some(duration(settings.session_grace)),
        }
    }
}

// === impl Ear ===

impl Ear {
    /// Takes what a host says; a report that nobody waits for is answered from the log.
    pub(super) async fn take(&self, said: FromHost) -> Result<(), Fault> {
        let Some((delivery, report)) = self.inward.receive(said).await? else {
            return Ok(());
        };
        if let Some(disposition) = self.late(&delivery, &report).await {
            self.inward.receipt(delivery, disposition);
        }
        Ok(())
    }

    /// What became of a late report. A call that is not known, perhaps since the server has forgotten it,
    /// is as good as over: the host may forget it too. `None`: the store cannot say, and the host asks
    /// again.
    async fn late(&self, delivery: &Delivery, report: &Report) -> Option<Disposition> {
        match self.runs.late_report(&self.tenant, delivery, report).await {
            Ok(disposition) => Some(disposition),
            Err(fault) if fault.reason == Reason::ToolCallNotFound => Some(Disposition::Stale),
            Err(_unavailable) => None,
        }
    }
}

impl Listener for HostListener {
    type Message = HostToolsRequest;

    async fn hear(&self, message: HostToolsRequest) -> Result<(), Fault> {
        use host_tools_request::Message;
        let said = match message.message {
            Some(Message::Registration(_)) => {
                return Err(violation("the registration comes first, once"));
            }
            Some(Message::Report(report)) => {
                let (delivery, report) = self.intake.report(report)?;
                FromHost::Report(delivery, report)
            }
            Some(Message::Update(update)) => self.intake.update(update)?,
            Some(Message::Heartbeat(_)) => FromHost::Heartbeat,
            // Something newer than this server: skipped, but a sign of life.
            None => FromHost::Heartbeat,
        };
        self.ear.take(said).await
    }

    fn half_closed(&self) {
        self.ear.inward.half_close();
    }
}

impl Speaker for HostSpeaker {
    type Reply = HostToolsResponse;

    async fn next(&mut self) -> Option<Result<HostToolsResponse, Fault>> {
        use host_tools_response::Message;
        let message = if let Some(registered) = self.first.take() {
            Message::Registered(registered)
        } else {
            let command = tokio::select! {
                biased;
                fault = self.verdict.fault() => return Some(Err(fault)),
                fault = self.streams.closed() => return Some(Err(fault)),
                command = self.outward.next() => command?,
            };
            match command {
                Ok(command) => Message::Command(call::command(&command)),
                Err(fault) => return Some(Err(fault)),
            }
        };
        Some(Ok(HostToolsResponse {
            message: Some(message),
        }))
    }
}
