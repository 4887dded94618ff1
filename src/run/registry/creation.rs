//! How a run comes to be: stored first, then live, in the one task that will drive it.

use std::{collections::BTreeMap, io, pin::pin, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{Entry, Place};
use crate::{
    domain::{
        fault::{Fault, Reason},
        id::RunId,
        model::Usage,
        principal::Principal,
        run::{Run, RunSpec, RunState},
        time::Timestamp,
        tool::ToolTarget,
        trace::Trace,
    },
    run::{
        driver::{Driver, Shared},
        log::Log,
        port::{Creation, Inbox, NewRun},
        watch::Watches,
    },
};

/// How long a run takes at most from the store to its driver.
const SOON: Duration = Duration::from_millis(20);

/// What a run's task begins with.
pub(super) struct Launch {
    pub(super) shared: Arc<Shared>,
    pub(super) watches: Arc<Watches>,
    pub(super) place: Place,
}

impl Launch {
    /// The whole task of a run. Creation is part of it, so that a caller who goes away in the middle
    /// leaves no run behind that is stored and never driven.
    pub(super) async fn create_and_drive(
        self,
        new: NewRun,
        created: oneshot::Sender<Result<Arc<Run>, Fault>>,
    ) {
        let (spec, run) = (Arc::clone(&new.spec), Arc::clone(&new.run));
        let answer = self.shared.ports.store.create(new).await;
        let driver = match answer {
            Ok(Creation::Created) => {
                let driver = self.live(spec, &run);
                // The caller may have gone; the run is stored, so it runs.
                let _gone = created.send(Ok(run));
                driver
            }
            Ok(Creation::Existing(run)) => {
                self.wait_until_live(&run).await;
                let _gone = created.send(Ok(run));
                return;
            }
            Err(error) => {
                tracing::warn!(error = %error, "a run was not created");
                let _gone = created.send(Err(error.into()));
                return;
            }
        };
        driver.drive(self.place).await;
    }

    /// A run that was created a moment ago may be on its way to its driver: whoever is told of it may
    /// expect its mailbox.
    async fn wait_until_live(&self, run: &Run) {
        let live = &self.place.live;
        let seen = async {
            loop {
                let mut started = pin!(live.started.notified());
                started.as_mut().enable();
                if live.runs.lock().contains_key(&run.id) {
                    return;
                }
                started.await;
            }
        };
        if !run.state.is_terminal() {
            // Not live by then: it has ended meanwhile.
            let _ended = timeout(SOON, seen).await;
        }
    }

    /// Makes the run live.
    fn live(&self, spec: Arc<RunSpec>, run: &Arc<Run>) -> Driver {
        let store = Arc::clone(&self.shared.ports.store);
        let log = Log::new(store, &self.watches, run.tenant.clone(), Arc::clone(run));
        let (sender, mailbox) = mpsc::channel(self.shared.settings.mailbox.max(1));
        let inbox = Inbox::new(run.id, sender);
        let entry = Entry {
            tenant: run.tenant.clone(),
            inbox: inbox.clone(),
            log: Arc::clone(&log),
            spec: Arc::clone(&spec),
        };
        self.place.live.runs.lock().insert(run.id, entry);
        self.place.live.started.notify_waiters();
        Driver::new(Arc::clone(&self.shared), spec, log, (inbox, mailbox))
    }
}

/// A hosted tool's name is used only with permission.
pub(super) fn may_use_tools(principal: &Principal, spec: &RunSpec) -> Result<(), Fault> {
    for binding in &spec.agent.tools {
        match &binding.target {
            ToolTarget::Hosted(hosted) if !principal.may_use(hosted.name.as_str()) => {
                let why = format!("may not use the tool {}", hosted.name);
                return Err(Fault::new(Reason::PermissionDenied, why).with("tool", &hosted.name));
            }
            ToolTarget::Hosted(_) | ToolTarget::Attached(_) => {}
        }
    }
    Ok(())
}

/// Digests what is written.
struct Digester(Sha256);

impl io::Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was asked, in 32 bytes: another principal or another spec is another request.
pub(super) fn digest(principal: &Principal, spec: &RunSpec) -> Result<[u8; 32], Fault> {
    let mut digester = Digester(Sha256::new());
    digester.0.update(principal.name.as_bytes());
    digester.0.update([0]);
    serde_json::to_writer(&mut digester, spec)
        .map_err(|_error| Fault::new(Reason::Internal, "the run cannot be written down"))?;
    Ok(digester.0.finalize().into())
}

/// The run as it is when nothing has happened.
pub(super) fn first_state(
    principal: &Principal,
    spec: &RunSpec,
    trace: Option<Trace>,
    now: Timestamp,
) -> Run {
    Run {
        id: RunId::mint(),
        tenant: principal.tenant.clone(),
        creator: Arc::clone(&principal.name),
        agent_name: spec.agent.name.clone(),
        state: RunState::Running,
        error: None,
        output: None,
        finish_reason: None,
        usage: Usage::default(),
        usage_by_model: BTreeMap::new(),
        turn_count: 0,
        last_sequence: 1,
        labels: spec.labels.clone(),
        create_time: now,
        start_time: Some(now),
        end_time: None,
        model: spec.agent.model.clone(),
        cancel_reason: String::new(),
        trace: trace.map(Arc::new),
    }
}
