//! Which host takes a call, and which call takes a free place.

use super::*;
use crate::domain::call::StopReason;

#[test]
fn a_call_goes_to_a_host_that_offers_its_tool() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search"], 4));
    desk.host(2, hello("b", &["mail"], 4));
    desk.assign(7, "c1", &tool("mail"), any());
    assert_eq!(desk.effects(), ["r7 c1/1 at b", "s2 assign c1/1"]);
}

#[test]
fn the_same_delivery_again_changes_nothing() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search"], 4));
    desk.assign(7, "c1", &tool("search"), any());
    desk.effects();
    desk.assign(7, "c1", &tool("search"), any());
    assert_eq!(desk.effects(), [""; 0]);
}

#[test]
fn the_window_bounds_what_is_outstanding_and_a_release_lets_the_next_one_in() {
    let mut desk = Desk::new();
    let ticket = desk.host(1, hello("a", &["search"], 2));
    for call in ["c1", "c2", "c3", "c4"] {
        desk.assign(7, call, &tool("search"), any());
    }
    let first = [
        "r7 c1/1 at a",
        "s1 assign c1/1",
        "r7 c2/1 at a",
        "s1 assign c2/1",
    ];
    assert_eq!(desk.effects(), first);
    desk.accept(ticket, "c1");
    assert_eq!(desk.effects(), [""; 0], "an accepted call keeps its place");
    desk.book.release(&delivery("c2"));
    assert_eq!(desk.effects(), ["r7 c3/1 at a", "s1 assign c3/1"]);
    desk.book.release(&delivery("c1"));
    assert_eq!(desk.effects(), ["r7 c4/1 at a", "s1 assign c4/1"]);
}

#[test]
fn runs_take_turns_at_a_busy_host() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search"], 1));
    desk.assign(1, "first", &tool("search"), any());
    for call in ["a1", "a2", "a3"] {
        desk.assign(1, call, &tool("search"), any());
    }
    desk.assign(2, "b1", &tool("search"), any());
    desk.effects();
    let mut order = Vec::new();
    let mut at = "first".to_owned();
    for _ in 0..4 {
        desk.book.release(&delivery(&at));
        let assigned = desk.effects().pop().unwrap();
        at = assigned.split([' ', '/']).nth(2).unwrap().to_owned();
        order.push(at.clone());
    }
    assert_eq!(order, ["a1", "b1", "a2", "a3"]);
}

#[test]
fn of_two_tools_the_call_that_has_waited_longer_goes_first() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search", "mail"], 1));
    desk.assign(1, "first", &tool("search"), any());
    desk.assign(2, "m1", &tool("mail"), any());
    desk.assign(3, "s1", &tool("search"), any());
    desk.effects();
    desk.book.release(&delivery("first"));
    assert_eq!(desk.effects(), ["r2 m1/1 at a", "s1 assign m1/1"]);
}

#[test]
fn no_call_waits_while_a_host_has_room() {
    let mut desk = Desk::new();
    for (address, id) in [(1, "a"), (2, "b"), (3, "c")] {
        desk.host(address, hello(id, &["search"], 10));
    }
    for call in 0..31 {
        desk.assign(7, &format!("c{call}"), &tool("search"), any());
    }
    let effects = desk.effects();
    for address in 1..=3 {
        let prefix = format!("s{address} assign");
        let taken = effects.iter().filter(|e| e.starts_with(&prefix)).count();
        assert_eq!(taken, 10, "session {address}");
    }
}

#[test]
fn load_spreads_by_the_share_of_the_window() {
    let mut desk = Desk::new();
    desk.host(1, hello("small", &["search"], 100));
    desk.host(2, hello("large", &["search"], 300));
    for call in 0..200 {
        desk.assign(7, &format!("c{call}"), &tool("search"), any());
    }
    let effects = desk.effects();
    let small = effects.iter().filter(|e| e.starts_with("s1")).count();
    // Even shares would be 50; two draws may fall on one host.
    assert!((30..=80).contains(&small), "{small} of 200");
}

#[test]
fn a_call_for_one_host_waits_for_that_host() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search"], 4));
    desk.assign(7, "c1", &tool("search"), only("b"));
    assert_eq!(desk.effects(), [""; 0]);
    desk.host(2, hello("b", &["search"], 4));
    assert_eq!(desk.effects(), ["r7 c1/1 at b", "s2 assign c1/1"]);
}

#[test]
fn labels_choose_among_the_hosts() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search"], 4).with_label("zone", "north"));
    desk.assign(7, "c1", &tool("search"), labelled("zone", "south"));
    assert_eq!(desk.effects(), [""; 0]);
    desk.host(2, hello("b", &["search"], 4).with_label("zone", "south"));
    assert_eq!(desk.effects(), ["r7 c1/1 at b", "s2 assign c1/1"]);
}

