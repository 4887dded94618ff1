package dev.runwire;

import dev.runwire.v1.CompletionParams;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * What to complete.
 *
 * @param model {@code provider:model}, or an alias that the server knows
 * @param conversation the messages so far
 * @param options how to generate
 * @param tools offered to the model: calls of them come back in the completion and are not run
 * @param timeout the whole budget, the server's retries and fallbacks included
 */
public record CompletionRequest(
    String model,
    List<Message> conversation,
    GenerationOptions options,
    List<FunctionTool> tools,
    Optional<Duration> timeout) {
  /** Copies the lists. */
  public CompletionRequest {
    conversation = List.copyOf(conversation);
    tools = List.copyOf(tools);
  }

  /** A request with the defaults of the provider. */
  public static CompletionRequest of(String model, String input) {
    return of(model, List.of(Message.user(input)));
  }

  /** A request with the defaults of the provider. */
  public static CompletionRequest of(String model, List<Message> conversation) {
    return new CompletionRequest(
        model, conversation, GenerationOptions.DEFAULTS, List.of(), Optional.empty());
  }

  /** This request, generated so. */
  public CompletionRequest with(GenerationOptions options) {
    return new CompletionRequest(model, conversation, options, tools, timeout);
  }

  /** This request, with these tools offered. */
  public CompletionRequest offering(List<FunctionTool> tools) {
    return new CompletionRequest(model, conversation, options, tools, timeout);
  }

  /** This request, to be answered within this time. */
  public CompletionRequest within(Duration timeout) {
    return new CompletionRequest(model, conversation, options, tools, Optional.of(timeout));
  }

  CompletionParams wire() {
    return CompletionParams.newBuilder()
        .setModel(model)
        .addAllFallbackModels(options.fallbackModels())
        .addAllMessages(conversation.stream().map(ToWire::message).toList())
        .addAllTools(tools.stream().map(FunctionTool::definition).toList())
        .setOptions(options.wire())
        .build();
  }
}
