package dev.runwire;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/**
 * A bounded queue between a stream and its one consumer. Producers never wait: they are told when
 * it is full, and called when there is room again.
 */
final class Mailbox<T> {
  private final int limit;
  private final Runnable room;
  private final Deque<T> items = new ArrayDeque<>();
  private boolean isFull;
  private boolean isEnded;
  private RunwireException failure;
  private Runnable drain;

  Mailbox(int limit, Runnable room) {
    this.limit = limit;
    this.room = room;
  }

  /** Adds an item; returns whether there is room for more. After the end it does nothing. */
  boolean offer(T item) {
    Runnable next;
    boolean hasRoom;
    synchronized (this) {
      if (isEnded) {
        return false;
      }
      items.add(item);
      isFull = isFull || items.size() >= limit;
      hasRoom = !isFull;
      next = takeDrain();
      notifyAll();
    }
    next.run();
    return hasRoom;
  }

  /** Whether there is room for more; if not, {@code room} is called when there is. */
  synchronized boolean hasRoom() {
    return !isFull;
  }

  /** Ends the stream, after what is queued; null: well. The first end counts. */
  void end(RunwireException failure) {
    Runnable next;
    synchronized (this) {
      if (isEnded) {
        return;
      }
      isEnded = true;
      this.failure = failure;
      next = takeDrain();
      notifyAll();
    }
    next.run();
  }

  /** Ends the stream and drops what is queued. */
  void discard() {
    synchronized (this) {
      items.clear();
    }
    end(null);
  }

  /**
   * Waits for the next item; empty at the end.
   *
   * @throws RunwireException the stream has failed
   */
  Optional<T> take() throws InterruptedException {
    synchronized (this) {
      while (items.isEmpty() && !isEnded) {
        wait();
      }
    }
    Optional<T> next = poll();
    if (next.isEmpty() && failure != null) {
      throw Awaiting.here(failure);
    }
    return next;
  }

  /** Hands every item to a consumer, one after the other; the future says how the stream ended. */
  CompletableFuture<Void> forEach(Executor executor, Consumer<? super T> consumer) {
    CompletableFuture<Void> done = new CompletableFuture<>();
    Runnable work =
        new Runnable() {
          @Override
          public void run() {
            try {
              for (Optional<T> next = poll(); next.isPresent(); next = poll()) {
                consumer.accept(next.get());
              }
            } catch (RuntimeException | Error e) {
              done.completeExceptionally(e);
              discard();
              return;
            }
            settle(executor, this, done);
          }
        };
    executor.execute(work);
    return done;
  }

  private void settle(Executor executor, Runnable work, CompletableFuture<Void> done) {
    synchronized (this) {
      if (!items.isEmpty()) {
        executor.execute(work);
        return;
      }
      if (!isEnded) {
        drain = () -> executor.execute(work);
        return;
      }
    }
    if (failure == null) {
      done.complete(null);
    } else {
      done.completeExceptionally(failure);
    }
  }

  private Optional<T> poll() {
    Optional<T> next;
    boolean hasRoomAgain;
    synchronized (this) {
      next = Optional.ofNullable(items.poll());
      hasRoomAgain = isFull && items.size() <= limit / 2;
      isFull = isFull && !hasRoomAgain;
    }
    if (hasRoomAgain) {
      room.run();
    }
    return next;
  }

  private Runnable takeDrain() {
    Runnable next = drain == null ? () -> {} : drain;
    drain = null;
    return next;
  }
}
