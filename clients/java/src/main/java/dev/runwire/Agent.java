package dev.runwire;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/**
 * A value that says what a run runs: model, instructions and tools of one loop.
 *
 * @param name the agent's name in events
 * @param model {@code provider:model}, or an alias that the server knows
 * @param instructions for the model; may be empty
 * @param tools what it may call
 * @param options how to generate
 */
public record Agent(
    String name,
    String model,
    String instructions,
    List<ToolBinding> tools,
    GenerationOptions options) {
  /**
   * Copies the list.
   *
   * @throws IllegalArgumentException two tools have one name
   */
  public Agent {
    tools = List.copyOf(tools);
    FunctionTool.requireDistinct(tools);
  }

  /** An agent without instructions and tools. */
  public static Agent of(String name, String model) {
    return new Agent(name, model, "", List.of(), GenerationOptions.DEFAULTS);
  }

  /** This agent with these instructions. */
  public Agent instructions(String instructions) {
    return new Agent(name, model, instructions, tools, options);
  }

  /** This agent with these tools, too. */
  public Agent tools(Collection<? extends ToolBinding> more) {
    List<ToolBinding> all = new ArrayList<>(tools);
    all.addAll(more);
    return new Agent(name, model, instructions, all, options);
  }

  /** This agent with these tools, too. */
  public Agent tools(ToolBinding... more) {
    return tools(List.of(more));
  }

  /** This agent, generating so. */
  public Agent options(GenerationOptions options) {
    return new Agent(name, model, instructions, tools, options);
  }

  /** The tools that are functions of this process. */
  List<FunctionTool> functions() {
    return tools.stream()
        .filter(FunctionTool.class::isInstance)
        .map(FunctionTool.class::cast)
        .toList();
  }
}
