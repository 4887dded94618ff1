package dev.runwire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.runwire.v1.CompletionServiceGrpc.CompletionServiceImplBase;
import dev.runwire.v1.GenerateCompletionRequest;
import dev.runwire.v1.GenerateCompletionResponse;
import dev.runwire.v1.MessageDelta;
import dev.runwire.v1.StreamCompletionRequest;
import dev.runwire.v1.StreamCompletionResponse;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Scope;
import io.opentelemetry.context.propagation.ContextPropagators;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** With a server that the test plays itself. */
@Timeout(60)
class TransportTest {
  private static final String TRACE = "0af7651916cd43dd8448eb211c80319c";
  private static final String CHUNK = "x".repeat(64 << 10);

  private final ConcurrentLinkedQueue<Metadata> headers = new ConcurrentLinkedQueue<>();
  private final CountDownLatch stuck = new CountDownLatch(2);
  private io.grpc.Server server;

  /** Answers completions, and streams without end, as fast as it may. */
  private final class Completions extends CompletionServiceImplBase {
    @Override
    public void generateCompletion(
        GenerateCompletionRequest request, StreamObserver<GenerateCompletionResponse> observer) {
      observer.onNext(GenerateCompletionResponse.getDefaultInstance());
      observer.onCompleted();
    }

    @Override
    public void streamCompletion(
        StreamCompletionRequest request, StreamObserver<StreamCompletionResponse> observer) {
      ServerCallStreamObserver<StreamCompletionResponse> call =
          (ServerCallStreamObserver<StreamCompletionResponse>) observer;
      StreamCompletionResponse chunk =
          StreamCompletionResponse.newBuilder()
              .setDelta(MessageDelta.newBuilder().setText(CHUNK))
              .build();
      call.setOnCancelHandler(() -> {});
      call.setOnReadyHandler(
          () -> {
            while (call.isReady()) {
              call.onNext(chunk);
            }
            stuck.countDown();
          });
    }
  }

  private final class Listening implements ServerInterceptor {
    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, R> call, Metadata metadata, ServerCallHandler<Q, R> next) {
      headers.add(metadata);
      return next.startCall(call, metadata);
    }
  }

  @BeforeEach
  void start() throws IOException {
    server =
        NettyServerBuilder.forPort(0)
            .addService(ServerInterceptors.intercept(new Completions(), new Listening()))
            .build()
            .start();
  }

  @AfterEach
  void stop() throws InterruptedException {
    server.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
  }

  private Runwire.Builder client() {
    return Runwire.builder().target("127.0.0.1:" + server.getPort());
  }

  private String header(String name) {
    return headers.remove().get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
  }

  @Test
  void aConsumerThatDoesNotKeepUpHoldsUpNobodyElse() throws InterruptedException {
    List<CompletionStream> streams = new ArrayList<>();
    try (Runwire client = client().build()) {
      for (int i = 0; i < 2; i++) {
        CompletionStream stream = client.stream(CompletionRequest.of("any:model", "go"));
        Iterator<Chunk> chunks = stream.iterator();
        assertTrue(chunks.hasNext()); // It begins, and takes no more.
        streams.add(stream);
      }
      assertTrue(stuck.await(20, TimeUnit.SECONDS));
      CompletionRequest other =
          CompletionRequest.of("any:model", "go").within(Duration.ofSeconds(20));
      assertEquals("", client.complete(other).text());
      streams.forEach(CompletionStream::close);
    }
  }

  @Test
  void theTokenThatIsValidNowGoesWithEveryCall() {
    List<String> tokens = new ArrayList<>(List.of("first", "second"));
    try (Runwire client = client().token(() -> tokens.remove(0)).build()) {
      client.complete("any:model", "go");
      client.complete("any:model", "go");
    }
    assertEquals("Bearer first", header("authorization"));
    assertEquals("Bearer second", header("authorization"));
  }

  @Test
  void theTraceOfTheCallerGoesWithItsCalls() {
    GlobalOpenTelemetry.resetForTest();
    GlobalOpenTelemetry.set(
        OpenTelemetry.propagating(
            ContextPropagators.create(W3CTraceContextPropagator.getInstance())));
    SpanContext span =
        SpanContext.create(
            TRACE, "b7ad6b7169203331", TraceFlags.getSampled(), TraceState.getDefault());
    try (Runwire client = client().build();
        Scope scope = Span.wrap(span).makeCurrent()) {
      assertTrue(scope != null);
      client.complete("any:model", "go");
    } finally {
      GlobalOpenTelemetry.resetForTest();
    }
    assertTrue(header("traceparent").contains(TRACE));
  }

  @Test
  void aToolWorksInTheTraceOfItsRun() {
    GlobalOpenTelemetry.resetForTest();
    GlobalOpenTelemetry.set(
        OpenTelemetry.propagating(
            ContextPropagators.create(W3CTraceContextPropagator.getInstance())));
    try {
      String traceparent = "00-" + TRACE + "-b7ad6b7169203331-01";
      String within =
          Tracing.INSTANCE.within(
              traceparent, "", () -> Span.current().getSpanContext().getTraceId());
      assertEquals(TRACE, within);
    } finally {
      GlobalOpenTelemetry.resetForTest();
    }
  }
}
