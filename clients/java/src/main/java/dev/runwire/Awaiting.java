package dev.runwire;

import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** The blocking variants: those with futures, waited for. */
final class Awaiting {
  private Awaiting() {}

  /** Waits. An interrupt cancels what is waited for. */
  static <T> T get(CompletableFuture<T> future) {
    try {
      return future.get();
    } catch (InterruptedException e) {
      future.cancel(true);
      throw interrupted();
    } catch (CancellationException e) {
      throw RunwireException.cancelled("it was cancelled");
    } catch (ExecutionException e) {
      throw here(e.getCause());
    }
  }

  /** What an interrupted wait throws; the thread stays interrupted. */
  static RunwireException interrupted() {
    Thread.currentThread().interrupt();
    return RunwireException.cancelled("the thread was interrupted");
  }

  /** An exception of another thread, with the place where it was waited for. */
  static RunwireException here(Throwable thrown) {
    RunwireException exception = RunwireException.from(thrown);
    exception.fillInStackTrace();
    return exception;
  }
}
