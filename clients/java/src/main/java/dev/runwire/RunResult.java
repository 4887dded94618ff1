package dev.runwire;

import java.util.List;

/**
 * What a run came to.
 *
 * @param status how it ended
 * @param output the text of the last answer; empty when the run ended without one
 * @param conversation the whole: the input and {@code added}; run again with it to go on
 * @param added what the run has added to it
 * @param run the run at its end: usage, turns, times
 */
public record RunResult(
    RunStatus status, String output, List<Message> conversation, List<Message> added, Run run) {
  /** Copies the lists. */
  public RunResult {
    conversation = List.copyOf(conversation);
    added = List.copyOf(added);
  }
}
