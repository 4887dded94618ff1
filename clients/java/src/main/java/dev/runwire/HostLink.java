package dev.runwire;

import dev.runwire.v1.Error;
import dev.runwire.v1.HostRegistered;
import dev.runwire.v1.HostRegistration;
import dev.runwire.v1.HostToolsRequest;
import dev.runwire.v1.HostToolsResponse;
import dev.runwire.v1.HostUpdate;
import dev.runwire.v1.ToolServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Status;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps a host registered, across any number of streams. A stream that will end is left once the
 * next one is live, so that calls go on coming meanwhile.
 */
final class HostLink implements Duplex.Listener<HostToolsRequest, HostToolsResponse> {
  /** How long the server may take to end a stream. */
  static final Duration CLOSE_TIME = Duration.ofSeconds(5);

  private static final Logger LOGGER = LoggerFactory.getLogger(Runwire.class);
  private static final long REGISTER_MILLIS = 15_000;

  /** A connection that has lived so long begins again with the shortest wait. */
  private static final long STABLE_NANOS = TimeUnit.SECONDS.toNanos(5);

  private static final Duplex.Wording<HostToolsRequest> WORDING =
      new Duplex.Wording<>(
          report -> HostToolsRequest.newBuilder().setReport(report).build(),
          heartbeat -> HostToolsRequest.newBuilder().setHeartbeat(heartbeat).build());

  /** Who registers what. */
  record Settings(
      String hostId, List<FunctionTool> tools, int window, Map<String, String> labels) {}

  private final Transport transport;
  private final Settings settings;
  private final Engine engine;
  private final Waits waits = new Waits();
  private final CompletableFuture<Void> live = new CompletableFuture<>();
  private final CompletableFuture<Void> failed = new CompletableFuture<>();
  private final CompletableFuture<Void> left = new CompletableFuture<>();

  /** The streams that are not over. */
  private final Set<Duplex<HostToolsRequest, HostToolsResponse>> open = new HashSet<>();

  /** The one that counts, the one that is to take its place, and the wait before that. */
  private Duplex<HostToolsRequest, HostToolsResponse> current;

  private Duplex<HostToolsRequest, HostToolsResponse> next;
  private ScheduledFuture<?> registerLimit;
  private boolean isNextDue;
  private boolean isGoingAway;
  private boolean isStarted;
  private boolean isDraining;
  private boolean isLeaving;
  private long since;
  private Map<String, RunwireException> rejected = Map.of();

  HostLink(Transport transport, Settings settings) {
    this.transport = transport;
    this.settings = settings;
    engine =
        new Engine(settings.tools(), new Engine.Means(transport.toolExecutor(), transport.clock()));
  }

  String hostId() {
    return settings.hostId();
  }

  synchronized Map<String, RunwireException> rejected() {
    return rejected;
  }

  boolean isIdle() {
    return engine.isIdle();
  }

  /** Registers for the first time; completes when the tools are live. */
  CompletableFuture<Void> start() {
    synchronized (this) {
      if (isStarted) {
        return live.copy();
      }
      isStarted = true;
      connect();
    }
    return live.copy();
  }

  /** Completes, with an exception, when the server refuses the host for good. */
  CompletableFuture<Void> failed() {
    return failed.copy();
  }

  /** Takes no more calls; completes when none is left, or the host has failed. */
  CompletableFuture<Void> drain() {
    engine.refuse();
    synchronized (this) {
      isDraining = true;
      if (current != null) {
        HostUpdate update = HostUpdate.newBuilder().setMaxConcurrentCalls(0).build();
        current.push(HostToolsRequest.newBuilder().setUpdate(update).build());
      }
    }
    CompletableFuture<Void> ended = new CompletableFuture<>();
    engine.idle().thenRun(() -> ended.complete(null));
    failed.whenComplete((nothing, thrown) -> ended.complete(null));
    return ended;
  }

  /** Cancels what still runs, and ends the streams: at once if the server would wait for a call. */
  CompletableFuture<Void> leave() {
    boolean isIdle = engine.isIdle();
    engine.abort();
    synchronized (this) {
      isLeaving = true;
      if (next != null) {
        next.close();
      }
      if (!isIdle) {
        open.forEach(Duplex::close);
      } else if (current != null) {
        current.finish(CLOSE_TIME.toMillis());
      }
      if (open.isEmpty()) {
        left.complete(null);
      }
    }
    live.completeExceptionally(
        RunwireException.cancelled("the host was closed before its tools were live"));
    return left;
  }

  // === Streams; those that are private with the lock held ===

  private synchronized void connect() {
    isNextDue = false;
    if (isLeaving || next != null) {
      return;
    }
    transport.nudge();
    Duplex<HostToolsRequest, HostToolsResponse> session =
        new Duplex<>(
            transport, ToolServiceGrpc.getHostToolsMethod(), CallOptions.DEFAULT, WORDING, this);
    next = session;
    open.add(session);
    session.start(HostToolsRequest.newBuilder().setRegistration(registration(session)).build());
    try {
      registerLimit = transport.after(REGISTER_MILLIS, session::giveUp);
    } catch (RejectedExecutionException e) {
      session.close();
    }
  }

