//! Streams that break, come back, are taken over and end.

use super::*;
use crate::{domain::call::StopReason, run::port::Inbox, toolhost::link::Link};

/// A host with three calls: `new` only assigned, `on` accepted and `stop` accepted and cancelled.
fn at_work() -> (Desk, Ticket) {
    let mut desk = Desk::new();
    let ticket = desk.host(1, hello("a", &["search"], 4));
    for call in ["new", "on", "stop"] {
        desk.assign(7, call, &tool("search"), any());
    }
    desk.accept(ticket, "on");
    desk.accept(ticket, "stop");
    desk.book
        .cancel(&delivery("stop"), StopReason::RunCancelled);
    desk.effects();
    (desk, ticket)
}

#[track_caller]
fn reconciled(listed: &[&str], expected: &[&str]) {
    // A second stream while the first is open, and one after it was lost: the same but for its end.
    for is_lost in [false, true] {
        let (mut desk, ticket) = at_work();
        if is_lost {
            desk.book.lost(desk.now, ticket);
            desk.wait(29);
            assert_eq!(desk.effects(), [""; 0]);
        }
        desk.host(2, hello("a", &["search"], 4).with_calls(listed));
        let mut expected: Vec<_> = expected.iter().map(|&line| line.to_owned()).collect();
        if !is_lost {
            expected.push("s1 ends SUPERSEDED".to_owned());
        }
        expected.sort();
        assert_eq!(
            desk.sorted(),
            expected,
            "listed {listed:?}, lost: {is_lost}"
        );
    }
}

#[test]
fn the_host_that_comes_back_is_the_authority_on_what_it_has() {
    reconciled(&["new", "on", "stop"], &["s2 cancel stop/1 RUN_CANCELLED"]);
    reconciled(
        &["new", "stop"],
        &["r7 on/1 lost a", "s2 cancel stop/1 RUN_CANCELLED"],
    );
    reconciled(
        &["on", "stop"],
        &["r7 new/1 not begun", "s2 cancel stop/1 RUN_CANCELLED"],
    );
    reconciled(
        &[],
        &["r7 new/1 not begun", "r7 on/1 lost a", "r7 stop/1 lost a"],
    );
    reconciled(
        &["new", "on", "stop", "ghost"],
        &[
            "s2 cancel ghost/1 SUPERSEDED",
            "s2 cancel stop/1 RUN_CANCELLED",
        ],
    );
}

#[test]
fn calls_that_go_on_keep_their_places_and_take_reports() {
    let (mut desk, ticket) = at_work();
    desk.book.lost(desk.now, ticket);
    let back = hello("a", &["search"], 3).with_calls(&["new", "on", "stop"]);
    let ticket = desk.host(2, back);
    desk.effects();
    desk.assign(7, "c4", &tool("search"), any());
    assert_eq!(desk.effects(), [""; 0], "the window is full");
    let routed = desk.book.report(ticket, &delivery("on"), &Report::Stopped);
    let live = super::super::Routed::Live {
        inbox: 7,
        host_id: host_id("a"),
    };
    assert_eq!(routed, live);
}

#[test]
fn the_end_of_the_grace_decides_by_acceptance() {
    let (mut desk, ticket) = at_work();
    desk.book.lost(desk.now, ticket);
    desk.wait(30);
    assert_eq!(
        desk.sorted(),
        ["r7 new/1 not begun", "r7 on/1 lost a", "r7 stop/1 lost a"]
    );
    // Whoever comes after that is told that these deliveries are over.
    desk.host(2, hello("a", &["search"], 4).with_calls(&["on"]));
    assert_eq!(desk.effects(), ["s2 cancel on/1 SUPERSEDED"]);
}

#[test]
fn a_result_without_an_acceptance_still_means_that_the_call_had_begun() {
    let (mut desk, ticket) = at_work();
    let failed = Report::Failed(Fault::new(
        crate::domain::fault::Reason::ToolFailed,
        "crash",
    ));
    desk.book.report(ticket, &delivery("new"), &failed);
    desk.book.lost(desk.now, ticket);
    desk.wait(30);
    assert!(desk.effects().contains(&"r7 new/1 lost a".to_owned()));
}

