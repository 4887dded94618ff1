//! A world of fakes for runs: scripted models, tools that behave as told, a store that can be slow.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

use crate::{
    domain::{
        call::{Assignment, Delivery, Disposition, Report, StopReason},
        completion::{Completion, Delta, Grown, ModelEvent, Request},
        event::{Event, Fact},
        fault::{Fault, Reason},
        id::{CallId, HostId, RequestId, RunId, ThreadId},
        input::InputAnswer,
        json::JsonText,
        message::{Content, Message, Part, Role, ToolCall, ToolResult},
        model::{FinishReason, ModelRef, Usage},
        principal::Tenant,
        run::{Run, RunSpec},
        thread::{Thread, ThreadFilter},
        time::Timestamp,
        tool::{ToolBinding, ToolSpec, ToolTarget},
    },
    run::{
        lock::Lock,
        port::{
            Answer, CallNews, Claimed, Clock, Creation, FeedEntry, Inbox, ModelList, ModelStream,
            Models, NewRun, Offer, ReceiptSlip, RunFilter, RunInput, Store, StoreError,
            StoreFuture, Tools,
        },
    },
};

/// A clock that moves with the paused time of tokio.
pub(super) struct TestClock(Instant);

impl TestClock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000_000) + self.0.elapsed()
    }
}

// === models ===

/// What a model does.
#[derive(Clone, Debug)]
pub(super) enum Says {
    Text(&'static str),
    Wait(Duration),
    /// Ends the answer; with calls of these tools.
    Done(&'static [&'static str]),
    Fault(Reason),
    Panic,
    Forever,
}

/// A model that answers each turn by the script.
#[derive(Default)]
pub(super) struct FakeModels {
    pub(super) script: Lock<VecDeque<Vec<Says>>>,
    pub(super) answers: Lock<Vec<Answer>>,
    pub(super) dropped: Arc<AtomicUsize>,
}

/// Counts streams that were dropped.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Models for FakeModels {
    fn resolve(&self, _name: &str) -> Result<ModelRef, Fault> {
        Ok(model())
    }

    fn call(&self, model: &ModelRef, _request: Request, answer: Answer) -> ModelStream {
        self.answers.lock().push(answer);
        let mut said = self.script.lock().pop_front().unwrap_or_default();
        said.reverse();
        let guard = Guard(Arc::clone(&self.dropped));
        let started = Ok(ModelEvent::Started {
            model: model.clone(),
        });
        let rest = stream::unfold((said, guard), |(mut said, guard)| async move {
            loop {
                let event = match said.pop()? {
                    Says::Wait(time) => {
                        sleep(time).await;
                        continue;
                    }
                    Says::Forever => std::future::pending().await,
                    Says::Panic => panic!("the provider has a defect"),
                    Says::Text(text) => Ok(ModelEvent::Delta(Delta {
                        part_index: 0,
                        grown: Grown::Text(text.to_owned()),
                    })),
                    Says::Done(tools) => Ok(ModelEvent::Finished(Box::new(completion(tools)))),
                    Says::Fault(reason) => Err(Fault::new(reason, "as the script says")),
                };
                return Some((event, (said, guard)));
            }
        });
        stream::iter([started]).chain(rest).boxed()
    }

    fn list(&self, _provider: Option<String>) -> BoxFuture<'_, ModelList> {
        async { ModelList::default() }.boxed()
    }
}

pub(super) fn model() -> ModelRef {
    ModelRef::parse("test:one").unwrap()
}

fn completion(tools: &[&str]) -> Completion {
    let mut parts = vec![Part::new(Content::Text("said".to_owned()))];
    parts.extend(tools.iter().map(|name| {
        Part::new(Content::ToolCall(ToolCall {
            id: CallId::mint(),
            name: (*name).to_owned(),
            arguments: "{}".to_owned(),
        }))
    }));
    Completion {
        model: model(),
        message: Message {
            id: None,
            role: Role::Assistant,
            parts,
            name: None,
        },
        finish_reason: FinishReason::Stop,
        provider_finish_reason: String::new(),
        usage: Usage::default(),
        provider_metadata: None,
    }
}

