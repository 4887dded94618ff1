package dev.runwire;

import com.google.protobuf.Timestamp;
import dev.runwire.RunEvent.Position;
import dev.runwire.v1.MessageDelta;
import dev.runwire.v1.RunMessage;
import dev.runwire.v1.RunSnapshot;
import dev.runwire.v1.StreamCompletionResponse;
import dev.runwire.v1.ToolCallUpdate;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * Turns messages of the contract into values. What this version does not know is left out: parts,
 * events and deltas of other kinds, and values of enumerations become {@code UNKNOWN}.
 */
final class FromWire {
  private FromWire() {}

  static Message message(dev.runwire.v1.Message message) {
    return new Message(
        role(message.getRole()), parts(message.getPartsList()), message.getId(), message.getName());
  }

  static Completion completion(dev.runwire.v1.Completion completion) {
    return new Completion(
        completion.getId(),
        completion.getModel(),
        message(completion.getMessage()),
        finishReason(completion.getFinishReason()),
        completion.getProviderFinishReason(),
        usage(completion.getUsage()),
        completion.getProviderMetadataJson());
  }

  /** A piece of a completion; empty for what has nothing to say to this version. */
  static Optional<Chunk> chunk(StreamCompletionResponse response) {
    return switch (response.getEventCase()) {
      case COMPLETION -> Optional.of(new Chunk.Whole(completion(response.getCompletion())));
      case DELTA -> chunk(response.getDelta());
      default -> Optional.empty();
    };
  }

  static Run run(dev.runwire.v1.Run run) {
    Map<String, Usage> usageByModel = new HashMap<>();
    run.getUsageByModelMap().forEach((model, usage) -> usageByModel.put(model, usage(usage)));
    return new Run(
        run.getId(),
        run.getAgentName(),
        state(run.getState()),
        run.getModel(),
        run.hasOutput() ? Optional.of(message(run.getOutput())) : Optional.empty(),
        error(run.hasError(), run.getError()),
        finishReason(run.getFinishReason()),
        usage(run.getUsage()),
        usageByModel,
        run.getTurnCount(),
        run.getLastSequence(),
        run.getLabelsMap(),
        run.getCreator(),
        run.getCancelReason(),
        instant(run.hasCreateTime(), run.getCreateTime()),
        instant(run.hasStartTime(), run.getStartTime()),
        instant(run.hasEndTime(), run.getEndTime()));
  }

  static RunState state(dev.runwire.v1.Run.State state) {
    return switch (state) {
      case STATE_QUEUED -> RunState.QUEUED;
      case STATE_RUNNING -> RunState.RUNNING;
      case STATE_INPUT_REQUIRED -> RunState.INPUT_REQUIRED;
      case STATE_CANCELLING -> RunState.CANCELLING;
      case STATE_SUCCEEDED -> RunState.SUCCEEDED;
      case STATE_FAILED -> RunState.FAILED;
      case STATE_CANCELLED -> RunState.CANCELLED;
      default -> RunState.UNKNOWN;
    };
  }

  /**
   * The events of an entry of a log; none for heartbeats, and for what this version does not know.
   */
  static List<RunEvent> events(String runId, dev.runwire.v1.RunEvent event) {
    Position at =
        new Position(
            runId, event.getSequence(), instant(event.hasEventTime(), event.getEventTime()));
    return switch (event.getEventCase()) {
      case MESSAGE_DELTA -> {
        String messageId = event.getMessageDelta().getMessageId();
        yield event.getMessageDelta().getDeltasList().stream()
            .map(delta -> delta(at, messageId, delta))
            .filter(Objects::nonNull)
            .toList();
      }
      case MESSAGE_COMPLETED -> List.of(completed(at, event.getMessageCompleted()));
      case MESSAGE_DISCARDED -> {
        dev.runwire.v1.MessageDiscarded discarded = event.getMessageDiscarded();
        yield List.of(
            new RunEvent.MessageDiscarded(
                at, discarded.getMessageId(), error(discarded.hasError(), discarded.getError())));
      }
      case TOOL_CALL_UPDATED -> List.of(updated(at, event.getToolCallUpdated()));
      case RUN_UPDATED -> List.of(new RunEvent.RunUpdated(at, run(event.getRunUpdated())));
      case SNAPSHOT -> snapshot(at, event.getSnapshot());
      default -> List.of();
    };
  }

  private static List<RunEvent> snapshot(Position at, RunSnapshot snapshot) {
    if (snapshot.getRunsCount() == 0) {
      return List.of();
    }
    Position unset = new Position(at.runId(), at.sequence(), Optional.empty());
    return List.of(
        new RunEvent.Snapshot(
            at,
            run(snapshot.getRuns(0)),
            snapshot.getPartialMessagesList().stream().map(m -> completed(unset, m)).toList(),
            snapshot.getToolCallsList().stream().map(call -> updated(unset, call)).toList()));
  }

  private static RunEvent delta(Position at, String messageId, MessageDelta delta) {
    return chunk(delta)
        .<RunEvent>map(
            chunk -> {
              if (chunk instanceof Chunk.Text text) {
                return new RunEvent.TextDelta(at, messageId, text.text());
              } else if (chunk instanceof Chunk.Reasoning reasoning) {
                return new RunEvent.ReasoningDelta(at, messageId, reasoning.text());
              } else {
                return new RunEvent.ToolCallDelta(at, messageId, (Chunk.ToolCall) chunk);
              }
            })
        .orElse(null);
  }

