//! What happens to streams.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_carries_heartbeats_until_its_host_is_silent_for_too_long() {
    let scene = Scene::new();
    let Connected {
        inward,
        mut outward,
        ..
    } = scene.connect("a");
    assert_eq!(next(&mut outward).await, "heartbeat");
    assert_eq!(next(&mut outward).await, "heartbeat");
    inward.receive(FromHost::Heartbeat).await.unwrap();
    for _ in 0..2 {
        assert_eq!(next(&mut outward).await, "heartbeat");
    }
    let mut last = next(&mut outward).await;
    if last == "heartbeat" {
        last = next(&mut outward).await;
    }
    assert_eq!(last, "HEARTBEAT_MISSED");
    assert_eq!(next(&mut outward).await, "end");
    let fault = inward.receive(FromHost::Heartbeat).await.unwrap_err();
    assert_eq!(fault.reason, Reason::HeartbeatMissed);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_puts_the_heartbeat_off() {
    let scene = Scene::new();
    let mut outward = scene.connect("a").outward;
    advance(Duration::from_secs(14)).await;
    scene.assign("c1", any());
    assert_eq!(next(&mut outward).await, "assign c1");
    let before = tokio::time::Instant::now();
    assert_eq!(next(&mut outward).await, "heartbeat");
    assert_eq!(before.elapsed(), Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn a_second_stream_takes_over_from_the_first() {
    let mut scene = Scene::new();
    let mut first = scene.connect("a");
    scene.assign("c1", any());
    assert_eq!(next(&mut first.outward).await, "assign c1");
    let again = Hello {
        in_flight: vec![delivery("c1")],
        ..hello("a")
    };
    let mut second = scene.hub.connect(&Principal::anonymous(), again).unwrap();
    assert_eq!(next(&mut first.outward).await, "SUPERSEDED");
    drop(first);
    advance(Duration::from_secs(31)).await;
    let accepted = report("c1", Report::Accepted);
    assert!(second.inward.receive(accepted).await.unwrap().is_none());
    assert_eq!(scene.news().await.0, "c1 at a");
    let (news, slip) = scene.news().await;
    assert_eq!(news, "c1 accepted by a");
    slip.unwrap().answer(Disposition::Applied);
    assert_eq!(next(&mut second.outward).await, "receipt c1 Applied");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_outward_half_begins_the_grace() {
    let mut scene = Scene::new();
    let connected = scene.connect("a");
    scene.assign("c1", any());
    assert_eq!(scene.news().await.0, "c1 at a");
    let lost = tokio::time::Instant::now();
    drop(connected.outward);
    assert_eq!(scene.news().await.0, "c1 not begun");
    let grace = lost.elapsed();
    assert!(grace >= Duration::from_secs(30) && grace < Duration::from_secs(31));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_cut_off_and_its_calls_are_saved() {
    let settings = Settings {
        max_window: 1,
        ..Settings::default()
    };
    let mut scene = Scene::with(settings, 64);
    let mut connected = scene.connect("a");
    scene.assign("c1", any());
    assert_eq!(scene.news().await.0, "c1 at a");
    for _ in 0..400 {
        scene.hub.cancel(&delivery("c1"), StopReason::Timeout);
    }
    let fault = connected.inward.receive(FromHost::Heartbeat).await;
    assert_eq!(fault.unwrap_err().reason, Reason::SlowReader);
    assert_eq!(next(&mut connected.outward).await, "SLOW_READER");
    assert_eq!(scene.news().await.0, "c1 not begun");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_drains_and_half_closes_ends_well_after_its_last_receipt() {
    let mut scene = Scene::new();
    let mut host = scene.connect("a");
    scene.assign("c1", any());
    assert_eq!(next(&mut host.outward).await, "assign c1");
    host.inward
        .receive(report("c1", Report::Stopped))
        .await
        .unwrap();
    host.inward.half_close();
    assert_eq!(scene.news().await.0, "c1 at a");
    let (_, slip) = scene.news().await;
    // The run may release a call before it has answered the report that ended it.
    scene.hub.release(&delivery("c1"));
    slip.unwrap().answer(Disposition::Applied);
    assert_eq!(next(&mut host.outward).await, "receipt c1 Applied");
    assert_eq!(next(&mut host.outward).await, "end");
}

#[tokio::test(start_paused = true)]
async fn a_slip_that_is_dropped_does_not_hold_the_end_up() {
    let mut scene = Scene::new();
    let mut host = scene.connect("a");
    scene.assign("c1", any());
    assert_eq!(next(&mut host.outward).await, "assign c1");
    host.inward
        .receive(report("c1", Report::Stopped))
        .await
        .unwrap();
    host.inward.half_close();
    scene.hub.release(&delivery("c1"));
    assert_eq!(scene.news().await.0, "c1 at a");
    drop(scene.news().await);
    assert_eq!(next(&mut host.outward).await, "end");
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_every_stream() {
    let scene = Scene::new();
    let mut host = scene.connect("a");
    let mut run = scene.attach(false);
    scene.hub.go_away(Duration::from_secs(30));
    assert_eq!(next(&mut host.outward).await, "go away");
    assert_eq!(next(&mut run.outward).await, "go away");
    let refused = scene.hub.connect(&Principal::anonymous(), hello("b"));
    assert_eq!(refused.unwrap_err().reason, Reason::ServerDraining);
    scene.shutdown.cancel();
    assert_eq!(next(&mut host.outward).await, "SERVER_DRAINING");
    assert_eq!(next(&mut run.outward).await, "SERVER_DRAINING");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_loses_its_stream_is_abandoned_after_the_grace() {
    let mut scene = Scene::new();
    let attached = scene.attach(true);
    let lost = tokio::time::Instant::now();
    drop(attached);
    assert_eq!(scene.news().await.0, "abandoned");
    assert!(lost.elapsed() >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn an_attached_call_runs_on_the_runs_own_stream() {
    let mut scene = Scene::new();
    scene.assign("c1", Route::Attached);
    scene.no_news();
    let mut attached = scene.attach(false);
    assert_eq!(scene.news().await.0, "c1 at me");
    assert_eq!(next(&mut attached.outward).await, "assign c1");
    scene.hub.forget_run(scene.inbox.run_id());
    assert_eq!(next(&mut attached.outward).await, "end");
}

#[tokio::test(start_paused = true)]
async fn next_can_be_cancelled_without_losing_a_command() {
    let scene = Scene::new();
    let mut outward = scene.connect("a").outward;
    {
        let waiting = outward.next();
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        scene.assign("c1", any());
    }
    assert_eq!(next(&mut outward).await, "assign c1");
}
