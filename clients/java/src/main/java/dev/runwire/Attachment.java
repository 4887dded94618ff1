package dev.runwire;

import dev.runwire.v1.AttachRunRequest;
import dev.runwire.v1.AttachRunResponse;
import dev.runwire.v1.AttachRunStart;
import dev.runwire.v1.AttachRunStart.DisconnectPolicy;
import dev.runwire.v1.CancelRunRequest;
import dev.runwire.v1.EventDetail;
import dev.runwire.v1.RunServiceGrpc;
import dev.runwire.v1.RunSpec;
import io.grpc.CallOptions;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One run on a stream of its own, followed across any number of streams; its tools run here
 * meanwhile, however busy the consumer of its events is.
 */
final class Attachment
    implements EventStream.Source<RunEvent>, Duplex.Listener<AttachRunRequest, AttachRunResponse> {
  private static final Logger LOGGER = LoggerFactory.getLogger(Runwire.class);
  private static final int FIRST_ATTEMPTS = 4;
  private static final long CLOSE_MILLIS = 5_000;
  private static final Duration CANCEL_TIME = Duration.ofSeconds(2);

  /** This process, to the server: the only one that can say of its calls that none was begun. */
  private static final String PROCESS = "java-" + UUID.randomUUID();

  private static final Duplex.Wording<AttachRunRequest> WORDING =
      new Duplex.Wording<>(
          report -> AttachRunRequest.newBuilder().setReport(report).build(),
          heartbeat -> AttachRunRequest.newBuilder().setHeartbeat(heartbeat).build());

  /**
   * What to attach to, and how.
   *
   * @param spec of a new run
   * @param runId of a run that is there
   * @param after the last event that is known; empty: begin with how things stand
   */
  record Settings(
      Optional<RunSpec> spec,
      String runId,
      String requestId,
      OptionalLong after,
      int window,
      boolean isDetached,
      boolean hasDeltas) {}

  private final Transport transport;
  private final Engine engine;
  private final Settings settings;
  private final CallOptions options;
  private final Patience patience = new Patience(FIRST_ATTEMPTS);

  private Mailbox<RunEvent> mailbox;
  private Duplex<AttachRunRequest, AttachRunResponse> session;
  private volatile String runId;
  private OptionalLong after;
  private boolean isStarted;
  private boolean isFinished;
  private boolean isLeft;

  Attachment(Transport transport, List<FunctionTool> tools, Settings settings) {
    this.transport = transport;
    this.settings = settings;
    engine = new Engine(tools, new Engine.Means(transport.toolExecutor(), transport.clock()));
    options = Transport.tracedBy(Tracing.INSTANCE.current());
    runId = settings.runId();
    // A created run is followed from its beginning: what is missed is wanted.
    after = settings.spec().isPresent() ? OptionalLong.of(0) : settings.after();
  }

  /** The run; empty until the server has answered. */
  String runId() {
    return runId;
  }

  @Override
  public void open(Mailbox<RunEvent> into) {
    mailbox = into;
    connect();
  }

  @Override
  public void more() {
    Duplex<AttachRunRequest, AttachRunResponse> held;
    synchronized (this) {
      held = session;
    }
    if (held != null) {
      held.more();
    }
  }

  /** Asks the server to stop a run that nobody waits for; if that fails, its own grace does. */
  @Override
  public CompletableFuture<Void> leave() {
    boolean mayStop;
    synchronized (this) {
      if (isLeft || isFinished) {
        return CompletableFuture.completedFuture(null);
      }
      isLeft = true;
      mayStop = isStarted && !settings.isDetached();
      if (session != null) {
        session.close();
      }
    }
    engine.abort();
    return mayStop ? stop() : CompletableFuture.completedFuture(null);
  }

  private CompletableFuture<Void> stop() {
    CancelRunRequest request =
        CancelRunRequest.newBuilder().setRunId(runId).setReason("the client left").build();
    return transport
        .call(
            transport.control(),
            RunServiceGrpc.getCancelRunMethod(),
            request,
            Optional.of(CANCEL_TIME))
        .handle(
            (response, thrown) -> {
              if (thrown != null) {
                LOGGER.info("run {} was left and not cancelled: {}", runId, thrown.toString());
              }
              return null;
            });
  }

  // === Streams ===

  private synchronized void connect() {
    if (isLeft) {
      return;
    }
    transport.nudge();
    session = new Duplex<>(transport, RunServiceGrpc.getAttachRunMethod(), options, WORDING, this);
    session.start(AttachRunRequest.newBuilder().setStart(startOf(session)).build());
  }

  private AttachRunStart startOf(Session session) {
    AttachRunStart.Builder start =
        AttachRunStart.newBuilder()
            .setMaxConcurrentCalls(settings.window())
            .setDetail(
                settings.hasDeltas()
                    ? EventDetail.EVENT_DETAIL_FULL
                    : EventDetail.EVENT_DETAIL_DURABLE)
            .setHostId(PROCESS)
            .setOnDisconnect(
                settings.isDetached()
                    ? DisconnectPolicy.DISCONNECT_POLICY_DETACH
                    : DisconnectPolicy.DISCONNECT_POLICY_CANCEL)
            .addAllInFlight(engine.prepare(session));
    if (settings.spec().isPresent() && !isStarted) {
      return start.setCreate(settings.spec().get()).setRequestId(settings.requestId()).build();
    }
    after.ifPresent(start::setAfterSequence);
    return start.setRunId(runId).build();
  }

  @Override
  public boolean onMessage(
      Duplex<AttachRunRequest, AttachRunResponse> from, AttachRunResponse response) {
    patience.heard();
    switch (response.getMessageCase()) {
      case STARTED -> {
        synchronized (this) {
          isStarted = true;
          runId = response.getStarted().getRun().getId();
        }
        from.agree(response.getStarted().getSession());
        engine.connect(from);
      }
      case COMMAND -> engine.command(from, response.getCommand());
      case EVENTS -> response.getEvents().getEventsList().forEach(this::take);
      default -> {} // Of a newer server.
    }
    if (isFinished) {
      engine.abort();
      mailbox.end(null);
      from.finish(CLOSE_MILLIS);
      return true;
    }
    return mailbox.hasRoom();
  }

  private void take(dev.runwire.v1.RunEvent event) {
    synchronized (this) {
      if (after.isEmpty() || event.getSequence() > after.getAsLong()) {
        after = OptionalLong.of(event.getSequence());
      }
      isFinished = isFinished || isLast(event);
    }
    FromWire.events(runId, event).forEach(mailbox::offer);
  }

  private boolean isLast(dev.runwire.v1.RunEvent event) {
    return switch (event.getEventCase()) {
      case RUN_UPDATED -> isEnd(event.getRunUpdated());
      case SNAPSHOT -> event.getSnapshot().getRunsList().stream().anyMatch(this::isEnd);
      default -> false;
    };
  }

  private boolean isEnd(dev.runwire.v1.Run run) {
    return run.getId().equals(runId) && FromWire.state(run.getState()).isTerminal();
  }

  @Override
  public void onEnd(Duplex<AttachRunRequest, AttachRunResponse> from, RunwireException ended) {
    engine.disconnect(from);
    synchronized (this) {
      if (isFinished || isLeft) {
        return; // How its stream ends changes nothing.
      }
    }
    RunwireException failure =
        ended == null
            ? RunwireException.of(
                Status.Code.UNAVAILABLE, "", "the stream ended before the run did")
            : ended;
    OptionalLong wait = patience.again(failure);
    try {
      if (wait.isPresent()) {
        transport.after(wait.getAsLong(), this::connect);
        return;
      }
    } catch (RejectedExecutionException e) {
      LOGGER.debug("the client was closed");
    }
    engine.abort();
    mailbox.end(failure);
  }
}
