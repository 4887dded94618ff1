//! The program killed in the middle of everything, and started again on what it had stored.

mod judge;
mod matrix;

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use runwire::{
    client::{Call, Client, Since, Tool, ToolHost, message},
    pb::v1::{self, EventDetail, run::State, run_event::Event},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::{Notify, Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::task::TaskTracker;

use self::judge::Judge;

const PROGRAM: &str = env!("CARGO_BIN_EXE_runwire");

/// Longer than anything here takes on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a server has to live with.
enum Trouble {
    None,
    /// Its files may have so many blocks of 512 bytes. One more is an error.
    Blocks(u32),
    /// It ends when it comes to this place.
    FailPoint(String),
}

/// A server in a process of its own, with a data directory that outlives it.
struct Server {
    process: Child,
    folder: Arc<TempDir>,
    address: String,
    log: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::on(folder, "127.0.0.1:0", Trouble::None).await
    }

    async fn on(folder: Arc<TempDir>, listen: &str, trouble: Trouble) -> Self {
        let mut command = Command::new("sh");
        let blocks = match trouble {
            Trouble::Blocks(blocks) => blocks.to_string(),
            Trouble::None | Trouble::FailPoint(_) => "unlimited".to_owned(),
        };
        // The signal of a file that is too large would end the server.
        let start = "trap '' XFSZ; ulimit -f $0; exec \"$@\"";
        command
            .args(["-c", start, &blocks, PROGRAM])
            .args(["serve", "--listen", listen, "--data-dir"])
            .arg(folder.path().join("data"))
            .env_clear()
            .env("RUNWIRE__STORE__KIND", "sqlite")
            .env("RUNWIRE__TOOLS__CANCEL_GRACE", "1s")
            .env("RUNWIRE__SERVER__DRAIN", "1s")
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Trouble::FailPoint(place) = trouble {
            command.env("RUNWIRE_FAIL_POINT", place);
        }
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = async {
            loop {
                let line = lines.next_line().await.unwrap();
                let line = line.expect("the server has ended");
                if let Some(address) = line.strip_prefix("runwire listening on ") {
                    return address.to_owned();
                }
            }
        };
        let address = timeout(PATIENCE, ready).await.unwrap();
        // Read on, or it would block where it logs.
        let log = TaskTracker::new()
            .spawn(async move { while let Ok(Some(_line)) = lines.next_line().await {} });
        Self {
            process,
            folder,
            address,
            log,
        }
    }

    fn client(&self) -> Client {
        Client::connect(&format!("http://{}", self.address)).unwrap()
    }

    /// A run that it has taken.
    async fn create(&self, spec: v1::RunSpec) -> v1::Run {
        self.client().create_run(spec).await.unwrap()
    }

    /// A run at its end.
    async fn end_of(&self, run_id: &str) -> v1::Run {
        let client = self.client();
        let ended = client.wait_for_run(run_id);
        timeout(PATIENCE, ended).await.unwrap().unwrap()
    }

    /// Kills it without a word, and starts another one in its place.
    async fn crash(mut self) -> Self {
        self.process.kill().await.unwrap();
        self.log.await.unwrap();
        Self::on(self.folder, &self.address, Trouble::None).await
    }

    /// Kills it, and gives what it has stored.
    async fn end(mut self) -> Arc<TempDir> {
        self.process.kill().await.unwrap();
        self.folder
    }
}

/// What the store has, as `runwire store export` writes it.
async fn export(folder: &Path) -> String {
    maintain(folder, "export").await
}

/// Checks the store.
async fn check(folder: &Path) {
    maintain(folder, "check").await;
}

/// What a command of `runwire store` says that goes well.
async fn maintain(folder: &Path, verb: &str) -> String {
    let output = Command::new(PROGRAM)
        .args(["store", verb, "--data-dir"])
        .arg(folder.join("data"))
        .env_clear()
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn spec(model: &str, tools: Vec<v1::ToolBinding>) -> v1::RunSpec {
    v1::RunSpec {
        agent: Some(v1::Agent {
            name: "a".to_owned(),
            model: model.to_owned(),
            tools,
            ..v1::Agent::default()
        }),
        input: vec![message::user("hi")],
        ..v1::RunSpec::default()
    }
}

pub(crate) fn tool<F>(name: &str, work: impl Fn(Call) -> F + Send + Sync + 'static) -> Tool
where
    F: Future<Output = &'static str> + Send + 'static,
{
    Tool::new(name, "", r#"{"type":"object"}"#, move |call| {
        let work = work(call);
        async move { Ok(work.await) }
    })
}

/// A host that serves until the test ends.
pub(crate) fn serve(tasks: &TaskTracker, client: Client, tool: Tool) {
    let host = ToolHost::new(client).tool(tool);
    tasks.spawn(async move {
        // It is cut off with the test's runtime.
        let _end = host.serve(std::future::pending()).await;
    });
}

/// Watches a run from its beginning to its end in a task of its own, through all that happens to the
/// server; tells of each event as it comes.
fn watch(
    client: Client,
    run_id: &str,
) -> (JoinHandle<Vec<v1::RunEvent>>, mpsc::Receiver<v1::RunEvent>) {
    let (tell, told) = mpsc::channel(10_000);
    let run_id = run_id.to_owned();
    let watching = TaskTracker::new().spawn(async move {
        let mut watch = client.watch_run(&run_id, Since::Sequence(0), EventDetail::Full);
        let mut seen = Vec::new();
        while let Some(event) = watch.next().await {
            let event = event.unwrap();
            // Nobody may listen any more.
            let _gone = tell.send(event.clone()).await;
            seen.push(event);
        }
        seen
    });
    (watching, told)
}

/// Waits for an event.
async fn until(told: &mut mpsc::Receiver<v1::RunEvent>, is_it: impl Fn(&Event) -> bool) {
    let found = async {
        loop {
            let event = told.recv().await.expect("the watch goes on");
            if event.event.as_ref().is_some_and(&is_it) {
                return;
            }
        }
    };
    timeout(PATIENCE, found).await.unwrap();
}

/// The run's end, with a judgement on what its watcher has seen of it.
async fn judged(
    server: Server,
    run_id: &str,
    watching: JoinHandle<Vec<v1::RunEvent>>,
) -> (v1::Run, Judge) {
    let seen = timeout(PATIENCE, watching).await.unwrap().unwrap();
    let run = server.client().get_run(run_id).await.unwrap();
    let folder = server.end().await;
    check(folder.path()).await;
    let judge = Judge::of(&export(folder.path()).await);
    judge.check_all();
    judge.check_watch(run_id, &seen);
    (run, judge)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_an_answer_the_run_begins_the_answer_again() {
    let server = Server::start().await;
    // Waits for its tool, so that its watcher is there before the model is asked.
    let tool = tool("find", |_| async { "found" }).idempotent();
    let run = server
        .create(spec("script:slow-50", vec![tool.hosted()]))
        .await;
    let (watching, mut told) = watch(server.client(), &run.id);
    until(&mut told, |event| matches!(event, Event::RunUpdated(_))).await;
    let tasks = TaskTracker::new();
    serve(&tasks, server.client(), tool);
    for _ in 0..3 {
        until(&mut told, |event| matches!(event, Event::MessageDelta(_))).await;
    }
    let server = server.crash().await;
    let (run, judge) = judged(server, &run.id, watching).await;
    assert_eq!(run.state(), State::Succeeded);
    assert!(judge.kinds(&run.id).contains(&"MessageDiscarded"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_an_idempotent_call_the_call_is_delivered_again_under_its_id() {
    let server = Server::start().await;
    let (tasks, calls) = (TaskTracker::new(), Arc::new(Mutex::new(Vec::new())));
    let begun = Arc::clone(&calls);
    let tool = tool("find", move |call| {
        let first = {
            let mut begun = begun.lock().unwrap();
            begun.push((call.id().to_owned(), call.attempt()));
            begun.len() == 1
        };
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            "found"
        }
    })
    .idempotent();
    serve(&tasks, server.client(), tool.clone());
    let run = server
        .create(spec("script:tools-1", vec![tool.hosted()]))
        .await;
    let (watching, mut told) = watch(server.client(), &run.id);
    until(&mut told, is_running).await;
    let server = server.crash().await;
    let (run, _) = judged(server, &run.id, watching).await;
    assert_eq!(run.state(), State::Succeeded);
    assert!(message::text_of(run.output.as_ref()).contains("found"));
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].0, calls[1].0, "the id is the idempotency key");
    assert!(calls[0].1 < calls[1].1, "the attempt fences the older one");
}

fn is_running(event: &Event) -> bool {
    use v1::tool_call_update::State::Running;
    matches!(event, Event::ToolCallUpdated(update) if update.state() == Running)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_call_that_may_run_once_the_model_is_told_that_its_outcome_is_unknown() {
    let server = Server::start().await;
    let (tasks, begun) = (TaskTracker::new(), Arc::new(AtomicUsize::new(0)));
    let (count, beginning) = (Arc::clone(&begun), Arc::new(Notify::new()));
    let begins = Arc::clone(&beginning);
    let tool = tool("pay", move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        begins.notify_one();
        async {
            std::future::pending::<()>().await;
            "paid"
        }
    });
    serve(&tasks, server.client(), tool.clone());
    let run = server
        .create(spec("script:tools-1", vec![tool.hosted()]))
        .await;
    let (watching, mut told) = watch(server.client(), &run.id);
    until(&mut told, is_running).await;
    // It begins behind the receipt of its acceptance, which the log does not show.
    timeout(PATIENCE, beginning.notified()).await.unwrap();
    let server = server.crash().await;
    let (run, judge) = judged(server, &run.id, watching).await;
    assert_eq!(run.state(), State::Succeeded);
    let answer = message::text_of(run.output.as_ref());
    assert!(
        answer.contains("may or may not have had its effect"),
        "{answer}"
    );
    assert!(judge.reasons(&run.id).contains("OUTCOME_UNKNOWN"));
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_right_after_a_creation_was_answered_the_run_is_there_and_ends() {
    let mut server = Server::start().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let run = server
            .client()
            .create_run(spec("script:echo", vec![]))
            .await;
        runs.push(run.unwrap().id);
        server = server.crash().await;
    }
    for run_id in &runs {
        let ended = server.end_of(run_id).await;
        assert_eq!(ended.state(), State::Succeeded);
    }
    let folder = server.end().await;
    Judge::of(&export(folder.path()).await).check_all();
}

/// Runs with tools of both kinds, and a server that is killed again and again: nothing is lost, and what
/// may run once does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_the_server_is_killed_every_run_ends_and_no_effect_comes_twice() {
    const RUNS: usize = 12;
    const KILLS: usize = 4;
    let mut server = Server::start().await;
    let (tasks, ledger) = (TaskTracker::new(), Arc::new(Mutex::new(Vec::new())));
    // Counts: payments of several runs come at once.
    let (paid, payments) = (Arc::clone(&ledger), Arc::new(Semaphore::new(0)));
    let count = Arc::clone(&payments);
    let pay = tool("pay", move |call| {
        paid.lock().unwrap().push(call.id().to_owned());
        count.add_permits(1);
        async { "paid" }
    });
    let find = tool("find", |_| async { "found" }).read_only();
    serve(&tasks, server.client(), pay.clone());
    serve(&tasks, server.client(), find.clone());
    let mut runs = Vec::new();
    for round in 0..KILLS {
        for _ in 0..RUNS / KILLS {
            let tools = vec![pay.hosted(), find.hosted()];
            let run = server.create(spec("script:tools-4", tools)).await;
            let (watching, _) = watch(server.client(), &run.id);
            runs.push((run.id, watching));
        }
        // The server is in the middle of one thing or another.
        for _ in 0..=round {
            let payment = timeout(PATIENCE, payments.acquire()).await.unwrap();
            payment.unwrap().forget();
        }
        server = server.crash().await;
    }
    let mut seen = Vec::new();
    for (run_id, watching) in runs {
        let events = timeout(PATIENCE, watching).await.unwrap().unwrap();
        let run = server.client().get_run(&run_id).await.unwrap();
        assert_eq!(run.state(), State::Succeeded, "{:?}", run.error);
        seen.push((run_id, events));
    }
    let folder = server.end().await;
    check(folder.path()).await;
    let judge = Judge::of(&export(folder.path()).await);
    judge.check_all();
    for (run_id, events) in &seen {
        judge.check_watch(run_id, events);
    }
    let mut paid = ledger.lock().unwrap().clone();
    let all = paid.len();
    paid.sort();
    paid.dedup();
    assert_eq!(paid.len(), all, "no effect came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_refuses_new_runs_and_loses_none_that_it_has_taken() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::on(folder, "127.0.0.1:0", Trouble::Blocks(512)).await;
    let client = server.client();
    let mut taken = Vec::new();
    let refused = loop {
        match client.create_run(spec("script:slow-20", vec![])).await {
            Ok(run) => taken.push(run.id),
            Err(error) => break error,
        }
        assert!(taken.len() < 1_000, "there is always room");
    };
    assert_eq!(refused.reason, "STORE_UNAVAILABLE");
    assert!(!taken.is_empty());
    for run_id in &taken {
        assert_eq!(client.get_run(run_id).await.unwrap().id, *run_id);
    }
    let server = server.crash().await;
    for run_id in &taken {
        let ended = server.end_of(run_id).await;
        assert_eq!(ended.state(), State::Succeeded, "{:?}", ended.error);
    }
    let folder = server.end().await;
    check(folder.path()).await;
    Judge::of(&export(folder.path()).await).check_all();
}

#[tokio::test]
async fn a_data_directory_has_one_server_and_the_second_one_says_so() {
    let server = Server::start().await;
    let second = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.folder.path().join("data"))
        .env_clear()
        .env("RUNWIRE__STORE__KIND", "sqlite")
        .output();
    let second = timeout(PATIENCE, second).await.unwrap().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        said.contains("belongs to another server that runs"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_in_its_thread_waits_on_after_a_crash_and_has_its_turn() {
    let server = Server::start().await;
    // The first one waits for its tool.
    let tool = tool("find", |_| async { "found" }).idempotent();
    let first = server
        .create(spec("script:tools-1", vec![tool.hosted()]))
        .await;
    let next = v1::RunSpec {
        continuation: Some(v1::run_spec::Continuation::ThreadId(
            first.thread_id.clone(),
        )),
        busy_policy: v1::run_spec::BusyPolicy::Enqueue.into(),
        ..spec("script:demo", Vec::new())
    };
    let next = server.create(next).await;
    assert_eq!(next.state(), State::Queued);
    let server = server.crash().await;
    let tasks = TaskTracker::new();
    serve(&tasks, server.client(), tool);
    let next = server.end_of(&next.id).await;
    assert_eq!(next.state(), State::Succeeded);
    let first = server.end_of(&first.id).await;
    assert_eq!(next.previous_run_id, first.id);
    let ended = |run: &v1::Run| run.end_time.map(|time| (time.seconds, time.nanos));
    assert!(ended(&first) <= ended(&next));
    check(server.end().await.path()).await;
}
