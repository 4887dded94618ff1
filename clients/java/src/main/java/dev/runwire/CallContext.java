package dev.runwire;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/** What a running tool knows of its call, and how it hears that it shall stop. */
public final class CallContext {
  private final Facts facts;
  private final Executor executor;
  private final Consumer<RunEvent.Progress> progress;
  private final List<Runnable> atCancellation = new ArrayList<>();
  private Thread runner;
  private boolean isCancelled;

  /** What is said of a call. */
  record Facts(
      String callId,
      int attempt,
      String runId,
      String agentName,
      Map<String, String> labels,
      String principal,
      String argumentsJson,
      Optional<Instant> deadline) {}

  CallContext(Facts facts, Executor executor, Consumer<RunEvent.Progress> progress) {
    this.facts = facts;
    this.executor = executor;
    this.progress = progress;
  }

  /** The call's id, and its idempotency key: every delivery of one call has the same. */
  public String callId() {
    return facts.callId();
  }

  /** Which delivery this is, from 1. */
  public int attempt() {
    return facts.attempt();
  }

  /** The run that calls. */
  public String runId() {
    return facts.runId();
  }

  /** The agent that calls. */
  public String agentName() {
    return facts.agentName();
  }

  /** The run's labels. */
  public Map<String, String> labels() {
    return facts.labels();
  }

  /** Who has created the run, as the server has authenticated it: what to authorise by. */
  public String principal() {
    return facts.principal();
  }

  /** The arguments, exactly as the model wrote them. */
  public String argumentsJson() {
    return facts.argumentsJson();
  }

  /** When the call's time is over. */
  public Optional<Instant> deadline() {
    return facts.deadline();
  }

  /** The time that is left; never negative. */
  public Optional<Duration> timeLeft() {
    return deadline()
        .map(at -> Duration.between(Instant.now(), at))
        .map(left -> left.isNegative() ? Duration.ZERO : left);
  }

  /** Whether the call was cancelled, or its time is over. */
  public synchronized boolean isCancelled() {
    return isCancelled;
  }

  /**
   * Ends the function when it shall stop.
   *
   * @throws CancellationException it shall
   */
  public void throwIfCancelled() {
    if (isCancelled()) {
      throw new CancellationException("the call was cancelled, or its time is over");
    }
  }

  /** Does something when the call is cancelled or its time is over; at once if it is already. */
  public void onCancel(Runnable action) {
    synchronized (this) {
      if (!isCancelled) {
        atCancellation.add(action);
        return;
      }
    }
    action.run();
  }

  /**
   * Tells whoever watches the run how far the call is, and keeps its progress time-out from firing.
   * It never waits.
   *
   * @param done increases
   * @param total the value of {@code done} at the end; 0 when it is not known
   * @param message for people; may be empty
   */
  public void progress(double done, double total, String message) {
    progress.accept(new RunEvent.Progress(done, total, message));
  }

  /** Tells the function to stop: by the flag, the actions, and an interrupt while it runs. */
  void cancel() {
    List<Runnable> actions;
    synchronized (this) {
      if (isCancelled) {
        return;
      }
      isCancelled = true;
      actions = List.copyOf(atCancellation);
      if (runner != null) {
        runner.interrupt();
      }
    }
    actions.forEach(executor::execute);
  }

  /** This thread runs the function. */
  synchronized void enter() {
    runner = Thread.currentThread();
    if (isCancelled) {
      runner.interrupt();
    }
  }

  /** It does no more; an interrupt that was meant for the function is gone. */
  synchronized void leave() {
    runner = null;
    Thread.interrupted();
  }
}