  private static Optional<Chunk> chunk(MessageDelta delta) {
    return switch (delta.getDeltaCase()) {
      case TEXT -> Optional.of(new Chunk.Text(delta.getText()));
      case REASONING -> Optional.of(new Chunk.Reasoning(delta.getReasoning()));
      case TOOL_CALL -> {
        dev.runwire.v1.ToolCallDelta call = delta.getToolCall();
        yield Optional.of(
            new Chunk.ToolCall(
                delta.getPartIndex(), call.getId(), call.getName(), call.getArgumentsJson()));
      }
      default -> Optional.empty();
    };
  }

  private static RunEvent.MessageCompleted completed(Position at, RunMessage completed) {
    return new RunEvent.MessageCompleted(
        at,
        message(completed.getMessage()),
        finishReason(completed.getFinishReason()),
        completed.getProviderFinishReason(),
        usage(completed.getUsage()),
        completed.getModel(),
        completed.getProviderMetadataJson());
  }

  private static RunEvent.ToolCallUpdated updated(Position at, ToolCallUpdate update) {
    dev.runwire.v1.Part.Builder none = dev.runwire.v1.Part.newBuilder();
    return new RunEvent.ToolCallUpdated(
        at,
        call(update.getCall(), none.build()),
        callState(update.getState()),
        update.getAttempt(),
        update.getHostId(),
        update.hasProgress()
            ? Optional.of(
                new RunEvent.Progress(
                    update.getProgress().getProgress(),
                    update.getProgress().getTotal(),
                    update.getProgress().getMessage()))
            : Optional.empty(),
        update.hasResult()
            ? Optional.of(result(update.getResult(), none.build()))
            : Optional.empty(),
        error(update.hasError(), update.getError()));
  }

  private static List<Part> parts(List<dev.runwire.v1.Part> parts) {
    return parts.stream().map(FromWire::part).filter(Objects::nonNull).toList();
  }

  private static Part part(dev.runwire.v1.Part part) {
    return switch (part.getContentCase()) {
      case TEXT ->
          new Part.Text(part.getText(), part.getProviderState(), part.getCacheBreakpoint());
      case REASONING ->
          new Part.Reasoning(
              part.getReasoning().getText(), part.getProviderState(), part.getCacheBreakpoint());
      case MEDIA -> {
        dev.runwire.v1.Media media = part.getMedia();
        yield new Part.Media(
            media.getMediaType(),
            media.getData(),
            media.getUri(),
            media.getFilename(),
            part.getProviderState(),
            part.getCacheBreakpoint());
      }
      case TOOL_CALL -> call(part.getToolCall(), part);
      case TOOL_RESULT -> result(part.getToolResult(), part);
      default -> null;
    };
  }

  private static Part.ToolCall call(dev.runwire.v1.ToolCall call, dev.runwire.v1.Part part) {
    return new Part.ToolCall(
        call.getId(),
        call.getName(),
        call.getArgumentsJson(),
        part.getProviderState(),
        part.getCacheBreakpoint());
  }

  private static Part.ToolResult result(
      dev.runwire.v1.ToolResult result, dev.runwire.v1.Part part) {
    return new Part.ToolResult(
        result.getCallId(),
        parts(result.getPartsList()),
        result.getStructuredJson(),
        result.getIsError(),
        part.getProviderState(),
        part.getCacheBreakpoint());
  }

  private static Optional<RunwireException> error(boolean isSet, dev.runwire.v1.Error error) {
    return isSet ? Optional.of(RunwireException.fromData(error)) : Optional.empty();
  }

  private static Optional<Instant> instant(boolean isSet, Timestamp time) {
    return isSet
        ? Optional.of(Instant.ofEpochSecond(time.getSeconds(), time.getNanos()))
        : Optional.empty();
  }

  private static Usage usage(dev.runwire.v1.Usage usage) {
    return new Usage(
        usage.getInputTokens(),
        usage.getOutputTokens(),
        usage.getCacheReadTokens(),
        usage.getCacheWriteTokens(),
        usage.getReasoningTokens());
  }

  private static Role role(dev.runwire.v1.Role role) {
    return switch (role) {
      case ROLE_SYSTEM -> Role.SYSTEM;
      case ROLE_USER -> Role.USER;
      case ROLE_ASSISTANT -> Role.ASSISTANT;
      case ROLE_TOOL -> Role.TOOL;
      default -> Role.UNKNOWN;
    };
  }

  private static FinishReason finishReason(dev.runwire.v1.FinishReason reason) {
    return switch (reason) {
      case FINISH_REASON_STOP -> FinishReason.STOP;
      case FINISH_REASON_LENGTH -> FinishReason.LENGTH;
      case FINISH_REASON_TOOL_CALLS -> FinishReason.TOOL_CALLS;
      case FINISH_REASON_CONTENT_FILTER -> FinishReason.CONTENT_FILTER;
      case FINISH_REASON_OTHER -> FinishReason.OTHER;
      default -> FinishReason.UNKNOWN;
    };
  }

  private static CallState callState(ToolCallUpdate.State state) {
    return switch (state) {
      case STATE_PENDING -> CallState.PENDING;
      case STATE_RUNNING -> CallState.RUNNING;
      case STATE_INPUT_REQUIRED -> CallState.INPUT_REQUIRED;
      case STATE_SUCCEEDED -> CallState.SUCCEEDED;
      case STATE_FAILED -> CallState.FAILED;
      case STATE_CANCELLED -> CallState.CANCELLED;
      default -> CallState.UNKNOWN;
    };
  }
}
