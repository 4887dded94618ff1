package dev.runwire;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/**
 * What happens, as it happens: for one loop, or for one consumer. Nothing is asked of the server
 * before that. Leaving a loop early needs {@link #close()}, and so a try-with-resources statement.
 *
 * @param <T> what happens
 */
public sealed class EventStream<T> implements Iterable<T>, AutoCloseable
    permits CompletionStream, RunStream {
  private static final int AHEAD = 1_024;
  private static final long LEAVING_MILLIS = 2_000;

  /** Where a stream's items come from. */
  interface Source<T> {
    /** Begins to fill the mailbox, and ends it at the end. */
    void open(Mailbox<T> into);

    /** There is room in the mailbox again. */
    void more();

    /** Ends, and does what leaving early means; the future completes when that is done. */
    CompletableFuture<Void> leave();
  }

  private final Source<T> source;
  private final Executor executor;
  private final Mailbox<T> mailbox;
  private boolean isOpen;

  EventStream(Source<T> source, Executor executor) {
    this.source = source;
    this.executor = executor;
    this.mailbox = new Mailbox<>(AHEAD, source::more);
  }

  /** Sees every item before the consumer does. */
  void seen(T item) {}

  /**
   * What happens, one after the other; {@code hasNext} waits for it. The end of the thread's
   * patience, an interrupt, leaves the stream.
   *
   * @throws IllegalStateException the stream has a consumer already
   */
  @Override
  public Iterator<T> iterator() {
    open();
    return new Items();
  }

  /**
   * Hands what happens to a consumer, one after the other, in a thread of the client. The future
   * completes at the end, or says why there is no more; cancelling it leaves the stream.
   *
   * @throws IllegalStateException the stream has a consumer already
   */
  public CompletableFuture<Void> forEachAsync(Consumer<? super T> consumer) {
    open();
    CompletableFuture<Void> done =
        mailbox.forEach(
            executor,
            item -> {
              seen(item);
              consumer.accept(item);
            });
    done.whenComplete(
        (nothing, thrown) -> {
          if (thrown != null) {
            leave();
          }
        });
    return done;
  }

  /** Leaves the stream. After its end this does nothing. */
  @Override
  public void close() {
    try {
      leave().get(LEAVING_MILLIS, TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (java.util.concurrent.ExecutionException | TimeoutException e) {
      return; // The server has graces of its own.
    }
  }

  private CompletableFuture<Void> leave() {
    CompletableFuture<Void> left = source.leave();
    mailbox.discard();
    return left;
  }

  private synchronized void open() {
    if (isOpen) {
      throw new IllegalStateException("a stream has one consumer");
    }
    isOpen = true;
    source.open(mailbox);
  }

  private final class Items implements Iterator<T> {
    private Optional<T> next = Optional.empty();
    private boolean isAtEnd;

    @Override
    public boolean hasNext() {
      if (next.isEmpty() && !isAtEnd) {
        try {
          next = mailbox.take();
        } catch (InterruptedException e) {
          leave();
          throw Awaiting.interrupted();
        }
        isAtEnd = next.isEmpty();
        next.ifPresent(EventStream.this::seen);
      }
      return !isAtEnd;
    }

    @Override
    public T next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      T item = next.orElseThrow();
      next = Optional.empty();
      return item;
    }
  }
}
