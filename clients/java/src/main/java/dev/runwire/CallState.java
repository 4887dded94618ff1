package dev.runwire;

/** The state of a tool call. */
public enum CallState {
  /** One that this version does not know. */
  UNKNOWN,
  /** Waits for its approval, or for a host. */
  PENDING,
  /** A host has accepted it. */
  RUNNING,
  /** Waits for the answer to a question that its tool has asked. */
  INPUT_REQUIRED,
  /** Done; the tool may still have reported an error. */
  SUCCEEDED,
  /** Could not be done. */
  FAILED,
  /** Cancelled or declined. */
  CANCELLED
}
