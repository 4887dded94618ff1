package dev.runwire;

import dev.runwire.v1.CancelRunRequest;
import dev.runwire.v1.CreateRunRequest;
import dev.runwire.v1.GetRunRequest;
import dev.runwire.v1.ListRunsRequest;
import dev.runwire.v1.ListRunsResponse;
import dev.runwire.v1.RunServiceGrpc;
import dev.runwire.v1.WatchRunRequest;
import dev.runwire.v1.WatchRunResponse;
import dev.runwire.v1.WatchRunsRequest;
import dev.runwire.v1.WatchRunsResponse;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;

/** The runs of the tenant: create, follow, list and stop them. */
public final class Runs {
  private static final int PAGE = 200;

  private final Transport transport;

  Runs(Transport transport) {
    this.transport = transport;
  }

  /**
   * Creates a run that goes on by itself. Its tools must be hosted: see {@link
   * ToolHost#bindings()}.
   *
   * @throws IllegalArgumentException a tool is a function of this process
   * @throws RunwireException the server refuses it
   */
  public Run create(RunRequest request) {
    return Awaiting.get(createAsync(request));
  }

  /** As {@link #create(RunRequest)}. */
  public CompletableFuture<Run> createAsync(RunRequest request) {
    if (!request.agent().functions().isEmpty()) {
      throw new IllegalArgumentException(
          "a run that goes on by itself needs hosted tools: use ToolHost.bindings()");
    }
    CreateRunRequest create =
        CreateRunRequest.newBuilder()
            .setRequestId(request.requestId())
            .setSpec(request.spec())
            .build();
    return Futures.map(
        transport.call(RunServiceGrpc.getCreateRunMethod(), create),
        response -> FromWire.run(response.getRun()));
  }

  /** Returns a run. */
  public Run get(String runId) {
    return Awaiting.get(getAsync(runId));
  }

  /** As {@link #get(String)}. */
  public CompletableFuture<Run> getAsync(String runId) {
    GetRunRequest request = GetRunRequest.newBuilder().setRunId(runId).build();
    return Futures.map(
        transport.call(RunServiceGrpc.getGetRunMethod(), request),
        response -> FromWire.run(response.getRun()));
  }

  /**
   * Asks a run to stop, and returns it as it is then. It is harmless twice, and after the end.
   * Watch for the end.
   *
   * @param reason kept with the run; may be empty
   */
  public Run cancel(String runId, String reason) {
    return Awaiting.get(cancelAsync(runId, reason));
  }

  /** As {@link #cancel(String, String)}. */
  public CompletableFuture<Run> cancelAsync(String runId, String reason) {
    CancelRunRequest request =
        CancelRunRequest.newBuilder().setRunId(runId).setReason(reason).build();
    return Futures.map(
        transport.call(RunServiceGrpc.getCancelRunMethod(), request),
        response -> FromWire.run(response.getRun()));
  }

  /** The runs that match, newest first; pages are fetched as they are needed. */
  public Iterable<Run> list(RunFilter filter) {
    return () -> new Pages(filter);
  }

  /** A run's events until its last one, from the beginning, without gap or repeat. */
  public EventStream<RunEvent> watch(String runId) {
    return watch(runId, WatchOptions.ALL);
  }

  /** A run's events until its last one, across lost connections, without gap or repeat. */
  public EventStream<RunEvent> watch(String runId, WatchOptions options) {
    AtomicReference<OptionalLong> after = new AtomicReference<>(options.after());
    Watch.Subject<WatchRunRequest, WatchRunResponse> subject =
        new Watch.Subject<>(
            RunServiceGrpc.getWatchRunMethod(),
            () -> {
              WatchRunRequest.Builder request =
                  WatchRunRequest.newBuilder().setRunId(runId).setDetail(options.detail());
              after.get().ifPresent(request::setAfterSequence);
              return request.build();
            },
            response -> {
              List<RunEvent> events = new ArrayList<>();
              for (dev.runwire.v1.RunEvent event : response.getEventsList()) {
                after.set(OptionalLong.of(event.getSequence()));
                events.addAll(FromWire.events(runId, event));
              }
              return events;
            },
            () -> null);
    return new EventStream<>(new Watch<>(transport, subject), transport.executor());
  }

