package dev.runwire;

/** Why a model stopped. */
public enum FinishReason {
  /** Not known, or not to this version. */
  UNKNOWN,
  /** A natural end, or a stop sequence. */
  STOP,
  /** The output limit or the context window was reached. */
  LENGTH,
  /** The model asks for tool calls. */
  TOOL_CALLS,
  /** Refused for safety or policy; a normal outcome. */
  CONTENT_FILTER,
  /** Another reason. */
  OTHER
}
