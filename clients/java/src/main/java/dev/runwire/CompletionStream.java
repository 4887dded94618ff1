package dev.runwire;

import dev.runwire.v1.CompletionServiceGrpc;
import dev.runwire.v1.StreamCompletionRequest;
import dev.runwire.v1.StreamCompletionResponse;
import io.grpc.CallOptions;
import io.grpc.Status;
import java.util.concurrent.CompletableFuture;

/**
 * A completion as it is made. The last chunk has the whole. Closing it early cancels the
 * completion.
 */
public final class CompletionStream extends EventStream<Chunk> {
  private volatile Completion completion;

  CompletionStream(Transport transport, CompletionRequest request) {
    super(new Chunks(transport, request), transport.executor());
  }

  /**
   * The whole, after what is left of the chunks.
   *
   * @throws RunwireException the completion failed
   */
  public Completion completion() {
    return completion == null ? Awaiting.get(completionAsync()) : completion;
  }

  /** The whole, without its pieces; cancelling the future cancels the completion. */
  public CompletableFuture<Completion> completionAsync() {
    CompletableFuture<Completion> whole = new CompletableFuture<>();
    forEachAsync(chunk -> {})
        .whenComplete(
            (nothing, thrown) -> {
              if (thrown == null) {
                whole.complete(completion);
              } else {
                whole.completeExceptionally(thrown);
              }
            });
    whole.whenComplete(
        (done, thrown) -> {
          if (whole.isCancelled()) {
            close();
          }
        });
    return whole;
  }

  @Override
  void seen(Chunk chunk) {
    if (chunk instanceof Chunk.Whole whole) {
      completion = whole.completion();
    }
  }

  private static final class Chunks
      implements Source<Chunk>, Inflow.Listener<StreamCompletionResponse> {
    private final Transport transport;
    private final CompletionRequest request;
    private volatile Inflow<StreamCompletionRequest, StreamCompletionResponse> inflow;
    private Mailbox<Chunk> mailbox;
    private boolean hasWhole;

    Chunks(Transport transport, CompletionRequest request) {
      this.transport = transport;
      this.request = request;
    }

    @Override
    public void open(Mailbox<Chunk> into) {
      mailbox = into;
      inflow =
          new Inflow<>(
              transport,
              CompletionServiceGrpc.getStreamCompletionMethod(),
              Transport.withDeadline(CallOptions.DEFAULT, request.timeout()),
              this);
      inflow.start(StreamCompletionRequest.newBuilder().setParams(request.wire()).build());
    }

    @Override
    public void more() {
      inflow.more();
    }

    @Override
    public CompletableFuture<Void> leave() {
      if (inflow != null) {
        inflow.close();
      }
      return CompletableFuture.completedFuture(null);
    }

    @Override
    public boolean onMessage(StreamCompletionResponse response) {
      hasWhole = hasWhole || response.hasCompletion();
      FromWire.chunk(response).ifPresent(mailbox::offer);
      return mailbox.hasRoom();
    }

    @Override
    public void onEnd(RunwireException failure) {
      boolean isCut = failure == null && !hasWhole;
      mailbox.end(
          isCut
              ? RunwireException.of(
                  Status.Code.INTERNAL, "", "the stream ended before the completion")
              : failure);
    }
  }
}