  /**
   * The events of all runs that match, on one stream, beginning with a snapshot of each that lives;
   * {@link RunEvent.Position#runId()} says whose they are. Runs that come to match are added, and
   * stay until their end. It has no deltas and no progress, and never ends by itself.
   */
  public EventStream<RunEvent> watchAll(RunFilter filter) {
    return watchAll(filter, WatchOptions.FROM_NOW.durable());
  }

  /** As {@link #watchAll(RunFilter)}; {@link WatchOptions#ALL} shows finished runs, too. */
  public EventStream<RunEvent> watchAll(RunFilter filter, WatchOptions options) {
    Seen seen = new Seen();
    AtomicReference<String> cursor = new AtomicReference<>("");
    Watch.Subject<WatchRunsRequest, WatchRunsResponse> subject =
        new Watch.Subject<>(
            RunServiceGrpc.getWatchRunsMethod(),
            () ->
                WatchRunsRequest.newBuilder()
                    .setFilter(filter.wire())
                    .setDetail(options.detail())
                    .setCursor(cursor.get())
                    .setIncludeFinished(cursor.get().isEmpty() && options.after().isPresent())
                    .build(),
            response -> {
              List<RunEvent> events = new ArrayList<>();
              for (dev.runwire.v1.RunEvent event : response.getEventsList()) {
                if (seen.isNew(response.getRootRunId(), event)) {
                  events.addAll(FromWire.events(response.getRootRunId(), event));
                }
              }
              cursor.set(response.getCursor());
              return events;
            },
            () -> RunwireException.of(Status.Code.UNAVAILABLE, "", "the stream ended"));
    return new EventStream<>(new Watch<>(transport, subject), transport.executor());
  }

  /** Waits for the end of a run. */
  public Run waitFor(String runId) {
    return Awaiting.get(waitForAsync(runId));
  }

  /** As {@link #waitFor(String)}. Cancelling the future leaves the run as it is. */
  public CompletableFuture<Run> waitForAsync(String runId) {
    AtomicReference<Run> last = new AtomicReference<>();
    CompletableFuture<Void> watched =
        watch(runId, WatchOptions.FROM_NOW.durable())
            .forEachAsync(
                event -> {
                  if (event instanceof RunEvent.RunUpdated updated) {
                    last.set(updated.run());
                  } else if (event instanceof RunEvent.Snapshot snapshot) {
                    last.set(snapshot.run());
                  }
                });
    return Futures.flatMap(
        watched,
        nothing -> {
          Run run = last.get();
          return run != null && run.isFinished()
              ? CompletableFuture.completedFuture(run)
              : getAsync(runId);
        });
  }

  /**
   * Attaches to an existing run and runs its tools here, in the place of whoever did before: how a
   * run goes on after its process was lost. Its events come from the beginning; closing the stream
   * leaves the run as it is.
   *
   * @param tools the run's attached tools
   */
  public RunStream attach(String runId, List<FunctionTool> tools) {
    return attach(runId, tools, WatchOptions.ALL);
  }

  /** As {@link #attach(String, List)}, with these events. */
  public RunStream attach(String runId, List<FunctionTool> tools, WatchOptions options) {
    FunctionTool.requireDistinct(tools);
    Attachment.Settings settings =
        new Attachment.Settings(
            Optional.empty(),
            runId,
            "",
            options.after(),
            tools.isEmpty() ? 0 : RunRequest.WINDOW,
            true,
            !options.isDurable());
    return new RunStream(transport, new Attachment(transport, tools, settings), List.of());
  }

  private final class Pages implements Iterator<Run> {
    private final RunFilter filter;
    private Iterator<Run> page = List.<Run>of().iterator();
    private String token = "";
    private boolean isLast;

    Pages(RunFilter filter) {
      this.filter = filter;
    }

    @Override
    public boolean hasNext() {
      while (!page.hasNext() && !isLast) {
        ListRunsRequest request =
            ListRunsRequest.newBuilder()
                .setFilter(filter.wire())
                .setPageSize(PAGE)
                .setPageToken(token)
                .build();
        ListRunsResponse response =
            Awaiting.get(transport.call(RunServiceGrpc.getListRunsMethod(), request));
        page = response.getRunsList().stream().map(FromWire::run).iterator();
        token = response.getNextPageToken();
        isLast = token.isEmpty();
      }
      return page.hasNext();
    }

    @Override
    public Run next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      return page.next();
    }
  }
}
