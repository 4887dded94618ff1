package dev.runwire;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * A model that the server can reach. What is not known is empty.
 *
 * @param id {@code provider:model}: what a request takes
 * @param aliases other ids for it
 * @param provider the provider
 * @param contextTokens the context window
 * @param maxOutputTokens the largest output
 * @param inputMediaTypes media types that it takes besides text, such as {@code image/*}
 * @param supportsTools takes tools
 * @param supportsReasoning thinks
 * @param supportsMedia takes media besides text
 * @param supportsStreaming answers piece by piece
 * @param inputPriceMicros price of a million input tokens, in millionths of a US dollar
 * @param outputPriceMicros price of a million output tokens, likewise
 */
public record Model(
    String id,
    List<String> aliases,
    String provider,
    OptionalLong contextTokens,
    OptionalLong maxOutputTokens,
    List<String> inputMediaTypes,
    Optional<Boolean> supportsTools,
    Optional<Boolean> supportsReasoning,
    Optional<Boolean> supportsMedia,
    Optional<Boolean> supportsStreaming,
    OptionalLong inputPriceMicros,
    OptionalLong outputPriceMicros) {
  /** Copies the lists. */
  public Model {
    aliases = List.copyOf(aliases);
    inputMediaTypes = List.copyOf(inputMediaTypes);
  }

  /**
   * Models, and the providers that could not be asked: those do not end the list.
   *
   * @param models the models
   * @param unavailable providers by name, and why
   */
  public record Listing(List<Model> models, Map<String, RunwireException> unavailable) {
    /** Copies the collections. */
    public Listing {
      models = List.copyOf(models);
      unavailable = Map.copyOf(unavailable);
    }
  }

  static Model of(dev.runwire.v1.Model model) {
    return new Model(
        model.getId(),
        model.getAliasesList(),
        model.getProvider(),
        unlessZero(model.getContextTokens()),
        unlessZero(model.getMaxOutputTokens()),
        model.getInputMediaTypesList(),
        flag(model.hasSupportsTools(), model.getSupportsTools()),
        flag(model.hasSupportsReasoning(), model.getSupportsReasoning()),
        flag(model.hasSupportsMedia(), model.getSupportsMedia()),
        flag(model.hasSupportsStreaming(), model.getSupportsStreaming()),
        price(model.hasInputPriceMicros(), model.getInputPriceMicros()),
        price(model.hasOutputPriceMicros(), model.getOutputPriceMicros()));
  }

  private static OptionalLong unlessZero(long value) {
    return price(value != 0, value);
  }

  private static OptionalLong price(boolean isKnown, long value) {
    return isKnown ? OptionalLong.of(value) : OptionalLong.empty();
  }

  private static Optional<Boolean> flag(boolean isKnown, boolean value) {
    return isKnown ? Optional.of(value) : Optional.empty();
  }
}