// === tools ===

/// What a tool's host does with a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// Accepts, works so long, and gives its result.
    Work(Duration),
    /// Accepts, and stops when it is told to.
    Obey,
    /// Is never heard of.
    Nothing,
}

/// What a host was answered, and how many events were stored then.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub(super) kind: &'static str,
    pub(super) disposition: Disposition,
    pub(super) stored: usize,
}

/// Hosts that do as they are told, each call in a task of its own.
pub(super) struct FakeTools {
    pub(super) does: Lock<HashMap<String, Does>>,
    pub(super) assigned: Lock<Vec<(Delivery, Inbox)>>,
    pub(super) cancelled: Lock<Vec<(Delivery, StopReason)>>,
    pub(super) released: Lock<Vec<Delivery>>,
    pub(super) forgotten: Lock<Vec<RunId>>,
    pub(super) receipts: Arc<Lock<Vec<Receipt>>>,
    /// Tools that nobody has registered.
    pub(super) missing: Lock<Vec<String>>,
    pub(super) registrations: Arc<Notify>,
    pub(super) store: Arc<FakeStore>,
    pub(super) tracker: TaskTracker,
}

impl FakeTools {
    pub(super) fn new(store: Arc<FakeStore>, tracker: TaskTracker) -> Self {
        Self {
            does: Lock::default(),
            assigned: Lock::default(),
            cancelled: Lock::default(),
            released: Lock::default(),
            forgotten: Lock::default(),
            receipts: Arc::default(),
            missing: Lock::default(),
            registrations: Arc::default(),
            store,
            tracker,
        }
    }

    pub(super) fn reported(&self, kind: &'static str, report: Report) -> CallNews {
        let (receipts, store) = (Arc::clone(&self.receipts), Arc::clone(&self.store));
        let slip = ReceiptSlip::new(move |disposition| {
            let stored = store.event_count();
            receipts.lock().push(Receipt {
                kind,
                disposition,
                stored,
            });
        });
        CallNews::Reported {
            host_id: HostId::parse("h").unwrap(),
            report,
            slip: Some(slip),
        }
    }

    pub(super) fn result(&self, delivery: &Delivery) -> CallNews {
        let result = Arc::new(ToolResult {
            call_id: delivery.call_id.clone(),
            parts: vec![Part::new(Content::Text("done".to_owned()))],
            structured: None,
            is_error: false,
        });
        self.reported("result", Report::Result(result))
    }
}

impl Tools for FakeTools {
    fn offer(&self, _tenant: &Tenant, bindings: &[ToolBinding]) -> Result<Vec<Offer>, usize> {
        let missing = self.missing.lock();
        bindings
            .iter()
            .enumerate()
            .map(|(binding, tool)| match &tool.target {
                ToolTarget::Attached(spec) if !missing.contains(&spec.name.to_string()) => {
                    Ok(Offer {
                        spec: Arc::clone(spec),
                        binding,
                    })
                }
                ToolTarget::Subagent(subagent) => Ok(Offer {
                    spec: Arc::clone(&subagent.tool),
                    binding,
                }),
                ToolTarget::Attached(_) | ToolTarget::Hosted(_) | ToolTarget::Mcp(_) => {
                    Err(binding)
                }
            })
            .collect()
    }

