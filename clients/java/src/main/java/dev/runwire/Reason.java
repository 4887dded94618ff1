package dev.runwire;

/**
 * Why something failed: the values of {@link RunwireException#reason()}. Values may be added; treat
 * one that you do not know by its code. Each has a page under {@code docs/errors}.
 */
public final class Reason {
  /** Invalid request. */
  public static final String INVALID_REQUEST = "INVALID_REQUEST";

  /** Model name invalid. */
  public static final String MODEL_NAME_INVALID = "MODEL_NAME_INVALID";

  /** Provider not found. */
  public static final String PROVIDER_NOT_FOUND = "PROVIDER_NOT_FOUND";

  /** Json invalid. */
  public static final String JSON_INVALID = "JSON_INVALID";

  /** Schema invalid. */
  public static final String SCHEMA_INVALID = "SCHEMA_INVALID";

  /** Tool name clash. */
  public static final String TOOL_NAME_CLASH = "TOOL_NAME_CLASH";

  /** Request id reused. */
  public static final String REQUEST_ID_REUSED = "REQUEST_ID_REUSED";

  /** Stream protocol violation. */
  public static final String STREAM_PROTOCOL_VIOLATION = "STREAM_PROTOCOL_VIOLATION";

  /** Message too large. */
  public static final String MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE";

  /** Cursor invalid. */
  public static final String CURSOR_INVALID = "CURSOR_INVALID";

  /** Credentials missing. */
  public static final String CREDENTIALS_MISSING = "CREDENTIALS_MISSING";

  /** Credentials invalid. */
  public static final String CREDENTIALS_INVALID = "CREDENTIALS_INVALID";

  /** Permission denied. */
  public static final String PERMISSION_DENIED = "PERMISSION_DENIED";

  /** Provider invalid request. */
  public static final String PROVIDER_INVALID_REQUEST = "PROVIDER_INVALID_REQUEST";

  /** Context length exceeded. */
  public static final String CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED";

  /** Request too large. */
  public static final String REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE";

  /** Provider credentials missing. */
  public static final String PROVIDER_CREDENTIALS_MISSING = "PROVIDER_CREDENTIALS_MISSING";

  /** Provider credentials rejected. */
  public static final String PROVIDER_CREDENTIALS_REJECTED = "PROVIDER_CREDENTIALS_REJECTED";

  /** Model not permitted. */
  public static final String MODEL_NOT_PERMITTED = "MODEL_NOT_PERMITTED";

  /** Model not found. */
  public static final String MODEL_NOT_FOUND = "MODEL_NOT_FOUND";

  /** Provider quota exhausted. */
  public static final String PROVIDER_QUOTA_EXHAUSTED = "PROVIDER_QUOTA_EXHAUSTED";

  /** Provider rate limited. */
  public static final String PROVIDER_RATE_LIMITED = "PROVIDER_RATE_LIMITED";

  /** Provider timeout. */
  public static final String PROVIDER_TIMEOUT = "PROVIDER_TIMEOUT";

  /** Provider conflict. */
  public static final String PROVIDER_CONFLICT = "PROVIDER_CONFLICT";

  /** Provider unavailable. */
  public static final String PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE";

  /** Provider overloaded. */
  public static final String PROVIDER_OVERLOADED = "PROVIDER_OVERLOADED";

  /** Provider stream broken. */
  public static final String PROVIDER_STREAM_BROKEN = "PROVIDER_STREAM_BROKEN";

  /** Provider response invalid. */
  public static final String PROVIDER_RESPONSE_INVALID = "PROVIDER_RESPONSE_INVALID";

  /** Deadline. */
  public static final String DEADLINE = "DEADLINE";

  /** Server overloaded. */
  public static final String SERVER_OVERLOADED = "SERVER_OVERLOADED";

  /** Server draining. */
  public static final String SERVER_DRAINING = "SERVER_DRAINING";

  /** Store unavailable. */
  public static final String STORE_UNAVAILABLE = "STORE_UNAVAILABLE";

  /** Internal. */
  public static final String INTERNAL = "INTERNAL";

  /** Superseded. */
  public static final String SUPERSEDED = "SUPERSEDED";

  /** Heartbeat missed. */
  public static final String HEARTBEAT_MISSED = "HEARTBEAT_MISSED";

  /** Slow reader. */
  public static final String SLOW_READER = "SLOW_READER";

  /** Run not found. */
  public static final String RUN_NOT_FOUND = "RUN_NOT_FOUND";

  /** Run finished. */
  public static final String RUN_FINISHED = "RUN_FINISHED";

  /** Cancelled. */
  public static final String CANCELLED = "CANCELLED";

  /** Max turns exceeded. */
  public static final String MAX_TURNS_EXCEEDED = "MAX_TURNS_EXCEEDED";

  /** Max tool calls exceeded. */
  public static final String MAX_TOOL_CALLS_EXCEEDED = "MAX_TOOL_CALLS_EXCEEDED";

  /** Token budget exceeded. */
  public static final String TOKEN_BUDGET_EXCEEDED = "TOKEN_BUDGET_EXCEEDED";

  /** Run timeout. */
  public static final String RUN_TIMEOUT = "RUN_TIMEOUT";

  /** Tool call not found. */
  public static final String TOOL_CALL_NOT_FOUND = "TOOL_CALL_NOT_FOUND";

  /** Tool unknown. */
  public static final String TOOL_UNKNOWN = "TOOL_UNKNOWN";

  /** Arguments malformed. */
  public static final String ARGUMENTS_MALFORMED = "ARGUMENTS_MALFORMED";

  /** Arguments invalid. */
  public static final String ARGUMENTS_INVALID = "ARGUMENTS_INVALID";

  /** No host. */
  public static final String NO_HOST = "NO_HOST";

  /** Host lost. */
  public static final String HOST_LOST = "HOST_LOST";

  /** Outcome unknown. */
  public static final String OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN";

  /** Tool timeout. */
  public static final String TOOL_TIMEOUT = "TOOL_TIMEOUT";

  /** Tool changed. */
  public static final String TOOL_CHANGED = "TOOL_CHANGED";

  /** Tool failed. */
  public static final String TOOL_FAILED = "TOOL_FAILED";

  /** Result too large. */
  public static final String RESULT_TOO_LARGE = "RESULT_TOO_LARGE";

  /** Version conflict. */
  public static final String VERSION_CONFLICT = "VERSION_CONFLICT";

  /** Policy denied. */
  public static final String POLICY_DENIED = "POLICY_DENIED";

  /** Input declined. */
  public static final String INPUT_DECLINED = "INPUT_DECLINED";

  /** Input not found. */
  public static final String INPUT_NOT_FOUND = "INPUT_NOT_FOUND";

  /** Input already answered. */
  public static final String INPUT_ALREADY_ANSWERED = "INPUT_ALREADY_ANSWERED";

  /** Thread not found. */
  public static final String THREAD_NOT_FOUND = "THREAD_NOT_FOUND";

  /** Thread busy. */
  public static final String THREAD_BUSY = "THREAD_BUSY";

  /** Thread head mismatch. */
  public static final String THREAD_HEAD_MISMATCH = "THREAD_HEAD_MISMATCH";

  /** Thread in use. */
  public static final String THREAD_IN_USE = "THREAD_IN_USE";

  /** Too many messages. */
  public static final String TOO_MANY_MESSAGES = "TOO_MANY_MESSAGES";

  private Reason() {}
}
