package dev.runwire;

/** Thrown by a tool: the model is told the message, and nothing else. */
public class ToolException extends Exception {
  private static final long serialVersionUID = 1;

  /** An exception with what the model is to be told. */
  public ToolException(String message) {
    super(message);
  }

  /** An exception with what the model is to be told, and a cause which it is not told. */
  public ToolException(String message, Throwable cause) {
    super(message, cause);
  }
}
