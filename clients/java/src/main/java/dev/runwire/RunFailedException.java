package dev.runwire;

/** A run failed. Its code, reason and metadata are those of the run's error. */
public final class RunFailedException extends RunwireException {
  private static final long serialVersionUID = 1;

  private final transient RunResult result;

  RunFailedException(RunResult result, RunwireException error) {
    super(error.details());
    this.result = result;
  }

  /** What the run came to. */
  public RunResult result() {
    return result;
  }
}
