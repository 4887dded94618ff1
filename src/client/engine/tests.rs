use super::*;
use crate::pb::v1::ToolCall;

fn engine(window: usize) -> Engine {
    let once = Tool::new("pay", "", "{}", |_| async { Ok("paid") });
    let often = Tool::new("look", "", "{}", |_| async { Ok("seen") }).read_only();
    Engine::new(vec![once, often], window)
}

fn assign(engine: &mut Engine, tool: &str, id: &str, attempt: i32) -> Vec<&'static str> {
    let acts = engine.command(Command::Assignment(ToolCallAssignment {
        call: Some(ToolCall {
            id: id.to_owned(),
            name: tool.to_owned(),
            arguments_json: "{}".to_owned(),
        }),
        attempt,
        ..ToolCallAssignment::default()
    }));
    names(&acts)
}

fn receipt(
    engine: &mut Engine,
    id: &str,
    attempt: i32,
    disposition: Disposition,
) -> Vec<&'static str> {
    let acts = engine.command(Command::Receipt(ToolCallReceipt {
        call_id: id.to_owned(),
        attempt,
        disposition: disposition.into(),
    }));
    names(&acts)
}

fn cancel(engine: &mut Engine, id: &str, attempt: i32) -> Vec<&'static str> {
    let acts = engine.command(Command::Cancellation(ToolCallCancellation {
        call_id: id.to_owned(),
        attempt,
        reason: "RUN_CANCELLED".to_owned(),
    }));
    names(&acts)
}

fn finish(engine: &mut Engine, id: &str, attempt: i32, end: End) {
    engine.finished(&(id.to_owned(), attempt), end);
}

fn names(acts: &[Act]) -> Vec<&'static str> {
    acts.iter()
        .map(|act| match act {
            Act::Start(..) => "start",
            Act::Stop(_) => "stop",
        })
        .collect()
}

/// What goes out, as `id/attempt kind`.
fn sent(engine: &mut Engine) -> Vec<String> {
    std::iter::from_fn(|| engine.next_report())
        .map(|report| {
            let kind = match report.report.unwrap() {
                Report::Acceptance(_) => "acceptance",
                Report::Rejection(_) => "rejection",
                Report::Progress(_) => "progress",
                Report::Result(result) if result.is_error => "error result",
                Report::Result(_) => "result",
                Report::Failure(_) => "failure",
                Report::Stopped(_) => "stopped",
                Report::Question(_) => "question",
            };
            format!("{}/{} {kind}", report.call_id, report.attempt)
        })
        .collect()
}

fn done() -> End {
    End::Returned(Ok("done".into()))
}

#[test]
fn a_tool_that_runs_at_most_once_starts_only_after_the_receipt_of_its_acceptance() {
    let mut engine = engine(4);
    assert!(assign(&mut engine, "pay", "a", 1).is_empty());
    assert_eq!(sent(&mut engine), ["a/1 acceptance"]);
    assert_eq!(
        receipt(&mut engine, "a", 1, Disposition::Applied),
        ["start"]
    );
    finish(&mut engine, "a", 1, done());
    assert_eq!(sent(&mut engine), ["a/1 result"]);
    assert_eq!(engine.in_flight().len(), 1);
    assert!(receipt(&mut engine, "a", 1, Disposition::Applied).is_empty());
    assert_eq!(engine.len(), 0);
}

#[test]
fn a_read_only_tool_starts_at_once_and_its_first_receipt_does_not_end_it() {
    let mut engine = engine(4);
    assert_eq!(assign(&mut engine, "look", "a", 1), ["start"]);
    finish(&mut engine, "a", 1, done());
    assert_eq!(sent(&mut engine), ["a/1 acceptance", "a/1 result"]);
    receipt(&mut engine, "a", 1, Disposition::Applied);
    assert_eq!(engine.len(), 1);
    receipt(&mut engine, "a", 1, Disposition::Applied);
    assert_eq!(engine.len(), 0);
}