    fn registered(&self, _tenant: &Tenant) -> BoxFuture<'static, ()> {
        Arc::clone(&self.registrations).notified_owned().boxed()
    }

    fn check(&self, tool: &ToolSpec, _arguments: &JsonText) -> Result<(), Fault> {
        assert!(tool.name.as_str() != "boom", "the check has a defect");
        Ok(())
    }

    fn check_answer(&self, _schema: &JsonText, _answer: &JsonText) -> Result<(), Fault> {
        Ok(())
    }

    fn answer(&self, _delivery: &Delivery, _number: u32, _answer: Arc<InputAnswer>) {}

    fn assign(&self, _tenant: &Tenant, assignment: Assignment, inbox: Inbox) {
        let delivery = assignment.delivery.clone();
        self.assigned.lock().push((delivery.clone(), inbox.clone()));
        let does = self.does.lock().get(assignment.tool.name.as_str()).copied();
        let time = match does.unwrap_or(Does::Nothing) {
            Does::Nothing => return,
            Does::Obey => None,
            Does::Work(time) => Some(time),
        };
        let accepted = self.reported("acceptance", Report::Accepted);
        let result = self.result(&delivery);
        self.tracker.spawn(async move {
            let news = |news| RunInput::Call {
                delivery: delivery.clone(),
                news,
            };
            inbox.send(news(accepted)).await;
            if let Some(time) = time {
                sleep(time).await;
                inbox.send(news(result)).await;
            }
        });
    }

    fn cancel(&self, delivery: &Delivery, reason: StopReason) {
        self.cancelled.lock().push((delivery.clone(), reason));
        let assigned = self.assigned.lock();
        if let Some((_, inbox)) = assigned.iter().find(|(known, _)| known == delivery) {
            let news = self.reported("stop", Report::Stopped);
            inbox.offer(RunInput::Call {
                delivery: delivery.clone(),
                news,
            });
        }
    }

    fn release(&self, delivery: &Delivery) {
        self.released.lock().push(delivery.clone());
    }

    fn forget_run(&self, run_id: RunId) {
        self.forgotten.lock().push(run_id);
    }
}

// === store ===

/// A store whose appends take as long as they are told to, or fail.
#[derive(Default)]
pub(super) struct FakeStore {
    runs: Lock<BTreeMap<RunId, Kept>>,
    requests: Lock<HashMap<RequestId, (RunId, [u8; 32])>>,
    pub(super) delay: Lock<Duration>,
    pub(super) broken: Lock<bool>,
    /// How many events each append had.
    pub(super) appends: Lock<Vec<usize>>,
}

struct Kept {
    tenant: Tenant,
    spec: Arc<RunSpec>,
    run: Arc<Run>,
    events: Vec<Arc<Event>>,
    claims: u32,
}

impl FakeStore {
    pub(super) fn event_count(&self) -> usize {
        self.runs
            .lock()
            .values()
            .map(|kept| kept.events.len())
            .sum()
    }

    pub(super) fn events(&self, run_id: RunId) -> Vec<Arc<Event>> {
        self.runs.lock()[&run_id].events.clone()
    }

    fn of<T>(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        get: impl FnOnce(&mut Kept) -> T,
    ) -> Result<T, StoreError> {
        let mut runs = self.runs.lock();
        let kept = runs.get_mut(&run_id).filter(|kept| kept.tenant == *tenant);
        kept.map(get).ok_or(StoreError::NotFound)
    }

    fn created(&self, new: NewRun) -> Result<Creation, StoreError> {
        if let Some((id, digest)) = new.request {
            let mut requests = self.requests.lock();
            if let Some((known, asked)) = requests.get(&id) {
                let run = self.of(&new.run.tenant, *known, |kept| Arc::clone(&kept.run))?;
                return if *asked == digest {
                    Ok(Creation::Existing(run))
                } else {
                    Err(StoreError::RequestIdReused)
                };
            }
            requests.insert(id, (new.run.id, digest));
        }
        let first = Event {
            sequence: 1,
            run_id: None,
            time: new.run.create_time,
            fact: Fact::RunUpdated(Arc::clone(&new.run)),
        };
        let kept = Kept {
            tenant: new.run.tenant.clone(),
            spec: new.spec,
            run: Arc::clone(&new.run),
            events: vec![Arc::new(first)],
            claims: 0,
        };
        let run = Arc::clone(&kept.run);
        self.runs.lock().insert(new.run.id, kept);
        Ok(Creation::Created(run))
    }
}