#[test]
fn a_run_stays_with_the_host_of_its_first_call() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["repl"], 4));
    desk.assign(7, "c0", &tool("repl"), sticky());
    desk.effects();
    desk.host(2, hello("b", &["repl"], 100));
    for call in ["c1", "c2", "c3"] {
        desk.assign(7, call, &tool("repl"), sticky());
    }
    let assigned: Vec<_> = desk
        .effects()
        .into_iter()
        .filter(|e| e.starts_with('s'))
        .collect();
    assert_eq!(
        assigned,
        ["s1 assign c1/1", "s1 assign c2/1", "s1 assign c3/1"]
    );
    desk.assign(7, "c4", &tool("repl"), sticky());
    assert_eq!(desk.effects(), [""; 0], "full: the run waits for it");
    desk.book.release(&delivery("c2"));
    assert_eq!(desk.effects(), ["r7 c4/1 at a", "s1 assign c4/1"]);
}

#[test]
fn a_run_whose_host_drains_or_goes_is_free_to_choose_again() {
    let mut desk = Desk::new();
    let a = desk.host(1, hello("a", &["repl"], 1));
    desk.assign(7, "c0", &tool("repl"), sticky());
    desk.host(2, hello("b", &["repl"], 1));
    desk.assign(7, "c1", &tool("repl"), sticky());
    desk.effects();
    desk.book.update(a, None, Some(0), None);
    assert_eq!(desk.effects(), ["r7 c1/1 at b", "s2 assign c1/1"]);

    let mut desk = Desk::new();
    let a = desk.host(1, hello("a", &["repl"], 1));
    desk.assign(7, "c0", &tool("repl"), sticky());
    desk.host(2, hello("b", &["repl"], 1));
    desk.assign(7, "c1", &tool("repl"), sticky());
    desk.effects();
    desk.book.lost(desk.now, a);
    desk.wait(29);
    assert_eq!(desk.effects(), [""; 0], "it may come back");
    desk.wait(1);
    assert_eq!(
        desk.effects(),
        ["r7 c0/1 not begun", "r7 c1/1 at b", "s2 assign c1/1"]
    );
}

#[test]
fn only_the_version_that_the_model_saw_will_do() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search@1"], 4));
    desk.host(2, hello("b", &["search@2"], 4));
    desk.assign(7, "c1", &tool("search@2"), any());
    assert_eq!(desk.effects(), ["r7 c1/1 at b", "s2 assign c1/1"]);
    desk.assign(7, "c2", &tool("search@3"), any());
    assert_eq!(desk.effects(), ["r7 c2/1 changed"]);
    desk.assign(7, "c3", &tool("search@2#other words"), any());
    assert_eq!(
        desk.effects(),
        ["r7 c3/1 changed"],
        "one version, other bytes"
    );
    desk.assign(7, "c4", &tool("search@2"), only("a"));
    assert_eq!(
        desk.effects(),
        ["r7 c4/1 changed"],
        "that host has another one"
    );
}

#[test]
fn a_waiting_call_hears_that_its_version_has_gone() {
    let mut desk = Desk::new();
    let old = desk.host(1, hello("old", &["search@1"], 0));
    desk.assign(7, "c1", &tool("search@1"), any());
    desk.host(2, hello("new", &["search@2"], 4));
    assert_eq!(desk.effects(), [""; 0], "the old host may raise its window");
    desk.book.half_close(old);
    assert_eq!(desk.effects(), ["r7 c1/1 changed", "s1 ends well"]);
}

#[test]
fn a_waiting_call_hears_that_another_version_has_come() {
    let mut desk = Desk::new();
    desk.assign(7, "c1", &tool("search@1"), any());
    assert_eq!(
        desk.effects(),
        [""; 0],
        "nobody offers anything of that name"
    );
    desk.host(1, hello("a", &["search@2"], 4));
    assert_eq!(desk.effects(), ["r7 c1/1 changed"]);
}

#[test]
fn a_waiting_call_is_withdrawn_and_an_assigned_one_cancelled() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search"], 1));
    desk.assign(7, "c1", &tool("search"), any());
    desk.assign(7, "c2", &tool("search"), any());
    desk.effects();
    desk.book.cancel(&delivery("c2"), StopReason::RunCancelled);
    desk.book.cancel(&delivery("c1"), StopReason::Timeout);
    assert_eq!(
        desk.effects(),
        ["r7 c2/1 withdrawn", "s1 cancel c1/1 TIMEOUT"]
    );
    desk.book.cancel(&delivery("c3"), StopReason::Timeout);
    desk.book.release(&delivery("c1"));
    assert_eq!(desk.effects(), [""; 0]);
}

#[test]
fn a_waiting_call_that_is_released_is_never_assigned() {
    let mut desk = Desk::new();
    desk.assign(7, "c1", &tool("search"), any());
    desk.assign(7, "c2", &tool("search"), any());
    desk.book.release(&delivery("c1"));
    desk.host(1, hello("a", &["search"], 4));
    assert_eq!(desk.effects(), ["r7 c2/1 at a", "s1 assign c2/1"]);
}
