package dev.runwire;

import dev.runwire.v1.ToolCallAssignment;
import dev.runwire.v1.ToolCallRef;
import dev.runwire.v1.ToolCallReport;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One delivery of a call, from its acceptance to its last receipt. */
final class HostedCall {
  private static final Logger LOGGER = LoggerFactory.getLogger(Runwire.class);

  /** How far a call is. */
  enum Phase {
    /** The acceptance has no receipt yet, and the tool has not begun. */
    ACCEPTING,
    RUNNING,
    /** The last report has no receipt yet. */
    REPORTED
  }

  final ToolCallRef ref;
  final CallContext context;

  // These are the engine's, under its lock.
  Phase phase = Phase.ACCEPTING;
  boolean isAccepted;
  boolean isCancelled;
  ToolCallReport last;

  /** Sent on the current session and not receipted, in order: a receipt does not say of which. */
  final Deque<ToolCallReport> sent = new ArrayDeque<>();

  private final Engine engine;
  private final FunctionTool tool;
  private final ToolCallAssignment assignment;
  private final Engine.Means means;
  private final long assignedAt = System.nanoTime();
  private ScheduledFuture<?> expiry;

  HostedCall(
      Engine engine,
      FunctionTool tool,
      ToolCallAssignment assignment,
      ToolCallRef ref,
      Engine.Means means) {
    this.engine = engine;
    this.tool = tool;
    this.assignment = assignment;
    this.ref = ref;
    this.means = means;
    CallContext.Facts facts =
        new CallContext.Facts(
            ref.getCallId(),
            ref.getAttempt(),
            assignment.getRunId(),
            assignment.getAgentName(),
            assignment.getLabelsMap(),
            assignment.getPrincipal(),
            assignment.getCall().getArgumentsJson(),
            timeout().map(Instant.now()::plus));
    context =
        new CallContext(
            facts, means.executor(), progress -> engine.progress(HostedCall.this, progress));
  }

  /** Starts the function; with the engine's lock held. */
  void begin() {
    phase = Phase.RUNNING;
    try {
      if (timeout().isPresent()) {
        long left = timeout().get().toNanos() - (System.nanoTime() - assignedAt);
        expiry = means.clock().schedule(this::expire, Math.max(left, 0), TimeUnit.NANOSECONDS);
      }
      means.executor().execute(this::run);
    } catch (RejectedExecutionException e) {
      engine.finish(this, Reports.crashed());
    }
  }

  /** Nothing is left to be done; with the engine's lock held. */
  void release() {
    if (expiry != null) {
      expiry.cancel(false);
    }
  }

  private Optional<Duration> timeout() {
    return assignment.hasTimeout()
        ? Optional.of(RunwireException.toDuration(assignment.getTimeout()))
        : Optional.empty();
  }

  /** Reports that the time is over. A function that does not heed it goes on by itself. */
  private void expire() {
    engine.finish(
        this, Reports.failed(ref, "the tool did not finish in time; it may still be running"));
    context.cancel();
  }

  private void run() {
    Object result;
    try {
      result =
          Tracing.INSTANCE.within(
              assignment.getTraceparent(), assignment.getTracestate(), this::invoke);
    } catch (CompletionException e) {
      fail(e.getCause());
      return;
    } catch (Throwable e) {
      fail(e);
      return;
    }
    if (result instanceof CompletionStage<?> later) {
      context.onCancel(() -> later.toCompletableFuture().cancel(true));
      later.whenComplete(this::complete);
    } else {
      complete(result, null);
    }
  }

  private Object invoke() {
    context.enter();
    try {
      return tool.invoke(assignment.getCall().getArgumentsJson(), context);
    } catch (Exception e) {
      throw new CompletionException(e);
    } finally {
      context.leave();
    }
  }

  private void complete(Object result, Throwable thrown) {
    if (thrown != null) {
      fail(thrown instanceof CompletionException ? thrown.getCause() : thrown);
      return;
    }
    try {
      engine.finish(this, Reports.result(ref, result));
    } catch (RuntimeException e) {
      fail(new ToolException("the tool's result is not JSON", e));
    }
  }

  private void fail(Throwable thrown) {
    if (engine.isStopped(this)) {
      engine.finish(this, Reports.stopped());
      return;
    }
    // What an exception says may hold arguments: of it only the kind and the place are logged.
    String kind = thrown.getClass().getName();
    LOGGER.warn("tool {} failed: {} (call {})", tool.name(), kind, ref.getCallId());
    if (LOGGER.isDebugEnabled()) {
      LOGGER.debug("tool {} failed at {}", tool.name(), (Object) thrown.getStackTrace());
    }
    if (thrown instanceof ToolException) {
      engine.finish(this, Reports.failed(ref, String.valueOf(thrown.getMessage())));
    } else if (thrown instanceof Exception) {
      String name = thrown.getClass().getSimpleName();
      String message = thrown.getMessage() == null ? name : name + ": " + thrown.getMessage();
      engine.finish(this, Reports.failed(ref, message));
    } else {
      engine.finish(this, Reports.crashed());
    }
  }
}
