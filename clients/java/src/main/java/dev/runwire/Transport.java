package dev.runwire;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/**
 * A client's two connections, its threads and its clock.
 *
 * <p>Two connections, because one that is full of streams queues the next call silently, and a
 * cancellation must not wait for a stream to end.
 */
final class Transport implements AutoCloseable {
  /** Requests up to 32 MiB; answers are smaller, but a completion has no fixed bound. */
  private static final int MAX_MESSAGE_BYTES = 32 << 20;

  private static final int MAX_HEADER_BYTES = 32 << 10;

  /** Servers answer faster pings with GOAWAY. */
  private static final long KEEPALIVE_SECONDS = 60;

  private static final long KEEPALIVE_TIMEOUT_SECONDS = 20;
  private static final int CONNECT_TIMEOUT_MILLIS = 5_000;
  private static final long NUDGE_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

  private static final CallOptions.Key<Object> TRACE_CONTEXT =
      CallOptions.Key.create("runwire.trace-context");
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** How to connect. */
  record Settings(
      String target,
      ChannelCredentials credentials,
      Supplier<String> token,
      Optional<String> authority,
      Optional<Executor> executor,
      List<ClientInterceptor> interceptors) {}

  private final ManagedChannel streams;
  private final ManagedChannel control;
  private final Channel streamCalls;
  private final Channel controlCalls;
  private final ExecutorService threads;
  private final Executor toolThreads;
  private final ScheduledExecutorService clock;
  private final AtomicLong nudgedAt = new AtomicLong(System.nanoTime() - NUDGE_NANOS);

  Transport(Settings settings) {
    threads = Executors.newCachedThreadPool(daemons("runwire-"));
    toolThreads = settings.executor().orElse(threads);
    ScheduledThreadPoolExecutor timer =
        new ScheduledThreadPoolExecutor(1, daemons("runwire-clock-"));
    timer.setRemoveOnCancelPolicy(true);
    clock = timer;
    streams = connect(settings);
    control = connect(settings);
    streamCalls = intercepted(streams, settings);
    controlCalls = intercepted(control, settings);
  }

  /** The connection of completions and streams. */
  Channel streams() {
    return streamCalls;
  }

  /** The connection of short calls. */
  Channel control() {
    return controlCalls;
  }

  /** Where the client works: short pieces, and consumers of its events. */
  Executor executor() {
    return threads;
  }

  /** Where tools run. */
  Executor toolExecutor() {
    return toolThreads;
  }

  /**
   * Does something later.
   *
   * @throws java.util.concurrent.RejectedExecutionException the client is closed
   */
  ScheduledFuture<?> after(long millis, Runnable work) {
    return clock.schedule(work, millis, TimeUnit.MILLISECONDS);
  }

  ScheduledExecutorService clock() {
    return clock;
  }

  /** Options for calls in the trace of a caller who was here before. */
  static CallOptions tracedBy(Object context) {
    return context == null
        ? CallOptions.DEFAULT
        : CallOptions.DEFAULT.withOption(TRACE_CONTEXT, context);
  }

  /** Makes a short call. Cancelling the future cancels it. */
  <Q, R> CompletableFuture<R> call(MethodDescriptor<Q, R> method, Q request) {
    return call(controlCalls, method, request, Optional.empty());
  }

  /** Makes a call on a connection. Cancelling the future cancels it. */
  <Q, R> CompletableFuture<R> call(
      Channel on, MethodDescriptor<Q, R> method, Q request, Optional<Duration> timeout) {
    CallOptions options = withDeadline(CallOptions.DEFAULT, timeout);
    ClientCall<Q, R> call = on.newCall(method, options);
    CompletableFuture<R> future = new CompletableFuture<>();
    ClientCalls.asyncUnaryCall(call, request, new Completing<>(future));
    future.whenComplete(
        (response, thrown) -> {
          if (future.isCancelled()) {
            call.cancel("the caller has left", null);
          }
        });
    return future;
  }

  static CallOptions withDeadline(CallOptions options, Optional<Duration> timeout) {
    return timeout
        .map(time -> options.withDeadlineAfter(time.toNanos(), TimeUnit.NANOSECONDS))
        .orElse(options);
  }

