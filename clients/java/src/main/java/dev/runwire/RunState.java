package dev.runwire;

/** The state of a run. */
public enum RunState {
  /** One that this version does not know. */
  UNKNOWN,
  /** Created; its first turn has not begun. */
  QUEUED,
  /** Works. */
  RUNNING,
  /** Was asked to stop and is stopping. */
  CANCELLING,
  /** Ended well. */
  SUCCEEDED,
  /** Ended with an error. */
  FAILED,
  /** Ended by cancellation. */
  CANCELLED;

  /** Whether a run in this state has ended. */
  public boolean isTerminal() {
    return this == SUCCEEDED || this == FAILED || this == CANCELLED;
  }
}
