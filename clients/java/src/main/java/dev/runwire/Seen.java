package dev.runwire;

import dev.runwire.v1.RunEvent.EventCase;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/**
 * What a watch of many runs has shown: one that goes on from an early cursor comes upon it twice.
 */
final class Seen {
  /** Runs that have ended and are remembered. */
  private static final int MAX_FINISHED = 4_096;

  private final Map<String, Long> newest = new HashMap<>();
  private final Set<String> finished = new LinkedHashSet<>();

  /** Whether the event is to be shown; it then counts as shown. */
  boolean isNew(String runId, dev.runwire.v1.RunEvent event) {
    if (event.getEventCase() == EventCase.HEARTBEAT) {
      return true;
    }
    boolean isSnapshot = event.getEventCase() == EventCase.SNAPSHOT;
    if (!isSnapshot && event.getSequence() <= newest.getOrDefault(runId, 0L)) {
      return false;
    }
    newest.put(runId, event.getSequence());
    if (isEnd(event)) {
      remember(runId);
    }
    return true;
  }

  private static boolean isEnd(dev.runwire.v1.RunEvent event) {
    return switch (event.getEventCase()) {
      case RUN_UPDATED -> FromWire.state(event.getRunUpdated().getState()).isTerminal();
      case SNAPSHOT ->
          event.getSnapshot().getRunsCount() > 0
              && FromWire.state(event.getSnapshot().getRuns(0).getState()).isTerminal();
      default -> false;
    };
  }

  private void remember(String runId) {
    finished.add(runId);
    if (finished.size() > MAX_FINISHED) {
      Iterator<String> oldest = finished.iterator();
      newest.remove(oldest.next());
      oldest.remove();
    }
  }
}
