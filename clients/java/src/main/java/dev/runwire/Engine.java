package dev.runwire;

import dev.runwire.v1.HostCommand;
import dev.runwire.v1.ToolCallAcceptance;
import dev.runwire.v1.ToolCallAssignment;
import dev.runwire.v1.ToolCallCancellation;
import dev.runwire.v1.ToolCallReceipt;
import dev.runwire.v1.ToolCallRef;
import dev.runwire.v1.ToolCallReport;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledExecutorService;

/**
 * Runs the calls of one host, or of one attached run: commands in, reports out. It knows nothing of
 * gRPC.
 *
 * <p>A session is one stream: the engine sends reports into the current one and is told the
 * commands that come out of it. Calls outlive sessions; a report is kept until its receipt.
 *
 * <p>The rule that makes "at most once" true stands here and nowhere else: a tool that is neither
 * read-only nor idempotent starts only after the receipt of its acceptance.
 */
final class Engine {
  /** Where tools run, and the clock of their deadlines. */
  record Means(Executor executor, ScheduledExecutorService clock) {}

  private final Map<String, FunctionTool> tools = new HashMap<>();
  private final Means means;
  private final Map<ToolCallRef, HostedCall> calls = new HashMap<>();
  private Session current;
  private Session newest;
  private boolean isRefusing;
  private CompletableFuture<Void> idle = CompletableFuture.completedFuture(null);

  Engine(List<FunctionTool> tools, Means means) {
    tools.forEach(tool -> this.tools.put(tool.name(), tool));
    this.means = means;
  }

  // === The session's side ===

  /**
   * Announces a session and lists what runs here or lacks its last receipt, to register with. From
   * now on, what older sessions assign is rejected: the list would not have it.
   */
  synchronized List<ToolCallRef> prepare(Session session) {
    newest = session;
    return List.copyOf(calls.keySet());
  }

  /** Makes a session the current one and sends again what has no receipt. */
  synchronized void connect(Session session) {
    current = session;
    for (HostedCall call : calls.values()) {
      call.sent.clear();
      if (call.last != null) {
        send(call, call.last);
      } else if (!call.isAccepted) {
        accept(call);
      }
    }
  }

  /** Stops sending into a session. Calls go on. */
  synchronized void disconnect(Session session) {
    if (current == session) {
      current = null;
    }
  }

  /** Takes a command. Unknown ones are ignored; go-away and heartbeats are the session's matter. */
  synchronized void command(Session from, HostCommand command) {
    switch (command.getCommandCase()) {
      case ASSIGNMENT -> assign(from, command.getAssignment());
      case CANCELLATION -> stop(command.getCancellation());
      case RECEIPT -> {
        // One of an older session that overlaps with this one says nothing: the report went again.
        if (from == current) {
          receipt(command.getReceipt());
        }
      }
      default -> {}
    }
  }

  // === The host's side ===

  /** Takes no more calls; assignments that are on their way are rejected. */
  synchronized void refuse() {
    isRefusing = true;
  }

  /** Completes when no call runs and every report has its receipt. */
  synchronized CompletableFuture<Void> idle() {
    return idle;
  }

  synchronized boolean isIdle() {
    return calls.isEmpty();
  }

  /** Cancels what runs, without reports: the server's grace decides about these calls. */
  synchronized void abort() {
    List.copyOf(calls.values()).forEach(this::drop);
  }

  // === Commands; with the lock held ===

  private void assign(Session from, ToolCallAssignment assignment) {
    ToolCallRef ref =
        ToolCallRef.newBuilder()
            .setCallId(assignment.getCall().getId())
            .setAttempt(assignment.getAttempt())
            .build();
    if (calls.containsKey(ref)) {
      return; // Delivered twice: it runs, and its reports go out.
    }
    FunctionTool tool = tools.get(assignment.getCall().getName());
    if (tool == null || !tool.definition().getVersion().equals(assignment.getToolVersion())) {
      from.report(Reports.unknownTool(ref));
      return;
    }
    if (isRefusing || from != newest) {
      from.report(Reports.draining(ref));
      return;
    }
    for (HostedCall older : List.copyOf(calls.values())) {
      if (older.ref.getCallId().equals(ref.getCallId())) {
        drop(older); // Fenced: its reports are stale.
      }
    }
    if (calls.isEmpty()) {
      idle = new CompletableFuture<>();
    }
    HostedCall call = new HostedCall(this, tool, assignment, ref, means);
    calls.put(ref, call);
    accept(call);
    if (tool.mayRunAgain()) {
      call.begin();
    }
  }

  private void receipt(ToolCallReceipt receipt) {
    HostedCall call = calls.get(refOf(receipt.getCallId(), receipt.getAttempt()));
    ToolCallReport of = call == null ? null : call.sent.poll();
    if (of == null) {
      return;
    }
    if (!of.hasAcceptance()) {
      forget(call);
      return;
    }
    switch (receipt.getDisposition()) {
      case DISPOSITION_APPLIED, DISPOSITION_DUPLICATE -> {
        call.isAccepted = true;
        if (call.phase == HostedCall.Phase.ACCEPTING && !call.isCancelled) {
          call.begin();
        }
      }
      default -> drop(call); // Stale: another delivery has taken its place.
    }
  }

  private void stop(ToolCallCancellation cancellation) {
    HostedCall call = calls.get(refOf(cancellation.getCallId(), cancellation.getAttempt()));
    if (call == null || call.isCancelled) {
      return;
    }
    call.isCancelled = true;
    call.context.cancel();
    if (call.phase == HostedCall.Phase.ACCEPTING) {
      finish(call, Reports.stopped());
    }
  }

  private static ToolCallRef refOf(String callId, int attempt) {
    return ToolCallRef.newBuilder().setCallId(callId).setAttempt(attempt).build();
  }

  // === Reports ===

  /** Sends progress of a call, if that still counts. */
  synchronized void progress(HostedCall call, RunEvent.Progress progress) {
    boolean isRunning = calls.get(call.ref) == call && call.phase == HostedCall.Phase.RUNNING;
    if (isRunning && current != null) {
      current.report(Reports.of(call.ref, Reports.progress(progress)));
    }
  }

  /** Makes a report the call's last; the first one counts. */
  synchronized void finish(HostedCall call, ToolCallReport.Builder report) {
    if (calls.get(call.ref) != call || call.phase == HostedCall.Phase.REPORTED) {
      return; // Superseded meanwhile, or its time was over.
    }
    call.phase = HostedCall.Phase.REPORTED;
    call.last = Reports.of(call.ref, report);
    send(call, call.last);
  }

  synchronized boolean isStopped(HostedCall call) {
    return call.isCancelled;
  }

  private void accept(HostedCall call) {
    ToolCallReport.Builder report =
        ToolCallReport.newBuilder().setAcceptance(ToolCallAcceptance.getDefaultInstance());
    send(call, Reports.of(call.ref, report));
  }

  private void send(HostedCall call, ToolCallReport report) {
    if (current != null) {
      call.sent.add(report);
      current.report(report);
    }
  }

  private void drop(HostedCall call) {
    call.isCancelled = true;
    call.context.cancel();
    forget(call);
  }

  private void forget(HostedCall call) {
    if (calls.remove(call.ref, call)) {
      call.release();
      if (calls.isEmpty()) {
        // Whoever waits goes on elsewhere: the lock is held here.
        idle.completeAsync(() -> null);
      }
    }
  }
}
