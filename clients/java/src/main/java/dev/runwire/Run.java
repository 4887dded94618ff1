package dev.runwire;

import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/**
 * A run as it stands.
 *
 * @param id the run's id
 * @param agentName the agent's name
 * @param state the state
 * @param model the model that answers now
 * @param answer the final answer, of a run that succeeded
 * @param error why it failed
 * @param finishReason why the model stopped in the last turn
 * @param usage tokens so far
 * @param usageByModel tokens so far, by model
 * @param turns model turns so far
 * @param lastSequence the newest event of its log
 * @param labels as given
 * @param creator who created it
 * @param cancelReason why it was cancelled; may be empty
 * @param createTime when it was created
 * @param startTime when its first turn began
 * @param endTime when it ended
 */
public record Run(
    String id,
    String agentName,
    RunState state,
    String model,
    Optional<Message> answer,
    Optional<RunwireException> error,
    FinishReason finishReason,
    Usage usage,
    Map<String, Usage> usageByModel,
    int turns,
    long lastSequence,
    Map<String, String> labels,
    String creator,
    String cancelReason,
    Optional<Instant> createTime,
    Optional<Instant> startTime,
    Optional<Instant> endTime) {
  /** Copies the maps. */
  public Run {
    usageByModel = Map.copyOf(usageByModel);
    labels = Map.copyOf(labels);
  }

  /** The text of the final answer; empty when there is none. */
  public String output() {
    return answer.map(Message::text).orElse("");
  }

  /** Whether the run has ended. */
  public boolean isFinished() {
    return state.isTerminal();
  }

  /** How the run ended; empty before. */
  public Optional<RunStatus> status() {
    return switch (state) {
      case SUCCEEDED -> Optional.of(RunStatus.COMPLETED);
      case CANCELLED -> Optional.of(RunStatus.CANCELLED);
      case FAILED -> Optional.of(failureStatus());
      case UNKNOWN, QUEUED, RUNNING, INPUT_REQUIRED, CANCELLING -> Optional.empty();
    };
  }

  private RunStatus failureStatus() {
    boolean usedUp = error.filter(e -> e.reason().equals(Reason.MAX_TURNS_EXCEEDED)).isPresent();
    return usedUp ? RunStatus.MAX_TURNS_EXCEEDED : RunStatus.FAILED;
  }
}
