//! Threads: runs that go on from one another.

use std::{collections::HashMap, time::Duration};

use runwire::{domain::principal::Scope, pb::v1};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;
use v1::{
    run::State, run_service_client::RunServiceClient, run_spec::BusyPolicy, run_spec::Continuation,
    thread_service_client::ThreadServiceClient,
};

use crate::{
    harness::{
        Server, accepted, attach, attached, create, last_run, outcome, output, result, run_message,
        spec, start_run, tool, user, watch_all,
    },
    tenancy::{Bearer, tokens},
};

fn says(model: &str, text: &str) -> v1::RunSpec {
    v1::RunSpec {
        input: vec![user(text)],
        ..spec(model, Vec::new())
    }
}

fn within(thread_id: &str, model: &str, text: &str) -> v1::RunSpec {
    v1::RunSpec {
        continuation: Some(Continuation::ThreadId(thread_id.to_owned())),
        ..says(model, text)
    }
}

fn waiting(thread_id: &str, model: &str, busy: BusyPolicy) -> v1::RunSpec {
    v1::RunSpec {
        busy_policy: busy.into(),
        ..within(thread_id, model, "and")
    }
}

async fn ended(client: &mut RunServiceClient<Channel>, spec: v1::RunSpec) -> v1::Run {
    let run = start_run(client, spec).await;
    outcome(client, &run.id).await
}

async fn refused(client: &mut RunServiceClient<Channel>, spec: v1::RunSpec) -> Status {
    let request = v1::CreateRunRequest {
        spec: Some(spec),
        ..v1::CreateRunRequest::default()
    };
    client.create_run(request).await.unwrap_err()
}

/// A status' reason, and what it says beside that.
fn why(status: &Status) -> (String, HashMap<String, String>) {
    let info = status.get_details_error_info().unwrap();
    (info.reason, info.metadata)
}

async fn thread(client: &mut ThreadServiceClient<Channel>, id: &str) -> v1::Thread {
    let request = v1::GetThreadRequest {
        thread_id: id.to_owned(),
    };
    let response = client.get_thread(request).await.unwrap();
    response.into_inner().thread.unwrap()
}

