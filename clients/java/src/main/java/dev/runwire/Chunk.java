package dev.runwire;

/** A piece of a completion as it is made. The last one is a {@link Whole}. */
public sealed interface Chunk {
  /**
   * Appended to the answer.
   *
   * @param text the text
   */
  record Text(String text) implements Chunk {}

  /**
   * Appended to what the model thinks.
   *
   * @param text the text
   */
  record Reasoning(String text) implements Chunk {}

  /**
   * A piece of a tool call. The id and the name come with the first piece of a part.
   *
   * @param partIndex which part grows
   * @param id the call
   * @param name the tool
   * @param argumentsJson appended to the arguments' JSON text
   */
  record ToolCall(int partIndex, String id, String name, String argumentsJson) implements Chunk {}

  /**
   * The whole completion.
   *
   * @param completion the completion
   */
  record Whole(Completion completion) implements Chunk {}
}
