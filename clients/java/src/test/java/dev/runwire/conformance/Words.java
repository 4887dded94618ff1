package dev.runwire.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.concurrent.CompletableFuture;

/** What the runner says in the middle of a case: each at most once. */
final class Words {
  private CompletableFuture<Void> released = new CompletableFuture<>();
  private CompletableFuture<String> asked = new CompletableFuture<>();

  synchronized void reset() {
    released = new CompletableFuture<>();
    asked = new CompletableFuture<>();
  }

  synchronized void hear(JsonNode line) {
    if (line.path("release").asBoolean()) {
      released.complete(null);
    } else {
      asked.complete(line.path("cancel").asBoolean() ? "cancel" : "leave");
    }
  }

  /** Completes when gates may open. */
  synchronized CompletableFuture<Void> released() {
    return released;
  }

  /** Completes with what is asked: cancel or leave. */
  synchronized CompletableFuture<String> asked() {
    return asked;
  }
}
