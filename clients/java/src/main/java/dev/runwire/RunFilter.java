package dev.runwire;

import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Selects runs. All that is given must hold.
 *
 * @param states those of which a run must have one; none: any
 * @param labels those that a run must all have
 * @param agentName the agent; empty: any
 * @param createdFrom created at this time or later
 * @param createdBefore created before this time
 */
public record RunFilter(
    List<RunState> states,
    Map<String, String> labels,
    String agentName,
    Optional<Instant> createdFrom,
    Optional<Instant> createdBefore) {
  /** Copies the collections. */
  public RunFilter {
    states = List.copyOf(states);
    labels = Map.copyOf(labels);
  }

  /** All runs. */
  public static RunFilter all() {
    return new RunFilter(List.of(), Map.of(), "", Optional.empty(), Optional.empty());
  }

  /** Runs with this label. */
  public static RunFilter labelled(String key, String value) {
    return all().andLabelled(key, value);
  }

  /** Those of these runs that have this label, too. */
  public RunFilter andLabelled(String key, String value) {
    Map<String, String> more = new HashMap<>(labels);
    more.put(key, value);
    return new RunFilter(states, more, agentName, createdFrom, createdBefore);
  }

  /** Those of these runs that are in one of these states. */
  public RunFilter in(RunState... states) {
    return new RunFilter(List.of(states), labels, agentName, createdFrom, createdBefore);
  }

  /** Those of these runs that are of this agent. */
  public RunFilter of(String agentName) {
    return new RunFilter(states, labels, agentName, createdFrom, createdBefore);
  }

  /** Those of these runs that were created at this time or later. */
  public RunFilter from(Instant time) {
    return new RunFilter(states, labels, agentName, Optional.of(time), createdBefore);
  }

  /** Those of these runs that were created before this time. */
  public RunFilter before(Instant time) {
    return new RunFilter(states, labels, agentName, createdFrom, Optional.of(time));
  }

  dev.runwire.v1.RunFilter wire() {
    dev.runwire.v1.RunFilter.Builder wire =
        dev.runwire.v1.RunFilter.newBuilder()
            .addAllStates(states.stream().map(ToWire::state).toList())
            .putAllLabels(labels)
            .setAgentName(agentName);
    createdFrom.map(ToWire::timestamp).ifPresent(wire::setMinCreateTime);
    createdBefore.map(ToWire::timestamp).ifPresent(wire::setMaxCreateTime);
    return wire.build();
  }
}
