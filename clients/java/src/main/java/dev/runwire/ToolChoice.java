package dev.runwire;

/**
 * Whether tools are used. In a run, {@link #REQUIRED} and a named tool hold until the first call.
 */
public sealed interface ToolChoice {
  /** The model decides. */
  ToolChoice AUTO = Mode.AUTO;

  /** No tools. */
  ToolChoice NONE = Mode.NONE;

  /** At least one call. */
  ToolChoice REQUIRED = Mode.REQUIRED;

  /** The model must call this tool. */
  static ToolChoice named(String tool) {
    return new Named(tool);
  }

  /** A mode of tool use. */
  enum Mode implements ToolChoice {
    /** The model decides. */
    AUTO,
    /** No tools. */
    NONE,
    /** At least one call. */
    REQUIRED
  }

  /**
   * A tool that must be called.
   *
   * @param tool its name
   */
  record Named(String tool) implements ToolChoice {}
}