impl Store for FakeStore {
    fn create(&self, new: NewRun) -> StoreFuture<'_, Creation> {
        let delay = *self.delay.lock();
        async move {
            sleep(delay).await;
            self.created(new)
        }
        .boxed()
    }

    fn append(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        _expected: u64,
        events: Vec<Arc<Event>>,
    ) -> StoreFuture<'_, ()> {
        let (delay, tenant) = (*self.delay.lock(), tenant.clone());
        async move {
            sleep(delay).await;
            if *self.broken.lock() {
                return Err(StoreError::Unavailable("as the test wants".to_owned()));
            }
            self.appends.lock().push(events.len());
            self.of(&tenant, run_id, |kept| {
                for event in &events {
                    if let Some(run) = event.root() {
                        kept.run = Arc::clone(run);
                    }
                }
                kept.events.extend(events);
                kept.claims = 0;
            })
        }
        .boxed()
    }

    fn read(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Event>>> {
        let events = self.of(tenant, run_id, |kept| {
            let newer = kept.events.iter().filter(|event| event.sequence > after);
            newer.take(limit).cloned().collect()
        });
        async move { events }.boxed()
    }

    fn run(&self, tenant: &Tenant, run_id: RunId) -> StoreFuture<'_, (Arc<Run>, Arc<RunSpec>)> {
        let found = self.of(tenant, run_id, |kept| {
            (Arc::clone(&kept.run), Arc::clone(&kept.spec))
        });
        async move { found }.boxed()
    }

    fn list(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        _before: Option<RunId>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Run>>> {
        let runs = self.runs.lock();
        let of_tenant = runs.values().filter(|kept| kept.tenant == *tenant);
        let matching = of_tenant.filter(|kept| filter.matches(&kept.run));
        let found = matching
            .take(limit)
            .map(|kept| Arc::clone(&kept.run))
            .collect();
        async move { Ok(found) }.boxed()
    }

    fn feed(&self, _: &Tenant, _: u64, _: usize) -> StoreFuture<'_, Vec<FeedEntry>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn position(&self, _tenant: &Tenant) -> StoreFuture<'_, u64> {
        async { Ok(0) }.boxed()
    }

    fn run_of_call(&self, tenant: &Tenant, call_id: &CallId) -> StoreFuture<'_, Option<RunId>> {
        let runs = self.runs.lock();
        let mut of_tenant = runs.values().filter(|kept| kept.tenant == *tenant);
        let found = of_tenant.find(|kept| {
            kept.events.iter().any(|event| match &event.fact {
                Fact::MessageCompleted(done) => {
                    done.message.tool_calls().any(|call| call.id == *call_id)
                }
                Fact::RunUpdated(_)
                | Fact::MessageDiscarded { .. }
                | Fact::ToolCallUpdated(_)
                | Fact::InputAnswered(_)
                | Fact::PolicyDecided(_) => false,
            })
        });
        let found = found.map(|kept| kept.run.id);
        async move { Ok(found) }.boxed()
    }

    fn claim(&self, after: Option<RunId>, limit: usize) -> StoreFuture<'_, Vec<Claimed>> {
        let mut runs = self.runs.lock();
        let mut found = Vec::new();
        for (run_id, kept) in runs.iter_mut() {
            let is_next = after.is_none_or(|after| *run_id > after);
            if is_next && !kept.run.state.is_terminal() && found.len() < limit {
                kept.claims += 1;
                found.push(Claimed {
                    tenant: kept.tenant.clone(),
                    run_id: *run_id,
                    claims: kept.claims,
                });
            }
        }
        async move { Ok(found) }.boxed()
    }

    fn thread(&self, _: &Tenant, _: ThreadId) -> StoreFuture<'_, Thread> {
        async { Err(StoreError::ThreadNotFound) }.boxed()
    }

    fn threads(
        &self,
        _: &Tenant,
        _: &ThreadFilter,
        _: Option<u64>,
        _: usize,
    ) -> StoreFuture<'_, Vec<Thread>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn delete_thread(&self, _: &Tenant, _: ThreadId) -> StoreFuture<'_, ()> {
        async { Err(StoreError::ThreadNotFound) }.boxed()
    }
}
