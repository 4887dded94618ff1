package dev.runwire;

import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/** Futures made of others, whose cancellation reaches those. */
final class Futures {
  private Futures() {}

  static <A, B> CompletableFuture<B> map(CompletableFuture<A> of, Function<A, B> change) {
    return linked(of, of.thenApply(change));
  }

  static <A, B> CompletableFuture<B> flatMap(
      CompletableFuture<A> of, Function<A, CompletableFuture<B>> change) {
    return linked(of, of.thenCompose(change));
  }

  /** A future that completes as another does; cancelling it cancels what that is made of. */
  private static <B> CompletableFuture<B> linked(
      CompletableFuture<?> source, CompletableFuture<B> derived) {
    CompletableFuture<B> linked = new CompletableFuture<>();
    derived.whenComplete(
        (value, thrown) -> {
          if (thrown == null) {
            linked.complete(value);
          } else {
            linked.completeExceptionally(unwrapped(thrown));
          }
        });
    linked.whenComplete(
        (value, thrown) -> {
          if (linked.isCancelled()) {
            source.cancel(true);
          }
        });
    return linked;
  }

  private static Throwable unwrapped(Throwable thrown) {
    return thrown instanceof java.util.concurrent.CompletionException && thrown.getCause() != null
        ? thrown.getCause()
        : thrown;
  }
}