#[test]
fn a_stale_acceptance_never_starts() {
    let mut engine = engine(4);
    assign(&mut engine, "pay", "a", 1);
    assert!(receipt(&mut engine, "a", 1, Disposition::Stale).is_empty());
    assert_eq!(engine.len(), 0);
    assert!(receipt(&mut engine, "a", 1, Disposition::Applied).is_empty());
}

#[test]
fn a_new_stream_gets_everything_without_a_receipt_again_in_order() {
    let mut engine = engine(4);
    assign(&mut engine, "look", "a", 1);
    finish(
        &mut engine,
        "a",
        1,
        End::Returned(Err(ToolError::Told("no".to_owned()))),
    );
    engine.progressed(&("a".to_owned(), 1), ToolProgress::default());
    sent(&mut engine);
    receipt(&mut engine, "a", 1, Disposition::Applied);
    assign(&mut engine, "pay", "b", 1);
    engine.resend();
    let mut again = sent(&mut engine);
    again.sort();
    assert_eq!(again, ["a/1 error result", "b/1 acceptance"]);
    assert_eq!(engine.in_flight().len(), 2);
}

#[test]
fn a_duplicate_assignment_changes_nothing() {
    let mut engine = engine(4);
    assign(&mut engine, "look", "a", 1);
    sent(&mut engine);
    assert!(assign(&mut engine, "look", "a", 1).is_empty());
    assert!(sent(&mut engine).is_empty());
}

#[test]
fn a_newer_attempt_fences_the_older() {
    let mut engine = engine(1);
    assign(&mut engine, "look", "a", 1);
    sent(&mut engine);
    assert_eq!(assign(&mut engine, "look", "a", 2), ["stop", "start"]);
    assert_eq!(sent(&mut engine), ["a/2 acceptance"]);
    finish(&mut engine, "a", 1, End::Stopped);
    assert!(sent(&mut engine).is_empty());
}

#[test]
fn a_cancelled_call_is_stopped_or_answers_if_it_was_faster() {
    let mut engine = engine(4);
    for id in ["a", "b"] {
        assign(&mut engine, "look", id, 1);
        assert_eq!(cancel(&mut engine, id, 1), ["stop"]);
        assert!(cancel(&mut engine, id, 1).is_empty());
    }
    finish(&mut engine, "a", 1, End::Stopped);
    finish(&mut engine, "b", 1, done());
    assign(&mut engine, "pay", "c", 1);
    assert!(cancel(&mut engine, "c", 1).is_empty());
    assert!(cancel(&mut engine, "never-seen", 1).is_empty());
    assert_eq!(
        sent(&mut engine),
        [
            "a/1 acceptance",
            "b/1 acceptance",
            "a/1 stopped",
            "b/1 result",
            "c/1 acceptance",
            "c/1 stopped",
            "never-seen/1 stopped",
        ]
    );
    // The receipt of c's acceptance comes too late to start it.
    assert!(receipt(&mut engine, "c", 1, Disposition::Applied).is_empty());
    receipt(&mut engine, "c", 1, Disposition::Applied);
    assert_eq!(engine.len(), 2);
}

#[test]
fn what_cannot_be_run_is_rejected() {
    let mut engine = engine(1);
    assign(&mut engine, "unknown", "a", 1);
    assign(&mut engine, "look", "b", 1);
    assign(&mut engine, "look", "c", 1);
    assert_eq!(
        sent(&mut engine),
        ["a/1 rejection", "b/1 acceptance", "c/1 rejection"]
    );
    receipt(&mut engine, "a", 1, Disposition::Applied);
    receipt(&mut engine, "c", 1, Disposition::Applied);
    assert_eq!(engine.len(), 1);
}

#[test]
fn a_panic_and_a_failure_are_reported_as_failures() {
    let mut engine = engine(4);
    assign(&mut engine, "look", "a", 1);
    assign(&mut engine, "look", "b", 1);
    finish(&mut engine, "a", 1, End::Panicked);
    finish(
        &mut engine,
        "b",
        1,
        End::Returned(Err(ToolError::Failed("disk".to_owned()))),
    );
    assert_eq!(sent(&mut engine)[2..], ["a/1 failure", "b/1 failure"]);
}
