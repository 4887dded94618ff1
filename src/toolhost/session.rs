//! The two halves of an open session: what a host says, and what it is told.

use std::{fmt, future::poll_fn, sync::Arc};

use tokio::time::{Instant, sleep_until};

use super::{FromHost, Hub, Proposed, book::Ticket, hub::Taken, link::Link};
use crate::{
    domain::{
        call::{Command, Delivery, Disposition, Report},
        fault::{Fault, Reason},
        principal::Principal,
    },
    run::port::ReceiptSlip,
};

/// The host's half of a session.
pub struct Inward {
    hub: Arc<Hub>,
    link: Arc<Link>,
    ticket: Ticket,
    /// Who may change its tools; `None` on a run's own stream, whose tools stand in the run.
    host: Option<Arc<Principal>>,
}

/// The server's half of a session. Dropping it is the loss of the stream: the grace begins.
pub struct Outward {
    hub: Arc<Hub>,
    link: Arc<Link>,
    ticket: Ticket,
    /// When the next heartbeat is due, if nothing else is sent before.
    beat: Instant,
    is_over: bool,
}

/// A report whose receipt has not gone out. While there is one, its session does not end well.
struct OpenSlip {
    hub: Arc<Hub>,
    link: Arc<Link>,
    ticket: Ticket,
}

// === impl Inward ===

impl Inward {
    pub(super) const fn new(
        hub: Arc<Hub>,
        link: Arc<Link>,
        ticket: Ticket,
        host: Option<Arc<Principal>>,
    ) -> Self {
        Self {
            hub,
            link,
            ticket,
            host,
        }
    }

    /// Takes what the host says. Waits for the run's mailbox at most, never for the host's reading.
    /// `Ok(Some(..))` is a report that no live run waits for: answer it with
    /// [`crate::run::Runs::late_report`] and [`Inward::receipt`].
    ///
    /// # Errors
    /// `STREAM_PROTOCOL_VIOLATION`, which ends the stream; the fault of a session that has ended.
    pub async fn receive(&self, said: FromHost) -> Result<Option<(Delivery, Report)>, Fault> {
        if let Some(fault) = self.link.fault() {
            return Err(fault);
        }
        match said {
            FromHost::Heartbeat => {
                self.hub.heard(self.ticket);
                Ok(None)
            }
            FromHost::Update { window, tools } => self.update(window, tools).map(|()| None),
            FromHost::Report(delivery, report) => Ok(self.report(delivery, report).await),
        }
    }

    /// Answers a late report.
    pub fn receipt(&self, delivery: Delivery, disposition: Disposition) {
        let receipt = Command::Receipt {
            delivery,
            disposition,
        };
        self.hub.push(&self.link, self.ticket, receipt);
    }

    /// The host will say nothing more: it takes no more calls. Its stream stays open until the calls
    /// that it has are over for it; half-close is not cancel.
    pub fn half_close(&self) {
        self.hub.half_close(self.ticket);
    }

    fn update(&self, window: Option<u32>, tools: Option<Vec<Proposed>>) -> Result<(), Fault> {
        self.hub.heard(self.ticket);
        let count = tools.as_ref().map_or(0, Vec::len);
        let max = self.hub.settings().max_tools_per_host;
        match &self.host {
            None if tools.is_some() => Err(violation(
                "the tools of a run's own stream stand in the run: they cannot be changed",
            )),
            Some(_) if count > max => Err(violation(format!(
                "{count} tools are too many: a host may have {max}"
            ))),
            host => {
                self.hub.update(self.ticket, host.as_deref(), window, tools);
                Ok(())
            }
        }
    }

    async fn report(&self, delivery: Delivery, report: Report) -> Option<(Delivery, Report)> {
        let slip = match report {
            Report::Progress(_) => None,
            Report::Accepted
            | Report::Rejected(_)
            | Report::Result(_)
            | Report::Failed(_)
            | Report::Question(_)
            | Report::Stopped => Some(self.slip(&delivery)),
        };
        match self.hub.take_report(self.ticket, delivery, report, slip) {
            Taken::Done => None,
            Taken::Later(waiting) => {
                waiting.send().await;
                None
            }
            // Progress has no receipt: there is nothing to answer.
            Taken::Late(_, Report::Progress(_)) => None,
            Taken::Late(delivery, report) => Some((delivery, report)),
        }
    }

    fn slip(&self, delivery: &Delivery) -> ReceiptSlip {
        self.link.open_slip();
        let open = OpenSlip {
            hub: Arc::clone(&self.hub),
            link: Arc::clone(&self.link),
            ticket: self.ticket,
        };
        let delivery = delivery.clone();
        ReceiptSlip::new(move |disposition| {
            let receipt = Command::Receipt {
                delivery,
                disposition,
            };
            open.hub.push(&open.link, open.ticket, receipt);
        })
    }
}

impl fmt::Debug for Inward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inward")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

// === impl Outward ===

impl Outward {
    pub(super) fn new(hub: Arc<Hub>, link: Arc<Link>, ticket: Ticket) -> Self {
        let beat = Instant::now() + hub.settings().heartbeat_interval;
        Self {
            hub,
            link,
            ticket,
            beat,
            is_over: false,
        }
    }

    /// The next command, heartbeats included. `None`: the session has ended well (the host has
    /// half-closed and holds no calls). Cancel-safe.
    ///
    /// # Errors
    /// `SUPERSEDED`, `HEARTBEAT_MISSED`, `SLOW_READER`, `SERVER_DRAINING`: the stream ends with it.
    pub async fn next(&mut self) -> Option<Result<Command, Fault>> {
        if self.is_over {
            return None;
        }
        let next = tokio::select! {
            biased;
            next = poll_fn(|context| self.link.poll_next(context)) => next,
            () = sleep_until(self.beat) => Some(Ok(Command::Heartbeat)),
        };
        match &next {
            Some(Ok(_)) => self.beat = Instant::now() + self.hub.settings().heartbeat_interval,
            Some(Err(_)) | None => self.is_over = true,
        }
        next
    }
}

impl Drop for Outward {
    fn drop(&mut self) {
        self.hub.lost(self.ticket);
    }
}

impl fmt::Debug for Outward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outward")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

// === impl OpenSlip ===

impl Drop for OpenSlip {
    fn drop(&mut self) {
        self.link.close_slip();
    }
}

fn violation(message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(Reason::StreamProtocolViolation, message)
}
