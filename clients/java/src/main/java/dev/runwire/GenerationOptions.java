package dev.runwire;

import dev.runwire.v1.ReasoningEffort;
import java.lang.reflect.Type;
import java.util.List;
import java.util.Objects;

/**
 * How to generate: for a completion, or for all turns of an {@link Agent}. What is not said is the
 * provider's default.
 */
public final class GenerationOptions {
  /** The provider's defaults. */
  public static final GenerationOptions DEFAULTS = builder().build();

  private final dev.runwire.v1.GenerationOptions wire;
  private final List<String> fallbackModels;

  private GenerationOptions(Builder builder) {
    wire = builder.wire.build();
    fallbackModels = List.copyOf(builder.fallbackModels);
  }

  /** Options to be filled in. */
  public static Builder builder() {
    return new Builder();
  }

  /** These options, to be changed. */
  public Builder toBuilder() {
    Builder builder = new Builder();
    builder.wire.mergeFrom(wire);
    builder.fallbackModels = fallbackModels;
    return builder;
  }

  /** These options, overridden by what the others say. */
  GenerationOptions with(GenerationOptions others) {
    Builder builder = toBuilder();
    dev.runwire.v1.GenerationOptions theirs = others.wire;
    if (theirs.getStopSequencesCount() > 0) {
      builder.wire.clearStopSequences();
    }
    builder.wire.mergeFrom(theirs);
    if (!others.fallbackModels.isEmpty()) {
      builder.fallbackModels = others.fallbackModels;
    }
    return builder.build();
  }

  dev.runwire.v1.GenerationOptions wire() {
    return wire;
  }

  List<String> fallbackModels() {
    return fallbackModels;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof GenerationOptions that
        && wire.equals(that.wire)
        && fallbackModels.equals(that.fallbackModels);
  }

  @Override
  public int hashCode() {
    return Objects.hash(wire, fallbackModels);
  }

  /** Fills in {@link GenerationOptions}. */
  public static final class Builder {
    private final dev.runwire.v1.GenerationOptions.Builder wire =
        dev.runwire.v1.GenerationOptions.newBuilder();
    private List<String> fallbackModels = List.of();

    private Builder() {}

    /** Bounds the answer. */
    public Builder maxOutputTokens(long tokens) {
      wire.setMaxOutputTokens(tokens);
      return this;
    }

    /** The sampling temperature. */
    public Builder temperature(double temperature) {
      wire.setTemperature((float) temperature);
      return this;
    }

    /** For nucleus sampling. */
    public Builder topP(double p) {
      wire.setTopP((float) p);
      return this;
    }

    /** For top-k sampling. */
    public Builder topK(int k) {
      wire.setTopK(k);
      return this;
    }

    /** Asks for the same answer again, as far as the provider can. */
    public Builder seed(long seed) {
      wire.setSeed(seed);
      return this;
    }

    /** Ends the answer where one of these texts would begin. */
    public Builder stop(String... sequences) {
      wire.clearStopSequences().addAllStopSequences(List.of(sequences));
      return this;
    }

    /** How hard to think. */
    public Builder effort(Effort effort) {
      wire.setReasoningEffort(
          switch (effort) {
            case NONE -> ReasoningEffort.REASONING_EFFORT_NONE;
            case MINIMAL -> ReasoningEffort.REASONING_EFFORT_MINIMAL;
            case LOW -> ReasoningEffort.REASONING_EFFORT_LOW;
            case MEDIUM -> ReasoningEffort.REASONING_EFFORT_MEDIUM;
            case HIGH -> ReasoningEffort.REASONING_EFFORT_HIGH;
            case MAX -> ReasoningEffort.REASONING_EFFORT_MAX;
          });
      return this;
    }

    /** A budget for thinking, for providers that take one. */
    public Builder maxReasoningTokens(long tokens) {
      wire.setMaxReasoningTokens(tokens);
      return this;
    }

    /** Whether tools are used. */
    public Builder toolChoice(ToolChoice choice) {
      dev.runwire.v1.ToolChoice.Builder chosen = dev.runwire.v1.ToolChoice.newBuilder();
      if (choice instanceof ToolChoice.Named named) {
        chosen.setToolName(named.tool());
      } else {
        chosen.setMode(
            switch ((ToolChoice.Mode) choice) {
              case AUTO -> dev.runwire.v1.ToolChoice.Mode.MODE_AUTO;
              case NONE -> dev.runwire.v1.ToolChoice.Mode.MODE_NONE;
              case REQUIRED -> dev.runwire.v1.ToolChoice.Mode.MODE_REQUIRED;
            });
      }
      wire.setToolChoice(chosen);
      return this;
    }

    /** Whether a turn may have more than one call; it may by default. */
    public Builder parallelToolCalls(boolean allowed) {
      wire.setParallelToolCalls(allowed);
      return this;
    }

    /**
     * Makes the answer's text JSON of this type, which follows the rules of a tool's argument.
     *
     * @throws IllegalArgumentException the type has no JSON Schema
     */
    public Builder outputAs(Type type) {
      return outputSchemaJson(Schema.of(type).toString());
    }

    /** Makes the answer's text JSON of this JSON Schema. */
    public Builder outputSchemaJson(String schema) {
      wire.setOutputSchemaJson(schema);
      return this;
    }

    /**
     * Merged into the request to the provider of this name, last: what has no common name.
     *
     * @param provider such as {@code openai}
     * @param options anything that becomes a JSON object
     */
    public Builder providerOptions(String provider, Object options) {
      wire.putProviderOptions(provider, Json.write(options));
      return this;
    }

    /** Models that are tried in order when the first one fails in a way that another may not. */
    public Builder fallbackModels(String... models) {
      fallbackModels = List.of(models);
      return this;
    }

    /** The options. */
    public GenerationOptions build() {
      return new GenerationOptions(this);
    }
  }
}
