package dev.runwire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.runwire.v1.HostCommand;
import dev.runwire.v1.ToolCall;
import dev.runwire.v1.ToolCallAssignment;
import dev.runwire.v1.ToolCallCancellation;
import dev.runwire.v1.ToolCallReceipt;
import dev.runwire.v1.ToolCallReceipt.Disposition;
import dev.runwire.v1.ToolCallReport;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class EngineTest {
  /** A session that keeps what it is told. */
  private static final class Recorder implements Session {
    private final List<String> heard = new ArrayList<>();

    @Override
    public void report(ToolCallReport report) {
      heard.add(
          switch (report.getReportCase()) {
            case ACCEPTANCE -> "acceptance";
            case REJECTION -> "rejection " + report.getRejection().getReason();
            case PROGRESS -> "progress " + report.getProgress().getMessage();
            case RESULT ->
                (report.getResult().getIsError() ? "error " : "result ")
                    + report.getResult().getParts(0).getText();
            case FAILURE -> "failure " + report.getFailure().getMessage();
            case STOPPED -> "stopped";
            default -> "?";
          });
    }

    /** What was reported since the last time it was asked. */
    List<String> since() {
      List<String> since = List.copyOf(heard);
      heard.clear();
      return since;
    }
  }

  /** Tools run when the test says so, in its thread. */
  private static final class Stepper implements Executor {
    private final Deque<Runnable> waiting = new ArrayDeque<>();

    @Override
    public void execute(Runnable work) {
      waiting.add(work);
    }

    void run() {
      while (!waiting.isEmpty()) {
        waiting.poll().run();
      }
    }
  }

  /** Time passes when the test says so. */
  private static final class Clock extends ScheduledThreadPoolExecutor {
    private final List<Runnable> waiting = new ArrayList<>();

    Clock() {
      super(0);
    }

    @Override
    public ScheduledFuture<?> schedule(Runnable work, long delay, TimeUnit unit) {
      waiting.add(work);
      return null;
    }

    void pass() {
      List.copyOf(waiting).forEach(Runnable::run);
    }
  }

  private final Recorder session = new Recorder();
  private final Stepper threads = new Stepper();
  private final Clock clock = new Clock();
  private final AtomicInteger begun = new AtomicInteger();
  private Engine engine;

  private void play(ToolFunction<String> function) {
    play(FunctionTool.raw("act", "Act.", "{\"type\":\"object\"}", counted(function)));
  }

  private void play(FunctionTool tool) {
    engine = new Engine(List.of(tool), new Engine.Means(threads, clock));
    engine.prepare(session);
    engine.connect(session);
  }

  private ToolFunction<String> counted(ToolFunction<String> function) {
    return (arguments, call) -> {
      begun.incrementAndGet();
      return function.call(arguments, call);
    };
  }

  private void assign(Session from, String tool, int attempt) {
    ToolCallAssignment assignment =
        ToolCallAssignment.newBuilder()
            .setCall(ToolCall.newBuilder().setId("call").setName(tool).setArgumentsJson("{}"))
            .setAttempt(attempt)
            .setTimeout(ToWire.duration(Duration.ofMinutes(1)))
            .build();
    engine.command(from, HostCommand.newBuilder().setAssignment(assignment).build());
    threads.run();
  }

  private void assign(int attempt) {
    assign(session, "act", attempt);
  }

  private void receipt(Session from, int attempt, Disposition disposition) {
    ToolCallReceipt receipt =
        ToolCallReceipt.newBuilder()
            .setCallId("call")
            .setAttempt(attempt)
            .setDisposition(disposition)
            .build();
    engine.command(from, HostCommand.newBuilder().setReceipt(receipt).build());
  }

  /**
   * The report that was sent first, of those without a receipt, is stored; what may begin begins.
   */
  private void applied() {
    receipt(session, 1, Disposition.DISPOSITION_APPLIED);
    threads.run();
  }

  private void cancel() {
    ToolCallCancellation cancellation =
        ToolCallCancellation.newBuilder().setCallId("call").setAttempt(1).build();
    engine.command(session, HostCommand.newBuilder().setCancellation(cancellation).build());
  }

  @Test
  void aToolThatRunsAtMostOnceBeginsOnlyAfterTheReceiptOfItsAcceptance() {
    play((in, call) -> "done");
    assign(1);
    assertEquals(List.of("acceptance"), session.since());
    assertEquals(0, begun.get());
    applied();
    assertEquals(List.of("result done"), session.since());
    assertFalse(engine.isIdle());
    applied();
    assertTrue(engine.isIdle());
    assertEquals(1, begun.get());
  }

  @Test
  void aToolThatMayRunAgainDoesNotWait() {
    play(FunctionTool.raw("act", "Act.", "{}", counted((in, call) -> "done")).readOnly());
    assign(1);
    assertEquals(List.of("acceptance", "result done"), session.since());
  }

  @Test
  void aStaleAcceptanceNeverBegins() {
    play((in, call) -> "done");
    assign(1);
    receipt(session, 1, Disposition.DISPOSITION_STALE);
    threads.run();
    assertEquals(0, begun.get());
    assertTrue(engine.isIdle());
  }

  @Test
  void anUnknownDispositionNeverBegins() {
    play((in, call) -> "done");
    assign(1);
    receipt(session, 1, Disposition.DISPOSITION_UNSPECIFIED);
    threads.run();
    assertEquals(0, begun.get());
  }

  @Test
  void aCallThatIsDeliveredTwiceRunsOnce() {
    play((in, call) -> "done");
    assign(1);
    assign(1);
    applied();
    assertEquals(List.of("acceptance", "result done"), session.since());
    assertEquals(1, begun.get());
  }

  @Test
  void aLaterDeliveryTakesThePlaceOfAnOlderOne() {
    play((in, call) -> "attempt " + call.attempt());
    assign(1);
    assign(2);
    receipt(session, 1, Disposition.DISPOSITION_APPLIED);
    receipt(session, 2, Disposition.DISPOSITION_APPLIED);
    threads.run();
    assertEquals(List.of("acceptance", "acceptance", "result attempt 2"), session.since());
  }

  @Test
  void aResultGoesOutAgainOnEveryNewStreamUntilItsReceipt() {
    play((in, call) -> "done");
    assign(1);
    applied();
    session.since();
    engine.disconnect(session);
    Recorder next = new Recorder();
    assertEquals(1, engine.prepare(next).size());
    engine.connect(next);
    assertEquals(List.of("result done"), next.since());
    receipt(session, 1, Disposition.DISPOSITION_APPLIED); // Of the older stream: says nothing.
    assertFalse(engine.isIdle());
    receipt(next, 1, Disposition.DISPOSITION_DUPLICATE);
    assertTrue(engine.isIdle());
  }

  @Test
  void aCallThatRunsGoesOnWithoutAStream() {
    play(FunctionTool.raw("act", "Act.", "{}", counted((in, call) -> "done")).idempotent());
    engine.command(
        session,
        HostCommand.newBuilder()
            .setAssignment(
                ToolCallAssignment.newBuilder()
                    .setCall(ToolCall.newBuilder().setId("call").setName("act"))
                    .setAttempt(1))
            .build());
    engine.disconnect(session);
    threads.run();
    Recorder next = new Recorder();
    engine.prepare(next);
    engine.connect(next);
    assertEquals(List.of("result done"), next.since());
  }

  @Test
  void aCallThatIsCancelledBeforeItsReceiptNeverBegins() {
    play((in, call) -> "done");
    assign(1);
    cancel();
    applied();
    assertEquals(List.of("acceptance", "stopped"), session.since());
    assertEquals(0, begun.get());
  }

  @Test
  void aCancellationInterruptsTheFunctionAndNothingAfterIt() {
    List<String> told = new ArrayList<>();
    play(
        (in, call) -> {
          call.onCancel(() -> told.add("action"));
          cancel();
          told.add(call.isCancelled() + " " + Thread.currentThread().isInterrupted());
          Thread.sleep(1); // Throws: the thread is interrupted.
          return "never";
        });
    assign(1);
    applied();
    assertEquals(List.of("acceptance", "stopped"), session.since());
    assertEquals(List.of("true true", "action"), told);
    assertFalse(Thread.currentThread().isInterrupted());
  }

  @Test
  void whatAToolExceptionSaysIsToldAsItIs() {
    play(
        (in, call) -> {
          throw new ToolException("no such file");
        });
    assign(1);
    applied();
    assertEquals(List.of("acceptance", "error no such file"), session.since());
  }

  @Test
  void anyOtherExceptionIsToldByItsKindAndMessageWithoutATrace() {
    play(
        (in, call) -> {
          throw new IllegalStateException("closed");
        });
    assign(1);
    applied();
    assertEquals(List.of("acceptance", "error IllegalStateException: closed"), session.since());
  }

  @Test
  void anErrorIsACrashOfWhichTheModelIsToldNothing() {
    play(
        (in, call) -> {
          throw new StackOverflowError("secret");
        });
    assign(1);
    applied();
    assertEquals(List.of("acceptance", "failure the tool crashed"), session.since());
  }

  @Test
  void aFutureIsWaitedForAndCancelledWithItsCall() {
    CompletableFuture<String> later = new CompletableFuture<>();
    play((in, call) -> later);
    assign(1);
    applied();
    assertEquals(List.of("acceptance"), session.since());
    cancel();
    threads.run();
    assertTrue(later.isCancelled());
    assertEquals(List.of("stopped"), session.since());
  }

  @Test
  void aFutureThatFailsIsAsAnException() {
    CompletableFuture<String> later = new CompletableFuture<>();
    play((in, call) -> later.thenApply(text -> text));
    assign(1);
    applied();
    later.completeExceptionally(new ToolException("too late"));
    assertEquals(List.of("acceptance", "error too late"), session.since());
  }

  @Test
  void theEndOfItsTimeIsReportedWithoutWaitingForTheFunction() {
    CompletableFuture<String> later = new CompletableFuture<>();
    play((in, call) -> later);
    assign(1);
    applied();
    clock.pass();
    later.complete("late");
    assertEquals(
        List.of("acceptance", "error the tool did not finish in time; it may still be running"),
        session.since());
  }

  @Test
  void whatIsTooLargeForAStreamIsAnError() {
    play((in, call) -> "x".repeat(4 << 20));
    assign(1);
    applied();
    assertTrue(session.since().get(1).startsWith("error the tool's result is too large"));
  }

  @Test
  void progressCountsOnlyWhileTheCallRuns() {
    CallContext[] context = new CallContext[1];
    play(
        (in, call) -> {
          context[0] = call;
          call.progress(1, 2, "half");
          return "done";
        });
    assign(1);
    applied();
    context[0].progress(2, 2, "late");
    assertEquals(List.of("acceptance", "progress half", "result done"), session.since());
  }

  @Test
  void aHostThatDrainsAndAStreamThatWasReplacedRejectCalls() {
    play((in, call) -> "done");
    engine.prepare(new Recorder());
    assign(1);
    assertEquals(List.of("rejection SERVER_DRAINING"), session.since());
    engine.prepare(session);
    engine.refuse();
    assign(1);
    assertEquals(List.of("rejection SERVER_DRAINING"), session.since());
  }

  @Test
  void aToolThatIsNotHereIsRejected() {
    play((in, call) -> "done");
    assign(session, "other", 1);
    assertEquals(List.of("rejection TOOL_UNKNOWN"), session.since());
  }

  @Test
  void unknownCommandsAreIgnored() {
    play((in, call) -> "done");
    engine.command(session, HostCommand.getDefaultInstance());
    assertEquals(List.of(), session.since());
  }
}
