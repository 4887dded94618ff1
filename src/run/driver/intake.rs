//! Everything that a run waits for, in one place: its mailbox, its model, its tools' registrations and
//! its next deadline.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    domain::{
        completion::ModelEvent,
        fault::{Fault, Reason},
        id::{MessageId, RunId},
        message::Message as ChatMessage,
        principal::Tenant,
        time::Timestamp,
        tool::ToolBinding,
    },
    run::{
        log::Log,
        machine::{Answered, Input, News},
        port::{CallNews, Clock, ModelStream, ReceiptSlip, RunInput, Tools},
    },
};

/// The receiving end of a run's [`Inbox`](crate::run::port::Inbox).
pub(in crate::run) type Mailbox = mpsc::Receiver<Box<RunInput>>;

/// An input, with the slip that waits for its receipt.
pub(super) type Gathered = (Input, Option<ReceiptSlip>);

/// What was said before a run, while it is read.
pub(super) type Past = BoxFuture<'static, Result<Vec<Arc<ChatMessage>>, Fault>>;

/// What a run waits for.
pub(super) struct Intake {
    mailbox: Mailbox,
    /// Most inputs, and most deltas, that are taken in one go.
    batch: usize,
    /// Came, and waits for the machine.
    gathered: Vec<Gathered>,
    model: Option<ModelStream>,
    /// What was said before the run, while it is read.
    past: Option<Past>,
    /// The message in progress.
    message: Option<Message>,
    run_id: RunId,
    /// The number of the model's next message in the run.
    number: u64,
    /// Set while a tool is missing.
    registration: Option<BoxFuture<'static, ()>>,
    /// Fires at the machine's deadline or earlier: a deadline that moves away leaves it alone.
    timer: Option<Pin<Box<Sleep>>>,
}

struct Message {
    id: MessageId,
    shown: bool,
}

impl Intake {
    /// The intake of a run whose model's next message has this number.
    pub(super) fn new(mailbox: Mailbox, batch: usize, (run_id, number): (RunId, u64)) -> Self {
        Self {
            mailbox,
            batch: batch.max(1),
            gathered: Vec::new(),
            model: None,
            past: None,
            message: None,
            run_id,
            number,
            registration: None,
            timer: None,
        }
    }

    /// Adds an input that the driver itself has.
    pub(super) fn push(&mut self, input: Input) {
        self.gathered.push((input, None));
    }

    /// Takes what has come; `None` when nothing has.
    pub(super) fn take(&mut self) -> Option<Vec<Gathered>> {
        (!self.gathered.is_empty()).then(|| mem::take(&mut self.gathered))
    }

    /// Waits for what was said before the run.
    pub(super) fn recall(&mut self, past: Past) {
        self.past = Some(past);
    }

    fn poll_past(&mut self, cx: &mut Context<'_>) {
        let Some(past) = &mut self.past else {
            return;
        };
        let Poll::Ready(past) = past.poll_unpin(cx) else {
            return;
        };
        self.past = None;
        self.push(match past {
            Ok(past) => Input::Recalled(past),
            Err(fault) => Input::Abort(fault),
        });
    }

    /// Reads a model's answer from now on.
    pub(super) fn ask(&mut self, stream: ModelStream) {
        self.leave_message();
        self.model = Some(stream);
    }

    /// Drops the model's answer, which aborts the provider's request.
    pub(super) fn drop_model(&mut self) {
        self.model = None;
        self.leave_message();
    }

    /// The message in progress will not be completed. Its id is used again when nobody has seen it: the
    /// log, which counts these numbers, has no word of it either.
    fn leave_message(&mut self) {
        if self.message.take().is_some_and(|message| message.shown) {
            self.number += 1;
        }
    }

    /// The message in progress, begun when there is none.
    fn message(&mut self) -> &mut Message {
        let (run_id, number) = (self.run_id, self.number);
        self.message.get_or_insert_with(|| Message {
            id: MessageId::of_run(run_id, number),
            shown: false,
        })
    }

    /// Looks the agent's tools up, and waits for the registrations to change while one is missing.
    pub(super) fn offer(&mut self, tools: &dyn Tools, tenant: &Tenant, bindings: &[ToolBinding]) {
        // Taken before the look, so that no registration falls between the two.
        let registration = tools.registered(tenant);
        match tools.offer(tenant, bindings) {
            Ok(offers) => {
                self.registration = None;
                self.push(Input::Offered(offers));
            }
            Err(binding) => {
                self.registration = Some(registration);
                self.push(Input::Missing { binding });
            }
        }
    }

    /// Waits until something has come. Says whether registrations have changed, so that the tools must
    /// be looked up again.
    pub(super) async fn gather(
        &mut self,
        clock: &dyn Clock,
        log: &Log,
        due: Option<Timestamp>,
    ) -> bool {
        self.set_timer(clock, due);
        poll_fn(|cx| self.poll_gather(cx, clock, log, due)).await
    }

