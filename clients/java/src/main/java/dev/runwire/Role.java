package dev.runwire;

/** Who wrote a message. */
public enum Role {
  /** One that this version does not know. */
  UNKNOWN,
  /** Instructions. */
  SYSTEM,
  /** The end user. */
  USER,
  /** The model. */
  ASSISTANT,
  /** Results of tool calls. */
  TOOL
}
