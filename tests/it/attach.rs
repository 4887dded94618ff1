//! A run's own stream.

use runwire::{config::Config, pb::v1};
use tonic::Code;
use v1::{attach_run_request, attach_run_start::Target, run::State, run_event::Event};

use crate::harness::{
    Server, accepted, assert_fails, attach, attached, create, idempotent, last_run, outcome,
    output, result, run_message, spec, start_run, tool, watch_all,
};

fn again(run_id: &str, host_id: &str) -> v1::AttachRunStart {
    v1::AttachRunStart {
        target: Some(Target::RunId(run_id.to_owned())),
        host_id: host_id.to_owned(),
        ..v1::AttachRunStart::default()
    }
}

fn start(start: v1::AttachRunStart) -> attach_run_request::Message {
    attach_run_request::Message::Start(start)
}

#[tokio::test(start_paused = true)]
async fn a_run_with_tools_ends_on_its_stream() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let run = spec("fake:tools-3", vec![attached(tool("t"))]);
    let mut stream = attach(&mut client, create(run)).await.unwrap();
    let started = stream.started().await;
    assert_eq!(
        started.session.unwrap().heartbeat_interval.unwrap().seconds,
        15
    );
    let mut events = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..3 {
        let call = stream.assignment(&mut events).await;
        stream.report(&call, accepted()).await;
        calls.push(call);
    }
    // Answered in the other order; the model gets them in the order of its calls.
    for call in calls.iter().rev() {
        let arguments = &call.call.as_ref().unwrap().arguments_json;
        stream.report(call, result(arguments)).await;
    }
    events.extend(stream.finish().await.unwrap());
    let run = last_run(&events).unwrap();
    assert_eq!(run.state(), State::Succeeded);
    assert_eq!(output(&run), r#"{"n":0}|{"n":1}|{"n":2}"#);
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert!(sequences.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_too_is_shown_as_it_grows() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut stream = attach(&mut client, create(spec("fake:slow", vec![])))
        .await
        .unwrap();
    let events = stream.finish().await.unwrap();
    let grew = |event: &v1::RunEvent| matches!(event.event, Some(Event::MessageDelta(_)));
    // The fifth piece comes together with the whole message, which takes its place.
    assert_eq!(events.iter().filter(|event| grew(event)).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn half_close_is_not_cancel() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut stream = attach(&mut client, create(spec("fake:slow", vec![])))
        .await
        .unwrap();
    stream.started().await;
    stream.half_close();
    let run = last_run(&stream.finish().await.unwrap()).unwrap();
    assert_eq!(output(&run), "abcde");
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_caller_never_half_closes_ends_with_its_run() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut stream = attach(&mut client, create(spec("fake:text", vec![])))
        .await
        .unwrap();
    let before = tokio::time::Instant::now();
    stream.finish().await.unwrap();
    assert!(stream.said.is_some());
    assert_eq!(before.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_stream_does_not_lose_the_run() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut stream = attach(&mut client, create(spec("fake:slow", vec![])))
        .await
        .unwrap();
    let run_id = stream.started().await.run.unwrap().id;
    drop(stream);
    assert_eq!(output(&outcome(&mut client, &run_id).await), "abcde");
}

#[tokio::test(start_paused = true)]
async fn a_detached_run_is_watched_to_its_end_by_another() {
    let server = Server::start().await;
    let mut creator = server.runs().await;
    let run = spec("fake:tools-1", vec![attached(idempotent("t"))]);
    let mut stream = attach(&mut creator, create(run)).await.unwrap();
    let run_id = stream.started().await.run.unwrap().id;
    let call = stream.assignment(&mut Vec::new()).await;
    stream.report(&call, accepted()).await;
    drop(stream);
    drop(creator);

    let mut other = server.runs().await;
    let mut stream = attach(&mut other, start(again(&run_id, "client-2")))
        .await
        .unwrap();
    let call = stream.assignment(&mut Vec::new()).await;
    assert_eq!(call.attempt, 2);
    stream.report(&call, result("from another")).await;
    let run = last_run(&stream.finish().await.unwrap()).unwrap();
    assert_eq!(output(&run), "from another");
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_cancel_cancels_the_run_after_the_grace() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut first = create(spec("fake:hang", vec![]));
    if let attach_run_request::Message::Start(start) = &mut first {
        start.set_on_disconnect(v1::attach_run_start::DisconnectPolicy::Cancel);
    }
    let mut stream = attach(&mut client, first).await.unwrap();
    let run_id = stream.started().await.run.unwrap().id;
    let before = tokio::time::Instant::now();
    drop(stream);
    assert_eq!(
        outcome(&mut client, &run_id).await.state(),
        State::Cancelled
    );
    assert!(before.elapsed().as_secs() >= 30);
    assert_eq!(server.models.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_resumes_from_where_it_stood() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let run = spec("fake:twice", vec![attached(idempotent("t"))]);
    let mut stream = attach(&mut client, create(run)).await.unwrap();
    let run_id = stream.started().await.run.unwrap().id;
    let mut events = Vec::new();
    let call = stream.assignment(&mut events).await;
    stream.report(&call, accepted()).await;
    drop(stream);

    let last = events.last().map_or(0, |event| event.sequence);
    let mut back = again(&run_id, "client-1");
    back.after_sequence = Some(last);
    back.in_flight = vec![v1::ToolCallRef {
        call_id: call.call.as_ref().unwrap().id.clone(),
        attempt: call.attempt,
    }];
    let mut stream = attach(&mut client, start(back)).await.unwrap();
    stream.started().await;
    stream.report(&call, result("one")).await;
    let second = stream.assignment(&mut events).await;
    assert_ne!(
        second.call.as_ref().unwrap().id,
        call.call.as_ref().unwrap().id
    );
    stream.report(&second, result("two")).await;
    events.extend(stream.finish().await.unwrap());
    assert_eq!(output(&last_run(&events).unwrap()), "one|two");

    let durable = |events: &[v1::RunEvent]| -> Vec<i64> {
        let kept = events.iter().filter(|event| event.event_time.is_some());
        kept.map(|event| event.sequence).collect()
    };
    let whole = watch_all(&mut client, &run_id, Some(0)).await;
    assert_eq!(durable(&events), durable(&whole));
}

#[tokio::test(start_paused = true)]
async fn a_newer_attachment_takes_over() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut older = attach(&mut client, create(spec("fake:slow", vec![])))
        .await
        .unwrap();
    let run_id = older.started().await.run.unwrap().id;
    let mut newer = attach(&mut client, start(again(&run_id, "client-1")))
        .await
        .unwrap();
    newer.started().await;
    assert_fails(older.finish().await, Code::Aborted, "SUPERSEDED");
    assert_eq!(
        output(&last_run(&newer.finish().await.unwrap()).unwrap()),
        "abcde"
    );
}

#[tokio::test(start_paused = true)]
async fn a_finished_run_is_attached_to_and_replayed() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let run = start_run(&mut client, spec("fake:text", vec![])).await;
    outcome(&mut client, &run.id).await;
    let mut back = again(&run.id, "client-1");
    back.after_sequence = Some(0);
    let mut stream = attach(&mut client, start(back)).await.unwrap();
    assert!(stream.started().await.session.is_none());
    assert_eq!(
        output(&last_run(&stream.finish().await.unwrap()).unwrap()),
        "hello"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_start_again_is_the_same_run() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let request = v1::CreateRunRequest {
        request_id: "6a1f1f4e-0d3c-4d57-9c8e-0b7d5f0a1b2c".to_owned(),
        spec: Some(spec("fake:slow", vec![])),
    };
    let first = client
        .create_run(request.clone())
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    let second = client
        .create_run(request.clone())
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    assert_eq!(first.id, second.id);
    let mut attached = create(spec("fake:slow", vec![]));
    if let attach_run_request::Message::Start(start) = &mut attached {
        start.request_id = request.request_id.to_uppercase();
    }
    let mut stream = attach(&mut client, attached).await.unwrap();
    assert_eq!(stream.started().await.run.unwrap().id, first.id);
    let other = v1::CreateRunRequest {
        spec: Some(spec("fake:text", vec![])),
        ..request
    };
    let refused = client.create_run(other).await;
    assert_fails(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_cancelled_on_its_stream() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut stream = attach(&mut client, create(spec("fake:hang", vec![])))
        .await
        .unwrap();
    stream.started().await;
    let cancellation = v1::RunCancellation {
        reason: "enough".to_owned(),
    };
    stream
        .say(run_message(attach_run_request::Message::Cancellation(
            cancellation,
        )))
        .await;
    let run = last_run(&stream.finish().await.unwrap()).unwrap();
    assert_eq!(run.state(), State::Cancelled);
    assert_eq!(run.cancel_reason, "enough");
    assert_eq!(server.models.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_stalls_nobody_else() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut client =
        v1::run_service_client::RunServiceClient::new(channel).max_decoding_message_size(64 << 20);
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let big = spec("fake:big", vec![]);
        stuck.push(attach(&mut client, create(big)).await.unwrap());
    }
    for _ in 0..20 {
        let run = start_run(&mut client, spec("fake:text", vec![])).await;
        assert_eq!(output(&outcome(&mut client, &run.id).await), "hello");
    }
    for mut stream in stuck {
        let run = last_run(&stream.finish().await.unwrap()).unwrap();
        assert_eq!(output(&run).len(), 8 << 20);
    }
}

#[tokio::test(start_paused = true)]
async fn events_only_needs_no_host_and_gets_no_calls() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut run = spec("fake:tools-1", vec![attached(tool("t"))]);
    run.agent.as_mut().unwrap().tools[0].accept_timeout = Some(prost_types::Duration {
        seconds: 0,
        nanos: 0,
    });
    let mut first = create(run);
    if let attach_run_request::Message::Start(start) = &mut first {
        start.host_id.clear();
        start.max_concurrent_calls = Some(0);
    }
    let mut stream = attach(&mut client, first).await.unwrap();
    let run = last_run(&stream.finish().await.unwrap()).unwrap();
    assert_eq!(run.state(), State::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_silent_caller_is_lost_after_three_heartbeats() {
    let mut config = Config::default();
    config.tools.grace = std::time::Duration::from_secs(5);
    let server = Server::with(config).await;
    let mut client = server.runs().await;
    let mut stream = attach(&mut client, create(spec("fake:hang", vec![])))
        .await
        .unwrap();
    let ended = stream.finish().await;
    assert_fails(ended, Code::Unavailable, "HEARTBEAT_MISSED");
}
