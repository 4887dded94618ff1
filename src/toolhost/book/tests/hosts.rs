//! Who may host what, and what a registration changes.

use super::*;
use crate::domain::{fault::Reason, principal::Scope};

#[track_caller]
fn refused(outcome: Result<(Ticket, Vec<(String, Fault)>), Fault>, reason: Reason) -> Fault {
    let fault = outcome.unwrap_err();
    assert_eq!(fault.reason, reason);
    fault
}

#[test]
fn bad_tools_are_refused_one_by_one_and_the_rest_is_live() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search@1"], 4));
    let who = Principal {
        host_tools: vec!["search".into(), "mail".into()],
        ..principal("bob")
    };
    let mut greeting = hello("b", &["search@1#other", "mail", "mail", "bank"], 4);
    let broken = Fault::new(Reason::SchemaInvalid, "no schema");
    greeting.tools.push(Err(("broken".into(), broken)));
    let (_, rejected) = desk.book.connect(desk.now, &who, greeting, 2).unwrap();
    let rejected: Vec<_> = rejected
        .iter()
        .map(|(name, fault)| (name.as_str(), fault.reason))
        .collect();
    let expected = [
        ("search", Reason::VersionConflict),
        ("mail", Reason::InvalidRequest),
        ("bank", Reason::PermissionDenied),
        ("broken", Reason::SchemaInvalid),
    ];
    assert_eq!(rejected, expected);
    desk.assign(7, "c1", &tool("mail"), any());
    assert_eq!(desk.effects(), ["r7 c1/1 at b", "s2 assign c1/1"]);
}

#[test]
fn a_host_id_belongs_to_the_principal_that_used_it_first() {
    let mut desk = Desk::new();
    desk.connect(1, "ann", hello("a", &["search"], 4)).unwrap();
    let fault = refused(
        desk.connect(2, "bob", hello("a", &[], 4)),
        Reason::PermissionDenied,
    );
    assert!(!fault.message.contains("ann"));
    assert_eq!(desk.effects(), [""; 0], "the older stream is untouched");
}

#[test]
fn a_host_id_is_free_again_once_its_host_is_forgotten() {
    let mut desk = Desk::new();
    let (ticket, _) = desk.connect(1, "ann", hello("a", &[], 4)).unwrap();
    desk.book.lost(desk.now, ticket);
    desk.wait(29);
    refused(
        desk.connect(2, "bob", hello("a", &[], 4)),
        Reason::PermissionDenied,
    );
    desk.wait(1);
    desk.connect(3, "bob", hello("a", &[], 4)).unwrap();
}

#[test]
fn tenants_do_not_meet() {
    let mut desk = Desk::new();
    let other = Principal {
        tenant: Tenant::parse("other").unwrap(),
        ..Principal::anonymous()
    };
    let greeting = hello("a", &["search#theirs"], 4);
    let (theirs, _) = desk.book.connect(desk.now, &other, greeting, 9).unwrap();
    desk.host(1, hello("a", &["search#ours"], 4));
    desk.assign(7, "c1", &tool("search#ours"), any());
    assert_eq!(desk.effects(), ["r7 c1/1 at a", "s1 assign c1/1"]);
    desk.assign(7, "c2", &tool("search#theirs"), any());
    assert_eq!(desk.effects(), ["r7 c2/1 changed"]);
    assert_eq!(desk.book.list(&other.tenant)[0].0.description, "theirs");
    let routed = desk.book.report(theirs, &delivery("c1"), &Report::Accepted);
    assert_eq!(routed, super::super::Routed::Late);
    let routed = desk
        .book
        .report_alone(&other, &delivery("c1"), &Report::Accepted);
    assert_eq!(routed.unwrap(), super::super::Routed::Late);
}

#[test]
fn a_host_needs_the_scope() {
    let mut desk = Desk::new();
    let who = Principal {
        scopes: vec![Scope::RunsWrite],
        ..Principal::anonymous()
    };
    let outcome = desk.book.connect(desk.now, &who, hello("a", &[], 4), 1);
    refused(outcome, Reason::PermissionDenied);
}

