package dev.runwire.conformance;

import dev.runwire.Completion;
import dev.runwire.FinishReason;
import dev.runwire.Part;
import dev.runwire.Run;
import dev.runwire.RunEvent;
import dev.runwire.RunStatus;
import dev.runwire.RunwireException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What was seen, as the runner wants to be told. */
final class Sights {
  private Sights() {}

  static Map<String, Object> of(RunwireException failure) {
    Map<String, Object> seen = new HashMap<>();
    seen.put("code", failure.code().name());
    seen.put("reason", failure.reason());
    seen.put("metadata", failure.metadata());
    seen.put("retry_delay", failure.retryDelay().map(Sights::seconds).orElse(null));
    return seen;
  }

  static Map<String, Object> of(Completion completion) {
    Map<String, Object> seen = new HashMap<>();
    seen.put("text", completion.text());
    seen.put("finish_reason", word(completion.finishReason()));
    addCalls(seen, completion.toolCalls());
    return seen;
  }

  static Map<String, Object> of(Run run, List<RunEvent> events) {
    Map<String, Object> seen = new HashMap<>();
    List<Part.ToolCall> calls = new ArrayList<>();
    List<String> results = new ArrayList<>();
    List<Boolean> errors = new ArrayList<>();
    List<List<Object>> progress = new ArrayList<>();
    for (RunEvent event : events) {
      if (event instanceof RunEvent.MessageCompleted completed) {
        calls.addAll(completed.message().toolCalls());
        for (Part.ToolResult result : completed.message().toolResults()) {
          results.add(result.text());
          errors.add(result.isError());
        }
      } else if (event instanceof RunEvent.ToolCallUpdated updated) {
        updated
            .progress()
            .ifPresent(
                made -> progress.add(List.of(made.progress(), made.total(), made.message())));
      }
    }
    seen.put("text", run.output());
    seen.put("status", run.status().map(Sights::word).orElse(""));
    seen.put("turns", run.turns());
    seen.put("finish_reason", word(run.finishReason()));
    seen.put("results", results);
    seen.put("errors", errors);
    seen.put("progress", progress);
    run.error().ifPresent(error -> seen.putAll(of(error)));
    addCalls(seen, calls);
    return seen;
  }

  /** The sequence numbers of the events that are facts. */
  static List<Long> durable(List<RunEvent> events) {
    return events.stream()
        .filter(event -> event.at().time().isPresent())
        .map(event -> event.at().sequence())
        .toList();
  }

  static String word(RunStatus status) {
    return status.name().toLowerCase(Locale.ROOT);
  }

  private static String word(FinishReason reason) {
    return reason.name().toLowerCase(Locale.ROOT);
  }

  private static double seconds(Duration duration) {
    return duration.toNanos() / 1e9;
  }

  private static void addCalls(Map<String, Object> seen, List<Part.ToolCall> calls) {
    seen.put("calls", calls.stream().map(Part.ToolCall::name).toList());
    seen.put("arguments", calls.stream().map(Part.ToolCall::argumentsJson).toList());
  }
}
