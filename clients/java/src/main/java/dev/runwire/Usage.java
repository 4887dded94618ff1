package dev.runwire;

/**
 * Counts tokens. Totals include their parts: {@code input} the cached, {@code output} the
 * reasoning.
 *
 * @param input all input tokens
 * @param output all output tokens
 * @param cacheRead those read from a prompt cache
 * @param cacheWrite those written to a prompt cache
 * @param reasoning those of reasoning
 */
public record Usage(long input, long output, long cacheRead, long cacheWrite, long reasoning) {
  /** Input and output. */
  public long total() {
    return input + output;
  }
}
