package dev.runwire;

import io.grpc.CallOptions;
import io.grpc.MethodDescriptor;
import java.util.List;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Supplier;

/** Watches runs across lost connections, from the place that was seen last. */
final class Watch<Q, R> implements EventStream.Source<RunEvent> {
  /**
   * What is watched.
   *
   * @param method the call
   * @param request what to ask for now: it changes with what was seen
   * @param take the events of a message; remembers how far that is
   * @param ended what the end of the stream means; null: the end
   */
  record Subject<Q, R>(
      MethodDescriptor<Q, R> method,
      Supplier<Q> request,
      java.util.function.Function<R, List<RunEvent>> take,
      Supplier<RunwireException> ended) {}

  private final Transport transport;
  private final Subject<Q, R> subject;
  private final CallOptions options = Transport.tracedBy(Tracing.INSTANCE.current());
  private final Patience patience = new Patience(1);
  private Mailbox<RunEvent> mailbox;
  private Inflow<Q, R> inflow;
  private boolean isLeft;

  Watch(Transport transport, Subject<Q, R> subject) {
    this.transport = transport;
    this.subject = subject;
  }

  @Override
  public void open(Mailbox<RunEvent> into) {
    mailbox = into;
    connect();
  }

  @Override
  public void more() {
    Inflow<Q, R> held;
    synchronized (this) {
      held = inflow;
    }
    if (held != null) {
      held.more();
    }
  }

  /** Watching changes nothing of a run, nor does leaving. */
  @Override
  public synchronized CompletableFuture<Void> leave() {
    isLeft = true;
    if (inflow != null) {
      inflow.close();
    }
    return CompletableFuture.completedFuture(null);
  }

  private synchronized void connect() {
    if (isLeft) {
      return;
    }
    transport.nudge();
    inflow = new Inflow<>(transport, subject.method(), options, new Reader());
    inflow.start(subject.request().get());
  }

  private final class Reader implements Inflow.Listener<R> {
    @Override
    public void onOpen() {
      patience.heard();
    }

    @Override
    public boolean onMessage(R message) {
      patience.heard();
      subject.take().apply(message).forEach(mailbox::offer);
      return mailbox.hasRoom();
    }

    @Override
    public void onEnd(RunwireException ended) {
      RunwireException failure = ended == null ? subject.ended().get() : ended;
      if (failure == null) {
        mailbox.end(null);
        return;
      }
      synchronized (Watch.this) {
        if (isLeft) {
          return;
        }
      }
      OptionalLong wait = patience.again(failure);
      try {
        if (wait.isPresent()) {
          transport.after(wait.getAsLong(), Watch.this::connect);
          return;
        }
      } catch (RejectedExecutionException e) {
        mailbox.end(failure); // The client was closed.
        return;
      }
      mailbox.end(failure);
    }
  }
}