    fn set_timer(&mut self, clock: &dyn Clock, due: Option<Timestamp>) {
        let Some(due) = due else {
            return;
        };
        let Some(at) = Instant::now().checked_add(due.since(clock.now())) else {
            return;
        };
        match &mut self.timer {
            Some(timer) if timer.deadline() <= at && !timer.is_elapsed() => {}
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
    }

    fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        clock: &dyn Clock,
        log: &Log,
        due: Option<Timestamp>,
    ) -> Poll<bool> {
        self.poll_mailbox(cx);
        self.poll_past(cx);
        self.poll_model(cx, log);
        let changed = self.poll_registration(cx);
        self.poll_timer(cx, clock, due);
        if self.gathered.is_empty() && !changed {
            Poll::Pending
        } else {
            Poll::Ready(changed)
        }
    }

    fn poll_mailbox(&mut self, cx: &mut Context<'_>) {
        for _ in 0..self.batch {
            match self.mailbox.poll_recv(cx) {
                Poll::Ready(Some(input)) => self.gathered.push(translate(*input)),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    /// Reads until the answer pauses, or says something that the machine must hear first.
    fn poll_model(&mut self, cx: &mut Context<'_>, log: &Log) {
        for _ in 0..self.batch {
            let Some(stream) = &mut self.model else {
                return;
            };
            let Poll::Ready(event) = stream.as_mut().poll_next(cx) else {
                return;
            };
            let event = event.unwrap_or_else(|| {
                let why = "the answer ended before its end";
                Err(Fault::new(Reason::ProviderStreamBroken, why))
            });
            if self.hear(event, log) {
                return;
            }
        }
        // More may be ready: the other sources come first.
        cx.waker().wake_by_ref();
    }

    /// Takes an event of the model's answer. Says whether the machine must hear of it before the next.
    fn hear(&mut self, event: Result<ModelEvent, Fault>, log: &Log) -> bool {
        match event {
            Ok(ModelEvent::Started { model }) => {
                self.leave_message();
                let message_id = self.message().id.clone();
                self.push(Input::ModelStarted { model, message_id });
                false
            }
            Ok(ModelEvent::Delta(delta)) => {
                let message = self.message();
                let first = !mem::replace(&mut message.shown, true);
                log.delta(None, &message.id, delta);
                if first {
                    self.push(Input::MessageShown);
                }
                false
            }
            Ok(ModelEvent::Discarded(fault)) => {
                self.leave_message();
                self.push(Input::ModelDiscarded(fault));
                true
            }
            Ok(ModelEvent::Finished(completion)) => {
                let message_id = self.message().id.clone();
                self.message = None;
                self.number += 1;
                self.model = None;
                self.push(Input::ModelFinished(Box::new(Answered {
                    completion: *completion,
                    message_id,
                    results_id: MessageId::mint(),
                })));
                true
            }
            Err(fault) => {
                self.drop_model();
                self.push(Input::ModelFailed(fault));
                true
            }
        }
    }

    fn poll_registration(&mut self, cx: &mut Context<'_>) -> bool {
        let changed = self
            .registration
            .as_mut()
            .is_some_and(|registration| registration.poll_unpin(cx).is_ready());
        if changed {
            self.registration = None;
        }
        changed
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, clock: &dyn Clock, due: Option<Timestamp>) {
        let Some(due) = due else {
            return;
        };
        while let Some(timer) = &mut self.timer {
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            if due <= clock.now() {
                return self.push(Input::Tick);
            }
            self.set_timer(clock, Some(due));
        }
    }

    /// Whether nothing has come, and nobody but the run itself and its registry could send anything now.
    pub(super) fn is_quiet(&self) -> bool {
        const OWN: usize = 2;
        self.gathered.is_empty()
            && self.mailbox.is_empty()
            && self.mailbox.sender_strong_count() <= OWN
    }

    /// Takes no more, and hands out what is left in the mailbox.
    pub(super) fn close(&mut self) -> Vec<Gathered> {
        self.drop_model();
        self.mailbox.close();
        let mut left = mem::take(&mut self.gathered);
        while let Ok(input) = self.mailbox.try_recv() {
            left.push(translate(*input));
        }
        left
    }
}

/// Parts an input from its slip, which the machine knows nothing of.
fn translate(input: RunInput) -> Gathered {
    match input {
        RunInput::Cancel { reason, slip } => (Input::Cancel { reason }, slip),
        RunInput::Answer {
            answers,
            principal,
            slip,
        } => (Input::Answer { answers, principal }, Some(slip)),
        RunInput::Proceed => (Input::Proceed, None),
        RunInput::AddMessages { messages, slip } => (Input::AddMessages(messages), slip),
        RunInput::Abandoned => {
            let reason = "the stream of the run was lost".to_owned();
            (Input::Cancel { reason }, None)
        }
        RunInput::Call { delivery, news } => {
            let (news, slip) = match news {
                CallNews::Assigned { host_id } => (News::Assigned { host_id }, None),
                CallNews::Reported {
                    host_id,
                    report,
                    slip,
                } => (News::Reported { host_id, report }, slip),
                CallNews::NotBegun => (News::NotBegun, None),
                CallNews::Lost { .. } => (News::Lost, None),
                CallNews::Changed => (News::Changed, None),
                CallNews::Withdrawn => (News::Withdrawn, None),
            };
            (Input::Call { delivery, news }, slip)
        }
    }
}
