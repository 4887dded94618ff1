package dev.runwire;

/** How a run ended. */
public enum RunStatus {
  /** With an answer. */
  COMPLETED,
  /** Its turns were used up. */
  MAX_TURNS_EXCEEDED,
  /** It was asked to stop. */
  CANCELLED,
  /** With an error. */
  FAILED
}
