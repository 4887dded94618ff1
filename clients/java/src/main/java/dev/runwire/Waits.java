package dev.runwire;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/** The waits between attempts: doubling, with jitter, so that clients do not return in step. */
final class Waits {
  private static final long FIRST_MILLIS = 100;
  private static final long MOST_MILLIS = 5_000;

  private long nextMillis;

  /** Begins again with the shortest wait. */
  void reset() {
    nextMillis = 0;
  }

  /** The next wait, as long as the server asks at the least. */
  long nextMillis(Duration atLeast) {
    nextMillis = Math.min(Math.max(2 * nextMillis, FIRST_MILLIS), MOST_MILLIS);
    long jittered = FIRST_MILLIS / 2 + ThreadLocalRandom.current().nextLong(nextMillis);
    return Math.max(jittered, atLeast.toMillis());
  }
}
