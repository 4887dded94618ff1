package dev.runwire;

import java.util.List;

/**
 * The result of one model turn.
 *
 * @param id the completion's id
 * @param model the model that answered; it may be a fallback
 * @param message the answer, to be appended to the conversation
 * @param finishReason why it ended
 * @param providerFinishReason the provider's own word for that
 * @param usage tokens
 * @param providerMetadataJson the provider's extra response fields, a JSON object; may be empty
 */
public record Completion(
    String id,
    String model,
    Message message,
    FinishReason finishReason,
    String providerFinishReason,
    Usage usage,
    String providerMetadataJson) {
  /** The answer's text. */
  public String text() {
    return message.text();
  }

  /** The calls that the model asks for. */
  public List<Part.ToolCall> toolCalls() {
    return message.toolCalls();
  }
}