  /**
   * Ends the pause that a connection makes after it was lost: its length is not ours to set, and
   * whoever comes back has waited already.
   */
  void nudge() {
    long now = System.nanoTime();
    long last = nudgedAt.get();
    if (now - last >= NUDGE_NANOS && nudgedAt.compareAndSet(last, now)) {
      streams.resetConnectBackoff();
      control.resetConnectBackoff();
    }
  }

  /** Closes the connections; what is under way on them ends as cancelled. */
  @Override
  public void close() {
    streams.shutdownNow();
    control.shutdownNow();
    // What waits for its next attempt makes it, and ends. The threads go when they are idle.
    clock.shutdown();
  }

  private ManagedChannel connect(Settings settings) {
    NettyChannelBuilder builder =
        NettyChannelBuilder.forTarget(settings.target(), Windows.widen(settings.credentials()))
            .userAgent("runwire-java")
            .flowControlWindow(Windows.STREAM)
            .maxInboundMessageSize(MAX_MESSAGE_BYTES)
            .maxInboundMetadataSize(MAX_HEADER_BYTES)
            .keepAliveTime(KEEPALIVE_SECONDS, TimeUnit.SECONDS)
            .keepAliveTimeout(KEEPALIVE_TIMEOUT_SECONDS, TimeUnit.SECONDS)
            .withOption(
                io.grpc.netty.shaded.io.netty.channel.ChannelOption.CONNECT_TIMEOUT_MILLIS,
                CONNECT_TIMEOUT_MILLIS)
            .defaultServiceConfig(Retries.SERVICE_CONFIG)
            .executor(threads);
    settings.authority().ifPresent(builder::overrideAuthority);
    return builder.build();
  }

  private static Channel intercepted(ManagedChannel channel, Settings settings) {
    Channel known = io.grpc.ClientInterceptors.intercept(channel, new Headers(settings.token()));
    return io.grpc.ClientInterceptors.intercept(known, settings.interceptors());
  }

  private static ThreadFactory daemons(String prefix) {
    AtomicInteger count = new AtomicInteger();
    return work -> {
      Thread thread = new Thread(work, prefix + count.incrementAndGet());
      thread.setDaemon(true);
      return thread;
    };
  }

  /** Adds the token, and the trace of the caller. */
  private record Headers(Supplier<String> token) implements ClientInterceptor {
    @Override
    public <Q, R> ClientCall<Q, R> interceptCall(
        MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
      return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
        @Override
        public void start(Listener<R> listener, Metadata headers) {
          String current = token.get();
          if (current != null && !current.isEmpty()) {
            headers.put(AUTHORIZATION, "Bearer " + current);
          }
          Tracing.INSTANCE.inject(options.getOption(TRACE_CONTEXT), headers);
          super.start(listener, headers);
        }
      };
    }
  }

  private record Completing<R>(CompletableFuture<R> future) implements StreamObserver<R> {
    @Override
    public void onNext(R response) {
      future.complete(response);
    }

    @Override
    public void onError(Throwable thrown) {
      future.completeExceptionally(RunwireException.from(thrown));
    }

    @Override
    public void onCompleted() {
      future.completeExceptionally(
          RunwireException.of(
              io.grpc.Status.Code.INTERNAL, "", "the call ended without a response"));
    }
  }

  /** Only calls that are harmless twice. Never completions and never the two-way streams. */
  private static final class Retries {
    static final Map<String, Object> SERVICE_CONFIG =
        Map.of(
            "methodConfig",
            List.of(
                Map.of(
                    "name",
                    List.of(
                        method("RunService", "CreateRun"),
                        method("RunService", "GetRun"),
                        method("RunService", "ListRuns"),
                        method("RunService", "WatchRun"),
                        method("RunService", "CancelRun"),
                        method("ToolService", "ReportToolCall"),
                        method("ToolService", "ListTools"),
                        method("ModelService", "ListModels")),
                    "retryPolicy",
                    Map.of(
                        "maxAttempts",
                        4.0,
                        "initialBackoff",
                        "0.1s",
                        "maxBackoff",
                        "2s",
                        "backoffMultiplier",
                        2.0,
                        "retryableStatusCodes",
                        List.of("UNAVAILABLE")))));

    private static Map<String, Object> method(String service, String name) {
      return Map.of("service", "runwire.v1." + service, "method", name);
    }
  }
}
