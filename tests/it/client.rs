//! The public Rust client, against a whole server in this process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use runwire::{
    client::{Backoff, Call, Client, Since, Tool, ToolError, ToolHost, message},
    pb::v1::{
        self, CompletionParams, EventDetail, RunFilter, run::State,
        stream_completion_response::Event,
    },
};
use tokio::{
    io::{DuplexStream, copy_bidirectional},
    sync::oneshot,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{harness::Server, recovery::spec};

fn client_of(server: &Server) -> Client {
    Client::in_process(server.pipe())
}

/// A client whose connections can be cut.
fn cuttable(server: &Server, cut: Arc<std::sync::Mutex<CancellationToken>>) -> Client {
    let app = Arc::clone(&server.app);
    let tasks = server.tasks.clone();
    let connect = move || -> Option<DuplexStream> {
        let (near, mut middle) = tokio::io::duplex(256 * 1024);
        let (mut far, served) = tokio::io::duplex(256 * 1024);
        let app = Arc::clone(&app);
        tasks.spawn(async move {
            let _end = app.serve(served).await;
        });
        let cut = cut.lock().unwrap().clone();
        tasks.spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut middle, &mut far) => {}
                () = cut.cancelled() => {}
            }
        });
        Some(near)
    };
    Client::over(connect)
}

/// Cuts all connections; those that follow live.
fn cut_all(cut: &std::sync::Mutex<CancellationToken>) {
    let old = std::mem::take(&mut *cut.lock().unwrap());
    old.cancel();
}

fn ask(model: &str) -> CompletionParams {
    CompletionParams {
        model: model.to_owned(),
        messages: vec![message::user("hi")],
        ..CompletionParams::default()
    }
}

fn answer(run: &v1::Run) -> String {
    assert_eq!(run.state(), State::Succeeded, "{:?}", run.error);
    message::text_of(run.output.as_ref())
}

