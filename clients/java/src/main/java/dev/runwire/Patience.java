package dev.runwire;

import java.time.Duration;
import java.util.OptionalLong;

/** How long to keep trying to get back to a stream that the server has once begun to answer. */
final class Patience {
  private static final long RECONNECT_NANOS = Duration.ofMinutes(2).toNanos();

  private final int firstAttempts;
  private final Waits waits = new Waits();
  private int attempts = 1;
  private boolean wasHeard;
  private long heardAt;

  /** With so many attempts before the server has answered for the first time. */
  Patience(int firstAttempts) {
    this.firstAttempts = firstAttempts;
  }

  /** The server has said something. */
  void heard() {
    wasHeard = true;
    heardAt = System.nanoTime();
    waits.reset();
  }

  /** The wait before the next attempt; empty when there is to be none. */
  OptionalLong again(RunwireException failure) {
    boolean mayTry =
        wasHeard
            ? System.nanoTime() - heardAt < RECONNECT_NANOS
            : attempts++ < firstAttempts && !isBusy(failure);
    return mayTry && !failure.isPermanent()
        ? OptionalLong.of(waits.nextMillis(failure.retryDelay().orElse(Duration.ZERO)))
        : OptionalLong.empty();
  }

  private static boolean isBusy(RunwireException failure) {
    return failure instanceof RunwireException.ResourceExhaustedException
        && failure.retryDelay().isEmpty();
  }
}
