package dev.runwire;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * Something that happened in a run.
 *
 * <p>Deltas and progress are for display, and may be merged or missed; the others are facts in the
 * run's log.
 */
public sealed interface RunEvent {
  /** The event's place. */
  Position at();

  /**
   * An event's place in the log of a run.
   *
   * @param runId the run whose log it is
   * @param sequence strictly increasing, with gaps; watch again from the last one seen
   * @param time when it happened; empty for what is only for display
   */
  record Position(String runId, long sequence, Optional<Instant> time) {}

  /**
   * A piece of an answer.
   *
   * @param at the event's place
   * @param messageId the message
   * @param text appended to it
   */
  record TextDelta(Position at, String messageId, String text) implements RunEvent {}

  /**
   * A piece of what the model thinks.
   *
   * @param at the event's place
   * @param messageId the message
   * @param text appended to it
   */
  record ReasoningDelta(Position at, String messageId, String text) implements RunEvent {}

  /**
   * A piece of a tool call that is being written.
   *
   * @param at the event's place
   * @param messageId the message
   * @param chunk the piece
   */
  record ToolCallDelta(Position at, String messageId, Chunk.ToolCall chunk) implements RunEvent {}

  /**
   * A message that is complete, and part of the conversation.
   *
   * @param at the event's place
   * @param message the message
   * @param finishReason of messages by the model: why it stopped
   * @param providerFinishReason of messages by the model: the provider's own word for that
   * @param usage of messages by the model: tokens of the turn
   * @param model the model that wrote it; may be empty
   * @param providerMetadataJson the provider's extra response fields, a JSON object; may be empty
   */
  record MessageCompleted(
      Position at,
      Message message,
      FinishReason finishReason,
      String providerFinishReason,
      Usage usage,
      String model,
      String providerMetadataJson)
      implements RunEvent {}

  /**
   * Withdraws a message that had begun: drop what was shown of it.
   *
   * @param at the event's place
   * @param messageId the message
   * @param error why
   */
  record MessageDiscarded(Position at, String messageId, Optional<RunwireException> error)
      implements RunEvent {}

  /**
   * A tool call that changed.
   *
   * @param at the event's place
   * @param call the call
   * @param state its state
   * @param attempt which delivery, from 1; 0 when it was never delivered
   * @param hostId where it runs; may be empty
   * @param progress the latest, if there is some
   * @param result what the model is told; empty before the end
   * @param error why the call failed or was cancelled
   */
  record ToolCallUpdated(
      Position at,
      Part.ToolCall call,
      CallState state,
      int attempt,
      String hostId,
      Optional<Progress> progress,
      Optional<Part.ToolResult> result,
      Optional<RunwireException> error)
      implements RunEvent {}

  /**
   * A run that changed; the last one has a terminal state.
   *
   * @param at the event's place
   * @param run the run
   */
  record RunUpdated(Position at, Run run) implements RunEvent {}

  /**
   * How things stand: forget what you have, and begin here.
   *
   * @param at the event's place
   * @param run the run
   * @param partial messages in progress, as far as they have come
   * @param calls those that are not done
   */
  record Snapshot(Position at, Run run, List<MessageCompleted> partial, List<ToolCallUpdated> calls)
      implements RunEvent {
    /** Copies the lists. */
    public Snapshot {
      partial = List.copyOf(partial);
      calls = List.copyOf(calls);
    }
  }

  /**
   * How far a tool call is.
   *
   * @param progress increases
   * @param total the value of {@code progress} when done; 0 when it is not known
   * @param message for people; may be empty
   */
  record Progress(double progress, double total, String message) {}
}