  private HostRegistration registration(Session session) {
    return HostRegistration.newBuilder()
        .setHostId(settings.hostId())
        .addAllTools(settings.tools().stream().map(FunctionTool::definition).toList())
        .setMaxConcurrentCalls(isDraining ? 0 : settings.window())
        .putAllLabels(settings.labels())
        .addAllInFlight(engine.prepare(session))
        .build();
  }

  @Override
  public boolean onMessage(
      Duplex<HostToolsRequest, HostToolsResponse> from, HostToolsResponse response) {
    switch (response.getMessageCase()) {
      case REGISTERED -> registered(from, response.getRegistered());
      case COMMAND -> {
        if (response.getCommand().hasGoAway()) {
          goAway(from);
        }
        engine.command(from, response.getCommand());
      }
      default -> {} // Of a newer server.
    }
    return true;
  }

  private void registered(Duplex<HostToolsRequest, HostToolsResponse> from, HostRegistered answer) {
    synchronized (this) {
      if (from != next) {
        return;
      }
      registerLimit.cancel(false);
      RunwireException refusal = reject(answer.getRejectedToolsMap());
      if (refusal != null) {
        from.close();
        fail(refusal);
        return;
      }
      from.agree(answer.getSession());
      Duplex<HostToolsRequest, HostToolsResponse> older = current;
      current = from;
      next = null;
      isGoingAway = false;
      since = System.nanoTime();
      engine.connect(from);
      if (older != null) {
        older.finish();
      }
    }
    live.complete(null);
  }

  /** Remembers the tools that were not taken; an exception when there is no other. */
  private RunwireException reject(Map<String, Error> refused) {
    Map<String, RunwireException> reasons = new HashMap<>();
    refused.forEach(
        (name, error) -> {
          reasons.put(name, RunwireException.fromData(error));
          LOGGER.warn("tool host {}: tool {} was not taken: {}", hostId(), name, error.getReason());
        });
    rejected = Map.copyOf(reasons);
    boolean isAll = !reasons.isEmpty() && reasons.size() == settings.tools().size();
    return isAll ? reasons.values().iterator().next() : null;
  }

  private synchronized void goAway(Duplex<HostToolsRequest, HostToolsResponse> from) {
    if (from == current) {
      isGoingAway = true;
      if (!isNextDue) {
        connect();
      }
    }
  }

  @Override
  public synchronized void onEnd(
      Duplex<HostToolsRequest, HostToolsResponse> from, RunwireException ended) {
    engine.disconnect(from);
    open.remove(from);
    if (isLeaving && open.isEmpty()) {
      left.complete(null);
    }
    if (from == next) {
      next = null;
      registerLimit.cancel(false);
      RunwireException why =
          ended == null
              ? RunwireException.of(
                  Status.Code.UNAVAILABLE, "", "the server ended the stream at once")
              : ended;
      notRegistered(why);
    } else if (from == current) {
      current = null;
      lost(ended);
    }
  }

  private void notRegistered(RunwireException why) {
    if (isLeaving || failed.isDone()) {
      return;
    }
    if (why.isPermanent()) {
      fail(why);
      return;
    }
    LOGGER.info("tool host {}: not connected: {}", hostId(), why.getMessage());
    if (current != null && isGoingAway && engine.isIdle()) {
      // A server that drains, and has no successor yet, ends without waiting for this host.
      current.finish();
    }
    connectAfter(waits.nextMillis(why.retryDelay().orElse(Duration.ZERO)));
  }

  private void lost(RunwireException ended) {
    if (isLeaving || failed.isDone()) {
      return;
    }
    if (ended != null) {
      LOGGER.info("tool host {}: stream ended: {}", hostId(), ended.getMessage());
      if (ended.isPermanent()) {
        fail(ended);
        return;
      }
    }
    if (next != null || isNextDue) {
      return; // Its successor is under way.
    }
    if (System.nanoTime() - since > STABLE_NANOS) {
      waits.reset();
      connect();
    } else {
      connectAfter(waits.nextMillis(Duration.ZERO));
    }
  }

  private void connectAfter(long millis) {
    isNextDue = true;
    try {
      transport.after(millis, this::connect);
    } catch (RejectedExecutionException e) {
      fail(RunwireException.cancelled("the client was closed"));
    }
  }

  private void fail(RunwireException why) {
    isLeaving = true;
    if (current != null) {
      current.close();
    }
    // Whoever waits goes on elsewhere: the lock is held here.
    transport
        .executor()
        .execute(
            () -> {
              live.completeExceptionally(why);
              failed.completeExceptionally(why);
            });
  }
}