/// What a thread holds, read in pages of this size.
async fn told(client: &mut ThreadServiceClient<Channel>, id: &str, page: i32) -> Vec<String> {
    let (mut texts, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListThreadMessagesRequest {
            thread_id: id.to_owned(),
            page_size: page,
            page_token,
        };
        let response = client.list_thread_messages(request).await.unwrap();
        let response = response.into_inner();
        assert!(response.messages.len() <= usize::try_from(page).unwrap());
        texts.extend(response.messages.iter().map(|message| {
            let run = v1::Run {
                output: Some(message.clone()),
                ..v1::Run::default()
            };
            format!("{:?} {}", message.role(), output(&run))
        }));
        page_token = response.next_page_token;
        if page_token.is_empty() {
            return texts;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_where_the_thread_has_ended() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let first = ended(&mut runs, says("fake:text", "Hi.")).await;
    assert!(first.thread_id.starts_with("thread_"));
    assert_eq!(first.previous_run_id, "");
    let mut second = within(&first.thread_id, "fake:hear", "And?");
    second.expected_head_run_id.clone_from(&first.id);
    second.agent.as_mut().unwrap().instructions = "Be kind.".to_owned();
    let second = ended(&mut runs, second).await;
    assert_eq!(second.thread_id, first.thread_id);
    assert_eq!(second.previous_run_id, first.id);
    let heard = "System Be kind.; User Hi.; Assistant hello; User And?";
    assert_eq!(output(&second), heard);
    // The instructions were that agent's own.
    let third = ended(&mut runs, within(&first.thread_id, "fake:hear", "Go.")).await;
    assert!(output(&third).starts_with("User Hi.; Assistant hello; User And?; Assistant System"));
    let mut threads = server.threads().await;
    let found = thread(&mut threads, &first.thread_id).await;
    assert_eq!(
        (found.head_run_id, found.active_run_id),
        (third.id, String::new())
    );
    let texts = told(&mut threads, &first.thread_id, 2).await;
    assert_eq!(texts.len(), 6);
    assert_eq!(&texts[..3], ["User Hi.", "Assistant hello", "User And?"]);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_the_caller_has_not_seen_is_refused() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let first = ended(&mut runs, says("fake:text", "Hi.")).await;
    let second = ended(&mut runs, within(&first.thread_id, "fake:text", "A")).await;
    let mut late = within(&first.thread_id, "fake:text", "B");
    late.expected_head_run_id.clone_from(&first.id);
    let status = refused(&mut runs, late).await;
    assert_eq!(status.code(), Code::Aborted);
    let (reason, metadata) = why(&status);
    assert_eq!(reason, "THREAD_HEAD_MISMATCH");
    assert_eq!(metadata["head_run_id"], second.id);
}

#[tokio::test(start_paused = true)]
async fn a_busy_thread_refuses_queues_or_gives_way() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let first = start_run(&mut runs, says("fake:hang", "Hi.")).await;
    let id = first.thread_id.as_str();
    let status = refused(&mut runs, within(id, "fake:text", "now")).await;
    assert_eq!(status.code(), Code::Aborted);
    let (reason, metadata) = why(&status);
    assert_eq!(
        (reason.as_str(), &metadata["active_run_id"]),
        ("THREAD_BUSY", &first.id)
    );
    let second = start_run(&mut runs, waiting(id, "fake:hear", BusyPolicy::Enqueue)).await;
    assert_eq!(second.state(), State::Queued);
    assert_eq!(second.start_time, None);
    let third = start_run(&mut runs, waiting(id, "fake:hear", BusyPolicy::Enqueue)).await;
    assert_eq!(third.previous_run_id, second.id);
    let mut threads = server.threads().await;
    assert_eq!(thread(&mut threads, id).await.active_run_id, first.id);

    let last = start_run(
        &mut runs,
        waiting(id, "fake:hear", BusyPolicy::CancelActive),
    )
    .await;
    let last = outcome(&mut runs, &last.id).await;
    assert_eq!(last.state(), State::Succeeded);
    // Those that never began have left nothing.
    assert_eq!(output(&last), "User Hi.; User and");
    for run in [first, second, third] {
        let run = outcome(&mut runs, &run.id).await;
        assert_eq!(run.state(), State::Cancelled);
        assert!(run.cancel_reason.contains("takes its place"));
    }
}

#[tokio::test(start_paused = true)]
async fn queued_runs_work_one_after_the_other_in_their_order() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let first = start_run(&mut runs, says("fake:slow", "Hi.")).await;
    let mut queued = Vec::new();
    for text in ["A", "B", "C"] {
        let mut spec = waiting(&first.thread_id, "fake:echo", BusyPolicy::Enqueue);
        spec.input = vec![user(text)];
        queued.push(start_run(&mut runs, spec).await);
    }
    // One that gives up its place does not let the others pass those before it.
    let cancel = v1::CancelRunRequest {
        run_id: queued[1].id.clone(),
        reason: String::new(),
    };
    let cancelled = runs.cancel_run(cancel).await.unwrap().into_inner().run;
    assert_eq!(cancelled.unwrap().state(), State::Cancelled);
    let last = outcome(&mut runs, &queued[2].id).await;
    assert_eq!(last.state(), State::Succeeded);
    let mut threads = server.threads().await;
    let texts = told(&mut threads, &first.thread_id, 50).await;
    let expected = [
        "User Hi.",
        "Assistant abcde",
        "User A",
        "Assistant A",
        "User C",
        "Assistant C",
    ];
    assert_eq!(texts, expected);
    let ended = thread(&mut threads, &first.thread_id).await;
    assert_eq!(ended.head_run_id, last.id);
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_leaves_a_thread_that_goes_on() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let failing = says("fake:fault-PROVIDER_QUOTA_EXHAUSTED", "Hi.");
    let first = ended(&mut runs, failing).await;
    assert_eq!(first.state(), State::Failed);
    // Cancelled in the middle of a call: the model is told what became of it.
    let mut called = spec("fake:tools-1", vec![attached(tool("look"))]);
    called.continuation = Some(Continuation::ThreadId(first.thread_id.clone()));
    let mut stream = attach(&mut runs, create(called)).await.unwrap();
    let mut events = Vec::new();
    let call = stream.assignment(&mut events).await;
    stream.report(&call, accepted()).await;
    stream
        .say(run_message(v1::attach_run_request::Message::Cancellation(
            v1::RunCancellation::default(),
        )))
        .await;
    events.extend(stream.finish().await.unwrap());
    assert_eq!(last_run(&events).unwrap().state(), State::Cancelled);

    let third = ended(&mut runs, within(&first.thread_id, "fake:hear", "And?")).await;
    assert_eq!(third.state(), State::Succeeded);
    assert_eq!(
        output(&third),
        "User Hi.; User go; Assistant ; Tool ; User And?"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fork_begins_after_a_run_or_in_the_middle_of_one() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let mut stream = attach(
        &mut runs,
        create(spec("fake:tools-1", vec![attached(tool("look"))])),
    )
    .await
    .unwrap();
    let run_id = stream.started().await.run.unwrap().id;
    let mut events = Vec::new();
    let call = stream.assignment(&mut events).await;
    let fork = |sequence: i64| v1::RunSpec {
        continuation: Some(Continuation::ForkPoint(v1::ForkPoint {
            run_id: run_id.clone(),
            sequence,
        })),
        ..says("fake:hear", "Else?")
    };
    // While it works: back to where no call was open.
    let early = ended(&mut runs, fork(1_000)).await;
    assert_eq!(output(&early), "User go; User Else?");
    stream.report(&call, accepted()).await;
    stream.report(&call, result("found")).await;
    events.extend(stream.finish().await.unwrap());
    let first = last_run(&events).unwrap();
    let results = events.iter().find(|event| {
        matches!(&event.event, Some(v1::run_event::Event::MessageCompleted(m))
            if m.message.as_ref().unwrap().role() == v1::Role::Tool)
    });
    let middle = ended(&mut runs, fork(results.unwrap().sequence)).await;
    assert_eq!(output(&middle), "User go; Assistant ; Tool ; User Else?");
    let after = v1::RunSpec {
        continuation: Some(Continuation::PreviousRunId(first.id.clone())),
        ..says("fake:hear", "Else?")
    };
    let after = ended(&mut runs, after).await;
    assert_eq!(
        output(&after),
        "User go; Assistant ; Tool ; Assistant found; User Else?"
    );
    assert_ne!(after.thread_id, first.thread_id);
    assert_eq!(after.previous_run_id, first.id);
    let mut threads = server.threads().await;
    assert_eq!(told(&mut threads, &middle.thread_id, 50).await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_a_run_goes_on_from_is_checked() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let first = start_run(&mut runs, says("fake:hang", "Hi.")).await;
    let from = |continuation| v1::RunSpec {
        continuation: Some(continuation),
        ..says("fake:text", "x")
    };
    let point = |run_id: &str, sequence| {
        let run_id = run_id.to_owned();
        from(Continuation::ForkPoint(v1::ForkPoint { run_id, sequence }))
    };
    let mut alone = says("fake:text", "x");
    alone.busy_policy = BusyPolicy::Enqueue.into();
    let mut headless = says("fake:text", "x");
    headless.expected_head_run_id.clone_from(&first.id);
    let nowhere = "run_00000000000000000000000000000007";
    for (spec, code, reason) in [
        (alone, Code::InvalidArgument, "INVALID_REQUEST"),
        (headless, Code::InvalidArgument, "INVALID_REQUEST"),
        (
            within("x", "fake:text", "x"),
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            point(&first.id, 0),
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            point(&first.id, -1),
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (point(nowhere, 1), Code::NotFound, "RUN_NOT_FOUND"),
        (
            from(Continuation::PreviousRunId(first.id.clone())),
            Code::Aborted,
            "THREAD_BUSY",
        ),
        (
            within("thread_00000000000000000000000000000007", "fake:text", "x"),
            Code::NotFound,
            "THREAD_NOT_FOUND",
        ),
    ] {
        let status = refused(&mut runs, spec).await;
        assert_eq!((status.code(), why(&status).0.as_str()), (code, reason));
    }
}

#[tokio::test(start_paused = true)]
async fn threads_are_listed_and_deleted() {
    let server = Server::start().await;
    let (mut runs, mut threads) = (server.runs().await, server.threads().await);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(ended(&mut runs, says("fake:text", "Hi.")).await.thread_id);
    }
    let working = start_run(&mut runs, within(&ids[0], "fake:hang", "on")).await;
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListThreadsRequest {
            page_size: 2,
            page_token,
            ..v1::ListThreadsRequest::default()
        };
        let page = threads.list_threads(request).await.unwrap().into_inner();
        seen.extend(page.threads.into_iter().map(|thread| thread.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    ids.reverse();
    assert_eq!(seen, ids);
    let filter = v1::RunFilter {
        thread_id: ids[2].clone(),
        ..v1::RunFilter::default()
    };
    let list = v1::ListRunsRequest {
        filter: Some(filter),
        ..v1::ListRunsRequest::default()
    };
    let listed = runs.list_runs(list).await.unwrap().into_inner().runs;
    assert_eq!(listed.len(), 2);

    let delete = |id: &str| v1::DeleteThreadRequest {
        thread_id: id.to_owned(),
    };
    let busy = threads.delete_thread(delete(&ids[2])).await.unwrap_err();
    assert_eq!(busy.code(), Code::FailedPrecondition);
    let (reason, metadata) = why(&busy);
    assert_eq!(
        (reason.as_str(), &metadata["active_run_id"]),
        ("THREAD_IN_USE", &working.id)
    );
    threads.delete_thread(delete(&ids[0])).await.unwrap();
    let gone = threads.delete_thread(delete(&ids[0])).await.unwrap_err();
    assert_eq!(why(&gone).0, "THREAD_NOT_FOUND");
    let wrong = threads.delete_thread(delete("x")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_thread_reads_like_one_that_is_not_there() {
    let mut config = tokens(&[("mine", "acme"), ("theirs", "other"), ("reader", "acme")]);
    config.auth.tokens[2].principal.scopes = vec![Scope::RunsRead];
    let server = Server::with(config).await;
    let channel = server.channel().await;
    let mut mine = RunServiceClient::with_interceptor(channel.clone(), Bearer("mine"));
    let request = v1::CreateRunRequest {
        spec: Some(says("fake:text", "Hi.")),
        ..v1::CreateRunRequest::default()
    };
    let run = mine.create_run(request).await.unwrap().into_inner().run;
    let id = run.unwrap().thread_id;
    let nowhere = "thread_00000000000000000000000000000007".to_owned();
    for thread_id in [id.clone(), nowhere] {
        let bearer = Bearer("theirs");
        let mut theirs = ThreadServiceClient::with_interceptor(channel.clone(), bearer);
        let get = v1::GetThreadRequest {
            thread_id: thread_id.clone(),
        };
        let list = v1::ListThreadMessagesRequest {
            thread_id: thread_id.clone(),
            ..v1::ListThreadMessagesRequest::default()
        };
        let delete = v1::DeleteThreadRequest {
            thread_id: thread_id.clone(),
        };
        let statuses = [
            theirs.get_thread(get).await.unwrap_err(),
            theirs.list_thread_messages(list).await.unwrap_err(),
            theirs.delete_thread(delete).await.unwrap_err(),
        ];
        for status in statuses {
            assert_eq!(
                (status.code(), why(&status).0.as_str()),
                (Code::NotFound, "THREAD_NOT_FOUND")
            );
        }
        let mut theirs = RunServiceClient::with_interceptor(channel.clone(), Bearer("theirs"));
        let request = v1::CreateRunRequest {
            spec: Some(within(&thread_id, "fake:text", "x")),
            ..v1::CreateRunRequest::default()
        };
        let status = theirs.create_run(request).await.unwrap_err();
        assert_eq!(why(&status).0, "THREAD_NOT_FOUND");
    }
    // To read is not to delete.
    let mut reader = ThreadServiceClient::with_interceptor(channel, Bearer("reader"));
    let get = v1::GetThreadRequest {
        thread_id: id.clone(),
    };
    assert!(reader.get_thread(Request::new(get)).await.is_ok());
    let delete = v1::DeleteThreadRequest { thread_id: id };
    let status = reader.delete_thread(delete).await.unwrap_err();
    let (reason, metadata) = why(&status);
    assert_eq!(
        (reason.as_str(), metadata["scope"].as_str()),
        ("PERMISSION_DENIED", "threads.delete")
    );
}

fn added(run_id: &str, request_id: &str, text: &str) -> v1::AddRunMessagesRequest {
    v1::AddRunMessagesRequest {
        run_id: run_id.to_owned(),
        messages: Some(v1::RunMessages {
            request_id: request_id.to_owned(),
            messages: vec![user(text)],
        }),
    }
}

const REQUEST: &str = "0190b3e2-f0c5-7a3e-9d1c-2b4a5f6e7d8c";

#[tokio::test(start_paused = true)]
async fn what_is_said_to_a_run_reaches_the_model_with_its_next_turn() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let run = start_run(&mut runs, says("fake:slow", "Hi.")).await;
    tokio::time::advance(Duration::from_millis(100)).await;
    for _ in 0..2 {
        let request = added(&run.id, REQUEST, "More.");
        let response = runs.add_run_messages(request).await.unwrap();
        assert_eq!(response.into_inner().run.unwrap().state(), State::Running);
    }
    let ended = outcome(&mut runs, &run.id).await;
    assert_eq!((ended.state(), ended.turn_count), (State::Succeeded, 2));
    let mut threads = server.threads().await;
    let texts = told(&mut threads, &run.thread_id, 50).await;
    assert_eq!(
        texts,
        [
            "User Hi.",
            "Assistant abcde",
            "User More.",
            "Assistant abcde"
        ]
    );
    let late = runs.add_run_messages(added(&run.id, "", "x")).await;
    let late = late.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition);
    assert_eq!(why(&late).0, "RUN_FINISHED");
}

#[tokio::test(start_paused = true)]
async fn what_is_said_on_the_runs_own_stream_comes_behind_the_results() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let tools = vec![attached(tool("look"))];
    let mut stream = attach(&mut runs, create(spec("fake:tools-1", tools)))
        .await
        .unwrap();
    let mut events = Vec::new();
    let call = stream.assignment(&mut events).await;
    let more = added("", REQUEST, "More.").messages.unwrap();
    stream
        .say(run_message(v1::attach_run_request::Message::Messages(more)))
        .await;
    stream.report(&call, accepted()).await;
    stream.report(&call, result("found")).await;
    // The model calls again, since the newest message is no result.
    let again = stream.assignment(&mut events).await;
    stream.report(&again, accepted()).await;
    stream.report(&again, result("found")).await;
    events.extend(stream.finish().await.unwrap());
    let run = last_run(&events).unwrap();
    assert_eq!((run.state(), run.turn_count), (State::Succeeded, 3));
    let mut threads = server.threads().await;
    let texts = told(&mut threads, &run.thread_id, 50).await;
    assert_eq!(texts[..4], ["User go", "Assistant ", "Tool ", "User More."]);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_to_a_run_is_checked() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let run = start_run(&mut runs, says("fake:hang", "Hi.")).await;
    let mut assistant = added(&run.id, "", "x");
    let messages = assistant.messages.as_mut().unwrap();
    messages.messages[0].role = v1::Role::Assistant.into();
    let mut nothing = added(&run.id, "", "x");
    nothing.messages.as_mut().unwrap().messages.clear();
    let nowhere = "run_00000000000000000000000000000007";
    let mut many = added(&run.id, "", "x");
    many.messages.as_mut().unwrap().messages = vec![user("x"); 65];
    for (request, code, reason) in [
        (assistant, Code::InvalidArgument, "INVALID_REQUEST"),
        (nothing, Code::InvalidArgument, "INVALID_REQUEST"),
        (
            added(&run.id, "x", "x"),
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (added(nowhere, "", "x"), Code::NotFound, "RUN_NOT_FOUND"),
        (many, Code::ResourceExhausted, "TOO_MANY_MESSAGES"),
    ] {
        let status = runs.add_run_messages(request).await.unwrap_err();
        assert_eq!((status.code(), why(&status).0.as_str()), (code, reason));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_has_forbidden_stays_so_in_the_runs_that_go_on() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let first = v1::RunSpec {
        policy: Some(v1::ToolPolicy {
            rules: vec![v1::PolicyRule {
                tool_glob: "look".to_owned(),
                action: v1::PolicyAction::Deny.into(),
                ..v1::PolicyRule::default()
            }],
            ..v1::ToolPolicy::default()
        }),
        ..says("fake:text", "Hi.")
    };
    let first = ended(&mut runs, first).await;
    for continuation in [
        Continuation::ThreadId(first.thread_id.clone()),
        Continuation::PreviousRunId(first.id.clone()),
    ] {
        let next = v1::RunSpec {
            continuation: Some(continuation),
            ..spec("fake:tools-1", vec![attached(tool("look"))])
        };
        // Nobody is there to run the tool: it is not asked for.
        let next = ended(&mut runs, next).await;
        assert_eq!(next.state(), State::Succeeded);
        let mut threads = server.threads().await;
        let texts = told(&mut threads, &next.thread_id, 50).await;
        assert_eq!(texts.iter().filter(|text| *text == "Tool ").count(), 1);
        let updates = watch_all(&mut runs, &next.id, Some(0)).await;
        let denied = updates.iter().any(|event| {
            matches!(&event.event, Some(v1::run_event::Event::PolicyDecided(decision))
                if decision.action() == v1::PolicyAction::Deny)
        });
        assert!(denied);
    }
}
