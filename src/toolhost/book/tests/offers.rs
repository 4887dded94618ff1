//! What models are shown.

use super::*;
use crate::domain::tool::{HostedTool, ToolBinding, ToolTarget};

fn hosted(name: &str) -> HostedTool {
    HostedTool {
        name: ToolName::parse(name).unwrap(),
        version: None,
        host_id: None,
        host_labels: BTreeMap::new(),
        affinity: Affinity::Any,
    }
}

fn binding(target: ToolTarget) -> ToolBinding {
    ToolBinding {
        target,
        timeout: None,
        accept_timeout: None,
        progress_timeout: None,
    }
}

/// The versions that are offered for one hosted tool, or nothing.
fn offered(desk: &Desk, wanted: HostedTool) -> Option<String> {
    let bindings = [binding(ToolTarget::Hosted(wanted))];
    let offers = desk.book.offer(&Tenant::default_tenant(), &bindings);
    offers.ok().map(|offers| offers[0].spec.version.clone())
}

#[test]
fn offers_stand_in_the_order_of_the_bindings() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search", "mail"], 4));
    let bindings = [
        binding(ToolTarget::Hosted(hosted("search"))),
        binding(ToolTarget::Attached(tool("read"))),
        binding(ToolTarget::Hosted(hosted("mail"))),
    ];
    let offers = desk
        .book
        .offer(&Tenant::default_tenant(), &bindings)
        .unwrap();
    let names: Vec<_> = offers
        .iter()
        .map(|offer| (offer.spec.name.as_str(), offer.binding))
        .collect();
    assert_eq!(names, [("search", 0), ("read", 1), ("mail", 2)]);
}

#[test]
fn the_first_binding_that_nobody_has_registered_is_named() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search"], 4));
    let bindings = ["search", "mail", "bank"].map(|name| binding(ToolTarget::Hosted(hosted(name))));
    let offers = desk.book.offer(&Tenant::default_tenant(), &bindings);
    assert_eq!(offers.unwrap_err(), 1);
}

#[test]
fn the_youngest_version_is_offered_unless_one_is_pinned() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search@9"], 4));
    desk.host(2, hello("b", &["search@10"], 4));
    assert_eq!(offered(&desk, hosted("search")).as_deref(), Some("10"));
    let pinned = HostedTool {
        version: Some("9".into()),
        ..hosted("search")
    };
    assert_eq!(offered(&desk, pinned).as_deref(), Some("9"));
    let of_host = HostedTool {
        host_id: Some(host_id("a")),
        ..hosted("search")
    };
    assert_eq!(offered(&desk, of_host).as_deref(), Some("9"));
    desk.host(3, hello("a", &["search@9"], 4));
    assert_eq!(
        offered(&desk, hosted("search")).as_deref(),
        Some("10"),
        "coming back makes a version no younger"
    );
}

#[test]
fn labels_narrow_what_is_offered() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search@1"], 4).with_label("zone", "north"));
    desk.host(2, hello("b", &["search@2"], 4).with_label("zone", "south"));
    let labels = |zone: &str| HostedTool {
        host_labels: BTreeMap::from([("zone".to_owned(), zone.to_owned())]),
        ..hosted("search")
    };
    assert_eq!(offered(&desk, labels("north")).as_deref(), Some("1"));
    assert_eq!(offered(&desk, labels("west")), None);
}

#[test]
fn a_host_that_has_gone_is_remembered_for_runs_in_progress() {
    let mut desk = Desk::new();
    let ticket = desk.host(1, hello("a", &["search"], 4));
    desk.book.lost(desk.now, ticket);
    desk.wait(30);
    assert_eq!(offered(&desk, hosted("search")).as_deref(), Some("1"));
    assert_eq!(desk.book.list(&Tenant::default_tenant()), []);
    assert_eq!(offered(&desk, hosted("mail")), None);
}

#[test]
fn the_list_counts_hosts_that_can_be_reached() {
    let mut desk = Desk::new();
    desk.host(1, hello("a", &["search@2", "mail"], 4));
    let b = desk.host(2, hello("b", &["search@2", "search@1"], 4));
    let list = |desk: &Desk| -> Vec<(String, String, usize)> {
        let tools = desk.book.list(&Tenant::default_tenant());
        let row = |(spec, count): (Arc<ToolSpec>, usize)| {
            (spec.name.to_string(), spec.version.clone(), count)
        };
        tools.into_iter().map(row).collect()
    };
    let row = |name: &str, version: &str, count| (name.to_owned(), version.to_owned(), count);
    let all = [
        row("mail", "1", 1),
        row("search", "1", 1),
        row("search", "2", 2),
    ];
    assert_eq!(list(&desk), all);
    desk.book.lost(desk.now, b);
    assert_eq!(list(&desk), [row("mail", "1", 1), row("search", "2", 1)]);
}

#[test]
fn every_change_of_registrations_is_announced_to_its_tenant() {
    let mut desk = Desk::new();
    let announced = |desk: &mut Desk| {
        std::iter::from_fn(|| desk.book.next_effect())
            .filter(|effect| matches!(effect, Effect::Registered(t) if t.as_str() == "default"))
            .count()
    };
    let ticket = desk.host(1, hello("a", &["search"], 4));
    assert_eq!(announced(&mut desk), 1);
    let who = Principal::anonymous();
    desk.book.update(ticket, Some(&who), None, Some(Vec::new()));
    assert_eq!(announced(&mut desk), 1);
    desk.book.half_close(ticket);
    assert_eq!(announced(&mut desk), 1);
}
