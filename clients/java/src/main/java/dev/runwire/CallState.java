package dev.runwire;

/** The state of a tool call. */
public enum CallState {
  /** One that this version does not know. */
  UNKNOWN,
  /** Waits for a host. */
  PENDING,
  /** A host has accepted it. */
  RUNNING,
  /** Done; the tool may still have reported an error. */
  SUCCEEDED,
  /** Could not be done. */
  FAILED,
  /** Cancelled. */
  CANCELLED
}
