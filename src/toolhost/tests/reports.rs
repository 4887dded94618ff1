//! What hosts say, and what becomes of it.

use super::*;
use crate::domain::event::Progress;

fn progress() -> Report {
    Report::Progress(Progress {
        progress: 0.5,
        total: None,
        message: String::new(),
        parts: Vec::new(),
    })
}

#[tokio::test(start_paused = true)]
async fn a_report_reaches_its_run_and_its_receipt_the_host() {
    let mut scene = Scene::new();
    let mut host = scene.connect("a");
    scene.assign("c1", any());
    assert_eq!(next(&mut host.outward).await, "assign c1");
    assert_eq!(scene.news().await.0, "c1 at a");
    for (said, news) in [
        (Report::Accepted, "c1 accepted by a"),
        (Report::Stopped, "c1 stopped by a"),
    ] {
        assert!(
            host.inward
                .receive(report("c1", said))
                .await
                .unwrap()
                .is_none()
        );
        let (seen, slip) = scene.news().await;
        assert_eq!(seen, news);
        slip.unwrap().answer(Disposition::Applied);
        assert_eq!(next(&mut host.outward).await, "receipt c1 Applied");
    }
    host.inward.receive(report("c1", progress())).await.unwrap();
    let (seen, slip) = scene.news().await;
    assert_eq!(seen, "c1 goes on by a");
    assert!(slip.is_none(), "progress has no receipt");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_nobody_waits_for_comes_back_to_be_answered_from_the_log() {
    let mut scene = Scene::new();
    let mut host = scene.connect("a");
    scene.assign("c1", any());
    assert_eq!(next(&mut host.outward).await, "assign c1");
    scene.hub.release(&delivery("c1"));
    let late = host.inward.receive(report("c1", Report::Stopped)).await;
    assert_eq!(late.unwrap(), Some((delivery("c1"), Report::Stopped)));
    host.inward.receipt(delivery("c1"), Disposition::Stale);
    assert_eq!(next(&mut host.outward).await, "receipt c1 Stale");
    let late = host.inward.receive(report("c1", progress())).await;
    assert_eq!(late.unwrap(), None, "progress has no receipt");
    assert_eq!(scene.news().await.0, "c1 at a");
    scene.no_news();
}

#[tokio::test(start_paused = true)]
async fn a_report_without_a_stream_waits_for_its_receipt() {
    let mut scene = Scene::new();
    let host = scene.connect("a");
    scene.assign("c1", any());
    drop(host);
    assert_eq!(scene.news().await.0, "c1 at a");
    let who = Principal::anonymous();
    let (hub, call) = (Arc::clone(&scene.hub), delivery("c1"));
    let told = async {
        let (news, slip) = scene.news().await;
        assert_eq!(news, "c1 stopped by a");
        slip.unwrap().answer(Disposition::Applied);
    };
    let (disposition, ()) = tokio::join!(hub.report(&who, call, Report::Stopped), told);
    assert_eq!(disposition.unwrap(), Some(Disposition::Applied));
    let unknown = hub.report(&who, delivery("ghost"), Report::Stopped).await;
    assert_eq!(unknown.unwrap(), None);
    let bob = Principal {
        name: "bob".into(),
        ..Principal::anonymous()
    };
    let fault = hub.report(&bob, delivery("c1"), Report::Stopped).await;
    assert_eq!(fault.unwrap_err().reason, Reason::PermissionDenied);
}

#[tokio::test(start_paused = true)]
async fn a_report_to_a_run_that_ends_meanwhile_is_left_to_the_log() {
    let scene = Scene::new();
    let _host = scene.connect("a");
    scene.assign("c1", any());
    let (hub, who) = (Arc::clone(&scene.hub), Principal::anonymous());
    let reported = hub.report(&who, delivery("c1"), Report::Stopped);
    tokio::pin!(reported);
    assert!(futures_util::poll!(reported.as_mut()).is_pending());
    drop(scene.mail);
    assert_eq!(reported.await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_holds_reports_back_and_loses_no_news() {
    let mut scene = Scene::with(Settings::default(), 1);
    let host = scene.connect("a");
    for call in ["c1", "c2", "c3"] {
        scene.assign(call, any());
    }
    let says = async {
        host.inward
            .receive(report("c1", Report::Accepted))
            .await
            .unwrap();
        host.inward
            .receive(report("c2", Report::Accepted))
            .await
            .unwrap();
    };
    let reads = async {
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(scene.news().await.0);
        }
        seen
    };
    let ((), seen) = tokio::join!(says, reads);
    let expected = [
        "c1 at a",
        "c2 at a",
        "c3 at a",
        "c1 accepted by a",
        "c2 accepted by a",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn progress_to_a_full_mailbox_is_dropped_and_holds_nothing_back() {
    let mut scene = Scene::with(Settings::default(), 1);
    let host = scene.connect("a");
    scene.assign("c1", any());
    for _ in 0..3 {
        host.inward.receive(report("c1", progress())).await.unwrap();
    }
    assert_eq!(scene.news().await.0, "c1 at a");
    scene.no_news();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_ended_frees_the_places_of_its_calls() {
    let scene = Scene::new();
    let host = Hello {
        window: Some(1),
        ..hello("a")
    };
    let mut host = scene.hub.connect(&Principal::anonymous(), host).unwrap();
    let (sender, gone) = mpsc::channel(1);
    drop(gone);
    let ended = Inbox::new(RunId::from_u128(8), sender);
    let tenant = Tenant::default_tenant();
    scene.hub.assign(&tenant, assignment("dead", any()), ended);
    scene.assign("c1", any());
    assert_eq!(next(&mut host.outward).await, "assign dead");
    assert_eq!(next(&mut host.outward).await, "assign c1");
}

#[tokio::test(start_paused = true)]
async fn an_update_changes_tools_and_window() {
    let mut scene = Scene::new();
    let mut host = scene.connect("a");
    let update = FromHost::Update {
        window: Some(0),
        tools: None,
    };
    host.inward.receive(update).await.unwrap();
    scene.assign("c1", any());
    scene.no_news();
    let update = FromHost::Update {
        window: Some(1),
        tools: Some(vec![
            Ok(tool("broken", r#"{"type": "objekt"}"#)),
            Ok(tool("search", "{}")),
        ]),
    };
    host.inward.receive(update).await.unwrap();
    assert_eq!(next(&mut host.outward).await, "assign c1");
    let names: Vec<_> = scene
        .hub
        .list(&Tenant::default_tenant())
        .into_iter()
        .map(|(spec, hosts)| (spec.name.to_string(), hosts))
        .collect();
    assert_eq!(names, [("search".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn the_tools_of_an_attachment_cannot_be_updated() {
    let scene = Scene::new();
    let attached = scene.attach(false);
    let update = FromHost::Update {
        window: None,
        tools: Some(Vec::new()),
    };
    let fault = attached.inward.receive(update).await.unwrap_err();
    assert_eq!(fault.reason, Reason::StreamProtocolViolation);
}

#[tokio::test(start_paused = true)]
async fn a_schema_that_is_none_keeps_its_tool_out() {
    let scene = Scene::new();
    let mut greeting = hello("a");
    greeting
        .tools
        .push(Ok(tool("broken", r#"{"type": "objekt"}"#)));
    let told = Fault::new(Reason::JsonInvalid, "no JSON");
    greeting.tools.push(Err(("worse".to_owned(), told)));
    let connected = scene
        .hub
        .connect(&Principal::anonymous(), greeting)
        .unwrap();
    let rejected: Vec<_> = connected
        .rejected
        .iter()
        .map(|(name, fault)| (name.as_str(), fault.reason))
        .collect();
    let expected = [
        ("broken", Reason::SchemaInvalid),
        ("worse", Reason::JsonInvalid),
    ];
    assert_eq!(rejected, expected);
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_noticed_by_those_who_wait_for_one() {
    let scene = Scene::new();
    let mine = scene.hub.registered(&Tenant::default_tenant());
    let theirs = scene.hub.registered(&Tenant::parse("other").unwrap());
    tokio::pin!(mine, theirs);
    assert!(futures_util::poll!(mine.as_mut()).is_pending());
    let _host = scene.connect("a");
    assert!(futures_util::poll!(mine.as_mut()).is_ready());
    assert!(futures_util::poll!(theirs.as_mut()).is_pending());
}

#[tokio::test(start_paused = true)]
async fn arguments_are_checked_against_the_tools_schema() {
    let scene = Scene::new();
    let tool = tool("search", r#"{"required": ["query"]}"#);
    let good = JsonText::parse_object(r#"{"query": "x"}"#).unwrap();
    let bad = JsonText::parse_object("{}").unwrap();
    assert_eq!(scene.hub.check(&tool, &good), Ok(()));
    let fault = scene.hub.check(&tool, &bad).unwrap_err();
    assert_eq!(fault.reason, Reason::ArgumentsInvalid);
}
