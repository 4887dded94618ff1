package dev.runwire;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;

/** A stream from the server. */
final class Inflow<Q, R> {
  /** Messages that may be on their way when a consumer does not keep up. */
  private static final int AHEAD = 16;

  /** What a stream says to its owner; one call at a time. */
  interface Listener<R> {
    /** The server has begun to answer. */
    default void onOpen() {}

    /** The server's next message. Returns whether another is wanted; if not, see more(). */
    boolean onMessage(R message);

    /** The stream is over; null: well. */
    void onEnd(RunwireException failure);
  }

  private final ClientCall<Q, R> call;
  private final Listener<R> owner;
  private int held;

  Inflow(
      Transport transport, MethodDescriptor<Q, R> method, CallOptions options, Listener<R> owner) {
    this.owner = owner;
    call = transport.streams().newCall(method, options);
  }

  void start(Q request) {
    call.start(new Reader(), new Metadata());
    call.sendMessage(request);
    call.halfClose();
    call.request(AHEAD);
  }

  /** Asks for more, after messages were held back. */
  synchronized void more() {
    if (held > 0) {
      call.request(held);
      held = 0;
    }
  }

  /** Ends the stream now. */
  void close() {
    call.cancel("the client has left", null);
  }

  private final class Reader extends ClientCall.Listener<R> {
    @Override
    public void onHeaders(Metadata headers) {
      owner.onOpen();
    }

    @Override
    public void onMessage(R message) {
      synchronized (Inflow.this) {
        held++;
      }
      if (owner.onMessage(message)) {
        more();
      }
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      owner.onEnd(
          status.isOk() ? null : RunwireException.from(status.asRuntimeException(trailers)));
    }
  }
}