#[test]
fn an_old_stream_cannot_end_the_new_one() {
    let (mut desk, old) = at_work();
    let back = hello("a", &["search"], 4).with_calls(&["new", "on", "stop"]);
    desk.host(2, back);
    desk.effects();
    desk.book.lost(desk.now, old);
    desk.book.half_close(old);
    desk.wait(31);
    assert_eq!(desk.effects(), [""; 0]);
}

#[test]
fn a_silent_stream_is_lost_after_the_dead_time() {
    let (mut desk, ticket) = at_work();
    desk.wait(44);
    desk.book.heard(desk.now, ticket);
    desk.wait(44);
    assert_eq!(desk.effects(), [""; 0]);
    desk.wait(1);
    assert_eq!(desk.effects(), ["s1 ends HEARTBEAT_MISSED"]);
    desk.wait(30);
    assert_eq!(desk.effects().len(), 3, "the grace is over");
}

#[test]
fn a_drained_host_that_half_closes_ends_well_at_once() {
    let mut desk = Desk::new();
    let ticket = desk.host(1, hello("a", &["search"], 4));
    desk.book.update(ticket, None, Some(0), None);
    desk.book.half_close(ticket);
    assert_eq!(desk.effects(), ["s1 ends well"]);
    desk.book.lost(desk.now, ticket);
    desk.wait(30);
    assert_eq!(desk.effects(), [""; 0]);
}

#[test]
fn a_half_closed_stream_takes_nothing_and_stays_until_its_calls_are_over() {
    let (mut desk, ticket) = at_work();
    desk.book.half_close(ticket);
    desk.assign(7, "c4", &tool("search"), any());
    desk.wait(300);
    assert_eq!(desk.effects(), [""; 0], "it cannot send heartbeats");
    for call in ["new", "on"] {
        desk.book.release(&delivery(call));
    }
    assert_eq!(desk.effects(), [""; 0]);
    let who = Principal::anonymous();
    let routed = desk
        .book
        .report_alone(&who, &delivery("stop"), &Report::Stopped);
    assert!(matches!(routed, Ok(super::super::Routed::Live { .. })));
    desk.book.release(&delivery("stop"));
    assert_eq!(desk.effects(), ["s1 ends well"]);
}

#[test]
fn a_half_closed_stream_that_breaks_has_its_grace() {
    let (mut desk, ticket) = at_work();
    desk.book.half_close(ticket);
    desk.book.lost(desk.now, ticket);
    desk.wait(30);
    assert_eq!(desk.effects().len(), 3);
}

#[test]
fn only_the_holder_is_heard() {
    let (mut desk, ticket) = at_work();
    let other = desk.host(2, hello("b", &["search"], 4));
    let late = super::super::Routed::Late;
    let accepted = Report::Accepted;
    assert_eq!(desk.book.report(other, &delivery("new"), &accepted), late);
    assert_eq!(
        desk.book.report(ticket, &delivery("ghost"), &accepted),
        late
    );
    let older = Delivery {
        attempt: 2,
        ..delivery("new")
    };
    assert_eq!(desk.book.report(ticket, &older, &accepted), late);
    let bob = principal("bob");
    let alone = desk.book.report_alone(&bob, &delivery("new"), &accepted);
    let reason = crate::domain::fault::Reason::PermissionDenied;
    assert_eq!(alone.unwrap_err().reason, reason);
    let alone = desk.book.report_alone(&bob, &delivery("ghost"), &accepted);
    assert_eq!(alone.unwrap(), late);
}

// === a run's own stream ===

#[test]
fn an_attached_call_waits_for_its_runs_stream_and_goes_nowhere_else() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["read"], 4));
    desk.attach(2, 8, attachment("me", 4));
    desk.assign(7, "c1", &tool("read"), Route::Attached);
    assert_eq!(desk.effects(), [""; 0]);
    desk.attach(3, 7, attachment("me", 1));
    assert_eq!(desk.effects(), ["r7 c1/1 at me", "s3 assign c1/1"]);
    desk.assign(7, "c2", &tool("read"), Route::Attached);
    assert_eq!(desk.effects(), [""; 0], "its window is full");
    desk.book.release(&delivery("c1"));
    assert_eq!(desk.effects(), ["r7 c2/1 at me", "s3 assign c2/1"]);
}