#[tokio::test(start_paused = true)]
async fn a_completion_comes_whole_or_as_it_grows() {
    let server = Server::start().await;
    let client = client_of(&server);
    let whole = client.complete(ask("fake:text")).await.unwrap();
    assert_eq!(message::text_of(whole.message.as_ref()), "hello");
    let events: Vec<_> = client
        .stream(ask("fake:slow"))
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert!(matches!(events.first(), Some(Event::Started(_))));
    assert!(matches!(events.last(), Some(Event::Completion(_))));
    assert!(events.len() > 3);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_streamed_completion_aborts_the_model_s_call() {
    let server = Server::start().await;
    let client = client_of(&server);
    let mut events = client.stream(ask("fake:hang")).await.unwrap();
    events.next().await.unwrap().unwrap();
    assert_eq!(server.models.active(), 1);
    drop(events);
    while server.models.active() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_carries_its_reason_and_the_wrong_fields() {
    let server = Server::start().await;
    let client = client_of(&server);
    let error = client.complete(ask("nonsense")).await.unwrap_err();
    assert_eq!(error.reason, "MODEL_NAME_INVALID");
    assert_eq!(error.code, tonic::Code::InvalidArgument);
    let mut params = ask("fake:text");
    params.messages.clear();
    let error = client.complete(params).await.unwrap_err();
    assert_eq!(error.violations[0].field, "params.messages");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_completion() {
    let server = Server::start().await;
    let client = client_of(&server).with_deadline(Duration::from_secs(2));
    let error = client.complete(ask("fake:hang")).await.unwrap_err();
    assert!(
        [tonic::Code::DeadlineExceeded, tonic::Code::Cancelled].contains(&error.code),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn attached_tools_of_a_turn_run_in_parallel() {
    let server = Server::start().await;
    let tool = Tool::new("t", "", r#"{"type":"object"}"#, |call: Call| async move {
        assert!(call.id().starts_with("call_"));
        sleep(Duration::from_secs(10)).await;
        Ok("yes")
    });
    let client = client_of(&server);
    let begun = Instant::now();
    let spec = spec("fake:tools-8", vec![tool.attached()]);
    let run = client.attach(spec, vec![tool]).finish().await.unwrap();
    assert_eq!(answer(&run), ["yes"; 8].join("|"));
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_panics_or_errs_does_not_end_the_run() {
    let server = Server::start().await;
    let client = client_of(&server);
    let panics = Tool::new("t", "", r#"{"type":"object"}"#, |call: Call| async move {
        assert!(call.attempt() > 1_000, "this panic is part of the test");
        Ok("never")
    });
    let errs = Tool::new("t", "", r#"{"type":"object"}"#, |_| async {
        Err::<String, _>(ToolError::Told("no such city".to_owned()))
    });
    for (tool, expected) in [(panics, "could not be run"), (errs, "no such city")] {
        let spec = spec("fake:tools-1", vec![tool.attached()]);
        let run = client.attach(spec, vec![tool]).finish().await.unwrap();
        assert!(answer(&run).contains(expected), "{}", answer(&run));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_host_serves_runs_of_others_and_leaves_when_told() {
    let server = Server::start().await;
    let (ready, registered) = oneshot::channel();
    let ready = std::sync::Mutex::new(Some(ready));
    let (stop, stopped) = oneshot::channel::<()>();
    let tool = Tool::new("t", "", r#"{"type":"object"}"#, |call: Call| async move {
        Ok(format!("for {}", call.principal()))
    });
    let host = ToolHost::new(client_of(&server))
        .tool(tool.clone())
        .on_registered(move |registered| {
            assert!(registered.rejected_tools.is_empty());
            if let Some(ready) = ready.lock().unwrap().take() {
                ready.send(()).unwrap();
            }
        });
    let serving = server.tasks.spawn(host.serve(async {
        let _ = stopped.await;
    }));
    registered.await.unwrap();

    let client = client_of(&server);
    let tools = client.list_tools("").await.unwrap().tools;
    assert_eq!(tools[0].host_count, 1);
    let run = client
        .create_run(spec("fake:twice", vec![tool.hosted()]))
        .await
        .unwrap();
    let run = client.wait_for_run(&run.id).await.unwrap();
    assert!(answer(&run).contains("for anonymous"), "{}", answer(&run));

    stop.send(()).unwrap();
    let end = serving.await.unwrap().unwrap();
    assert_eq!(end.unfinished, 0);
}

#[tokio::test(start_paused = true)]
async fn an_attached_run_survives_the_loss_of_its_connection_and_runs_each_call_once() {
    let server = Server::start().await;
    let cut = Arc::default();
    let client = cuttable(&server, Arc::clone(&cut));
    let runs = Arc::new(AtomicUsize::new(0));
    let (count, breaker) = (Arc::clone(&runs), Arc::clone(&cut));
    let tool = Tool::new("t", "", r#"{"type":"object"}"#, move |_| {
        let (count, breaker) = (Arc::clone(&count), Arc::clone(&breaker));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            cut_all(&breaker);
            sleep(Duration::from_secs(3)).await;
            Ok("yes")
        }
    });
    let spec = spec("fake:twice", vec![tool.attached()]);
    let mut attached = client.attach(spec, vec![tool]);
    let mut newest = 0;
    while let Some(event) = attached.next().await {
        let event = event.unwrap();
        assert!(event.sequence >= newest);
        newest = event.sequence;
    }
    assert!(answer(attached.run().unwrap()).contains("yes"));
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_where_its_lost_stream_stood() {
    let server = Server::start().await;
    let cut = Arc::default();
    let client = cuttable(&server, Arc::clone(&cut));
    let run = client
        .create_run(spec("fake:slow", Vec::new()))
        .await
        .unwrap();
    let mut watch = client.watch_run(&run.id, Since::Sequence(0), EventDetail::Durable);
    let mut sequences = Vec::new();
    while let Some(event) = watch.next().await {
        sequences.push(event.unwrap().sequence);
        if sequences.len() == 2 {
            cut_all(&cut);
        }
    }
    let mut all = client_of(&server).watch_run(&run.id, Since::Sequence(0), EventDetail::Durable);
    let mut expected = Vec::new();
    while let Some(event) = all.next().await {
        expected.push(event.unwrap().sequence);
    }
    assert_eq!(sequences, expected);
}

#[tokio::test(start_paused = true)]
async fn one_watch_follows_many_runs() {
    let server = Server::start().await;
    let client = client_of(&server);
    let filter = RunFilter {
        agent_name: "a".to_owned(),
        ..RunFilter::default()
    };
    let mut feed = client.watch_runs(filter.clone(), "", EventDetail::Durable);
    feed.open().await.unwrap();
    for _ in 0..5 {
        client
            .create_run(spec("fake:text", Vec::new()))
            .await
            .unwrap();
    }
    let mut ended = 0;
    while ended < 5 {
        for event in feed.next().await.unwrap().events {
            if let Some(v1::run_event::Event::RunUpdated(run)) = event.event {
                ended += usize::from(run.state() == State::Succeeded);
            }
        }
    }
    assert!(!feed.cursor().is_empty());
    assert_eq!(client.list_runs(filter, 0, "").await.unwrap().runs.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_run_drops_the_function_that_runs_for_it() {
    struct Dropped(Option<oneshot::Sender<()>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.take().map(|dropped| dropped.send(()));
        }
    }
    let server = Server::start().await;
    let client = client_of(&server);
    let (dropped, was_dropped) = oneshot::channel();
    let dropped = std::sync::Mutex::new(Some(dropped));
    let (other, begun) = (client.clone(), Instant::now());
    let tool = Tool::new("t", "", r#"{"type":"object"}"#, move |call: Call| {
        let guard = Dropped(dropped.lock().unwrap().take());
        let client = other.clone();
        async move {
            let _guard = guard;
            client.cancel_run(call.run_id(), "enough").await.unwrap();
            sleep(Duration::from_secs(3_600)).await;
            Ok("never")
        }
    });
    let spec = spec("fake:tools-1", vec![tool.attached()]);
    let run = client.attach(spec, vec![tool]).finish().await.unwrap();
    assert_eq!(run.state(), State::Cancelled);
    assert_eq!(run.cancel_reason, "enough");
    was_dropped.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_is_given_up_after_the_backoff_s_tries() {
    let client = Client::over(|| None::<DuplexStream>);
    let begun = Instant::now();
    let error = client.get_run("run_0").await.unwrap_err();
    assert_eq!(error.code, tonic::Code::Unavailable);
    let backoff = Backoff::default();
    assert!(begun.elapsed() <= backoff.longest * backoff.tries);
}
