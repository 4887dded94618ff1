package dev.runwire;

import dev.runwire.v1.Heartbeat;
import dev.runwire.v1.HostSession;
import dev.runwire.v1.ToolCallReport;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * A two-way stream. Messages are queued and written as the stream takes them, heartbeats go both
 * ways. Reading never waits for writing, so the two sides cannot block each other.
 */
final class Duplex<Q, R> implements Session {
  private static final long DEFAULT_HEARTBEAT_MILLIS = 15_000;
  private static final int MISSED_HEARTBEATS = 3;
  private static final int MAX_QUEUED_PROGRESS = 256;
  private static final String SILENT = "the server has been silent for too long";

  /** What a stream says to its owner; one call at a time. */
  interface Listener<Q, R> {
    /**
     * The server's next message. Returns whether the one after it is wanted; if not, see more().
     */
    boolean onMessage(Duplex<Q, R> from, R message);

    /** The stream is over; null: well. */
    void onEnd(Duplex<Q, R> from, RunwireException failure);
  }

  /** A stream's own messages. */
  record Wording<Q>(Function<ToolCallReport, Q> report, Function<Heartbeat, Q> heartbeat) {}

  private final Transport transport;
  private final Wording<Q> wording;
  private final Listener<Q, R> owner;
  private final ClientCall<Q, R> call;
  private final Deque<Q> queue = new ArrayDeque<>();
  private boolean isFinishing;
  private boolean isHalfClosed;
  private boolean isOver;
  private boolean isSilent;
  private boolean isHeld;
  private long intervalMillis = DEFAULT_HEARTBEAT_MILLIS;
  private long readAt = System.nanoTime();
  private long wroteAt = System.nanoTime();
  private ScheduledFuture<?> tick;

  Duplex(
      Transport transport,
      MethodDescriptor<Q, R> method,
      CallOptions options,
      Wording<Q> wording,
      Listener<Q, R> owner) {
    this.transport = transport;
    this.wording = wording;
    this.owner = owner;
    call = transport.streams().newCall(method, options);
  }

  /** Opens the stream, and writes the first message. */
  synchronized void start(Q first) {
    queue.add(first);
    call.start(new Reader(), new Metadata());
    call.request(1);
    flush();
    scheduleTick();
  }

  @Override
  public void report(ToolCallReport report) {
    synchronized (this) {
      // Progress is for display: it is dropped when the server does not keep up.
      if (report.hasProgress() && queue.size() >= MAX_QUEUED_PROGRESS) {
        return;
      }
    }
    push(wording.report().apply(report));
  }

  /** Queues a message. It never waits; on a finished stream it does nothing. */
  synchronized void push(Q message) {
    if (!isFinishing && !isOver) {
      queue.add(message);
      flush();
    }
  }

  /** Takes the server's terms. */
  synchronized void agree(HostSession terms) {
    long millis = RunwireException.toDuration(terms.getHeartbeatInterval()).toMillis();
    if (millis > 0 && !isOver) {
      intervalMillis = millis;
      scheduleTick();
    }
  }

  /** Asks for the next message, after one was held back. */
  synchronized void more() {
    if (isHeld) {
      isHeld = false;
      readAt = System.nanoTime();
      call.request(1);
    }
  }

  /** Half-closes once everything queued is written. The server then ends the stream. */
  synchronized void finish() {
    if (!isOver) {
      isFinishing = true;
      flush();
    }
  }

  /** As {@link #finish()}; if the server has not ended the stream within the time, it is cut. */
  void finish(long withinMillis) {
    finish();
    later(withinMillis, this::close);
  }

  /** Ends the stream as one whose server does not answer. */
  void giveUp() {
    synchronized (this) {
      isSilent = true;
    }
    call.cancel(SILENT, null);
  }

  /** Ends the stream now. */
  void close() {
    call.cancel("the client has left", null);
  }

  private void flush() {
    while (!queue.isEmpty() && call.isReady()) {
      call.sendMessage(queue.poll());
      wroteAt = System.nanoTime();
    }
    if (isFinishing && queue.isEmpty() && !isHalfClosed && !isOver) {
      isHalfClosed = true;
      call.halfClose();
    }
  }

  private void scheduleTick() {
    if (tick != null) {
      tick.cancel(false);
    }
    tick = later(intervalMillis / 2, this::tick);
  }

  private ScheduledFuture<?> later(long millis, Runnable work) {
    try {
      return transport.after(millis, work);
    } catch (RejectedExecutionException e) {
      return null; // The client is closed, and so is the stream.
    }
  }

  private void tick() {
    long silentFor;
    synchronized (this) {
      if (isOver) {
        return;
      }
      long now = System.nanoTime();
      silentFor = isHeld ? 0 : TimeUnit.NANOSECONDS.toMillis(now - readAt);
      boolean isQuiet = TimeUnit.NANOSECONDS.toMillis(now - wroteAt) >= intervalMillis / 2;
      if (isQuiet && !isFinishing && queue.isEmpty()) {
        push(wording.heartbeat().apply(Heartbeat.getDefaultInstance()));
      }
      scheduleTick();
    }
    if (silentFor > intervalMillis * MISSED_HEARTBEATS) {
      giveUp();
    }
  }

  private final class Reader extends ClientCall.Listener<R> {
    @Override
    public void onReady() {
      synchronized (Duplex.this) {
        if (!isOver) {
          flush();
        }
      }
    }

    @Override
    public void onMessage(R message) {
      synchronized (Duplex.this) {
        readAt = System.nanoTime();
        isHeld = true;
      }
      if (owner.onMessage(Duplex.this, message)) {
        more();
      }
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      boolean wasSilent;
      synchronized (Duplex.this) {
        isOver = true;
        queue.clear();
        wasSilent = isSilent;
        if (tick != null) {
          tick.cancel(false);
        }
      }
      owner.onEnd(Duplex.this, failureOf(status, trailers, wasSilent));
    }
  }

  private static RunwireException failureOf(Status status, Metadata trailers, boolean wasSilent) {
    if (wasSilent) {
      return RunwireException.of(Status.Code.UNAVAILABLE, Reason.HEARTBEAT_MISSED, SILENT);
    }
    return status.isOk() ? null : RunwireException.from(status.asRuntimeException(trailers));
  }
}