#[track_caller]
fn attached_again(id: &str, listed: &[&str], expected: &[&str]) {
    let mut desk = Desk::new();
    let ticket = desk.attach(1, 7, attachment("me", 4));
    desk.assign(7, "new", &tool("read"), Route::Attached);
    desk.assign(7, "on", &tool("read"), Route::Attached);
    desk.accept(ticket, "on");
    desk.effects();
    let again = Attachment {
        in_flight: listed.iter().copied().map(delivery).collect(),
        ..attachment(id, 4)
    };
    desk.attach(2, 7, again);
    assert_eq!(desk.sorted(), expected, "{id}, listed {listed:?}");
}

#[test]
fn the_same_process_attaches_again_and_goes_on() {
    attached_again("me", &["new", "on"], &["s1 ends SUPERSEDED"]);
    attached_again(
        "me",
        &[],
        &[
            "r7 new/1 not begun",
            "r7 on/1 lost me",
            "s1 ends SUPERSEDED",
        ],
    );
}

#[test]
fn another_process_has_nothing_of_what_the_first_one_had() {
    attached_again(
        "other",
        &["on"],
        &[
            "r7 new/1 not begun",
            "r7 on/1 lost me",
            "s1 ends SUPERSEDED",
            "s2 cancel on/1 SUPERSEDED",
        ],
    );
}

#[track_caller]
fn detached(cancel_when_lost: bool, expected: &[&str]) {
    let mut desk = Desk::new();
    let mine = Attachment {
        cancel_when_lost,
        ..attachment("me", 4)
    };
    let ticket = desk.attach(1, 7, mine.clone());
    desk.book.lost(desk.now, ticket);
    desk.wait(29);
    let ticket = desk.attach(2, 7, mine);
    desk.wait(29);
    assert_eq!(desk.effects(), [""; 0], "it came back in time");
    desk.book.lost(desk.now, ticket);
    desk.wait(30);
    assert_eq!(desk.effects(), expected);
}

#[test]
fn a_run_is_abandoned_only_when_it_was_asked_for() {
    detached(true, &["r7 abandoned"]);
    detached(false, &[]);
}

#[test]
fn a_half_closed_attachment_can_still_be_lost() {
    let mut desk = Desk::new();
    let mine = Attachment {
        cancel_when_lost: true,
        ..attachment("me", 4)
    };
    let ticket = desk.attach(1, 7, mine);
    desk.book.half_close(ticket);
    assert_eq!(desk.effects(), ["s1 ends well"]);
    desk.wait(300);
    desk.book.lost(desk.now, ticket);
    desk.wait(30);
    assert_eq!(desk.effects(), ["r7 abandoned"]);
}

#[test]
fn a_stream_that_only_watches_may_be_silent_and_takes_no_calls() {
    let mut desk = Desk::new();
    let watcher = Attachment {
        host_id: None,
        ..attachment("me", 4)
    };
    desk.attach(1, 7, watcher);
    desk.assign(7, "c1", &tool("read"), Route::Attached);
    desk.wait(300);
    assert_eq!(desk.effects(), [""; 0]);
}

/// Beside the seat and the queue: its places in three maps.
#[test]
fn a_stream_that_waits_costs_little() {
    type Waiting = super::super::Seat<Arc<Link>, Inbox>;
    let bytes = size_of::<Waiting>() + size_of::<Link>();
    assert!(bytes < 768, "{bytes} bytes for each of very many");
}

#[test]
fn an_ended_run_leaves_nothing_behind() {
    let mut desk = Desk::new();
    desk.attach(1, 7, attachment("me", 1));
    desk.assign(7, "c1", &tool("read"), Route::Attached);
    desk.assign(7, "c2", &tool("read"), Route::Attached);
    desk.effects();
    desk.book.forget_run(RunId::from_u128(7));
    assert_eq!(desk.effects(), ["s1 ends well"]);
    assert!(desk.book.calls.is_empty());
    assert!(desk.book.seats.is_empty());
    assert!(desk.book.attached.is_empty());
    assert!(desk.book.unattached.is_empty());
    assert!(desk.book.deadlines.is_empty());
}