#[test]
fn hosts_tools_and_listed_calls_are_bounded() {
    let settings = Settings {
        max_hosts_per_tenant: 1,
        max_tools_per_host: 1,
        max_window: 1,
        ..Settings::default()
    };
    let mut desk = Desk::with(settings);
    let many = hello("a", &["search", "mail"], 4);
    refused(desk.connect(1, "ann", many), Reason::InvalidRequest);
    let many = hello("a", &[], 4).with_calls(&["c1", "c2", "c3"]);
    refused(desk.connect(1, "ann", many), Reason::InvalidRequest);
    desk.connect(1, "ann", hello("a", &["search"], 4)).unwrap();
    refused(
        desk.connect(2, "ann", hello("b", &[], 4)),
        Reason::ServerOverloaded,
    );
    desk.connect(3, "ann", hello("a", &["search"], 4)).unwrap();
    desk.effects();
    desk.assign(7, "c1", &tool("search"), any());
    desk.assign(7, "c2", &tool("search"), any());
    assert_eq!(
        desk.effects(),
        ["r7 c1/1 at a", "s3 assign c1/1"],
        "window 1, not 4"
    );
}

#[test]
fn an_update_of_the_window_counts_at_once() {
    let mut desk = Desk::new();
    let ticket = desk.host(1, hello("a", &["search"], 0));
    for call in ["c1", "c2", "c3"] {
        desk.assign(7, call, &tool("search"), any());
    }
    assert_eq!(desk.effects(), [""; 0]);
    desk.book.update(ticket, None, Some(2), None);
    assert_eq!(desk.effects().len(), 4, "two assigned");
    desk.book.update(ticket, None, Some(1), None);
    desk.book.release(&delivery("c1"));
    assert_eq!(desk.effects(), [""; 0], "one is out, one may be");
    desk.book.release(&delivery("c2"));
    assert_eq!(desk.effects(), ["r7 c3/1 at a", "s1 assign c3/1"]);
}

#[test]
fn an_update_of_the_tools_replaces_them_all() {
    let mut desk = Desk::new();
    let who = Principal::anonymous();
    let ticket = desk.host(1, hello("a", &["search", "mail@1"], 4));
    let tools = vec![Ok(tool("mail@2")), Ok(tool("mail@2#twice"))];
    let rejected = desk.book.update(ticket, Some(&who), None, Some(tools));
    assert_eq!(rejected.len(), 1);
    desk.assign(7, "c1", &tool("mail@2"), any());
    assert_eq!(desk.effects(), ["r7 c1/1 at a", "s1 assign c1/1"]);
    desk.assign(7, "c2", &tool("mail@1"), any());
    desk.assign(7, "c3", &tool("search"), any());
    assert_eq!(
        desk.effects(),
        ["r7 c2/1 changed"],
        "nobody has another search"
    );
}

#[test]
fn a_host_alone_may_change_what_its_version_means() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search#old"], 4));
    desk.host(2, hello("a", &["search#new"], 4));
    desk.effects();
    desk.assign(7, "c1", &tool("search#new"), any());
    assert_eq!(desk.effects(), ["r7 c1/1 at a", "s2 assign c1/1"]);
}

#[test]
fn a_draining_server_tells_its_hosts_and_takes_no_new_ones() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search"], 4));
    desk.book.go_away(Duration::from_secs(20));
    assert_eq!(desk.effects(), ["s1 go away 20"]);
    refused(
        desk.connect(2, "ann", hello("b", &[], 4)),
        Reason::ServerDraining,
    );
    desk.assign(7, "c1", &tool("search"), any());
    assert_eq!(
        desk.effects(),
        ["r7 c1/1 at a", "s1 assign c1/1"],
        "runs go on"
    );
    desk.book.close();
    assert_eq!(desk.effects(), ["s1 ends SERVER_DRAINING"]);
}
