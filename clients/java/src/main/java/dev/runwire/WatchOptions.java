package dev.runwire;

import dev.runwire.v1.EventDetail;
import java.util.OptionalLong;

/**
 * How to watch a run.
 *
 * @param after the last event that is known, and is not seen again; 0: from the beginning; empty:
 *     from how things stand, a {@link RunEvent.Snapshot}
 * @param isDurable leaves out deltas and progress
 */
public record WatchOptions(OptionalLong after, boolean isDurable) {
  /** From the beginning, with everything. */
  public static final WatchOptions ALL = new WatchOptions(OptionalLong.of(0), false);

  /** From how things stand, with everything. */
  public static final WatchOptions FROM_NOW = new WatchOptions(OptionalLong.empty(), false);

  /** From after this event, which is not seen again. */
  public WatchOptions after(long sequence) {
    return new WatchOptions(OptionalLong.of(sequence), isDurable);
  }

  /** Without deltas and progress. */
  public WatchOptions durable() {
    return new WatchOptions(after, true);
  }

  EventDetail detail() {
    return isDurable ? EventDetail.EVENT_DETAIL_DURABLE : EventDetail.EVENT_DETAIL_FULL;
  }
}
