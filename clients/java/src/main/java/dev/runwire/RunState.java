package dev.runwire;

/** The state of a run. */
public enum RunState {
  /** One that this version does not know. */
  UNKNOWN,
  /** Created, or waits for the runs before it in its thread. */
  QUEUED,
  /** Works. */
  RUNNING,
  /** Waits for people: an approval, or the answer to a question. */
  INPUT_REQUIRED,
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
