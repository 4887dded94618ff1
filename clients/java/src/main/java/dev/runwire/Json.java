package dev.runwire;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.exc.MismatchedInputException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.datatype.jdk8.Jdk8Module;
import com.fasterxml.jackson.datatype.jsr310.JavaTimeModule;
import java.io.IOException;

/** JSON without loss: integers of any size, decimals as they are written, keys in their order. */
final class Json {
  static final ObjectMapper MAPPER =
      JsonMapper.builder()
          .addModule(new Jdk8Module())
          .addModule(new JavaTimeModule())
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
          .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS)
          .disable(SerializationFeature.WRITE_DURATIONS_AS_TIMESTAMPS)
          .disable(SerializationFeature.FAIL_ON_EMPTY_BEANS)
          .build();

  private Json() {}

  /** Writes a value. */
  static String write(Object value) {
    try {
      return MAPPER.writeValueAsString(value);
    } catch (JsonProcessingException e) {
      throw new IllegalArgumentException("not JSON: " + e.getOriginalMessage(), e);
    }
  }

  /** Reads a tool's arguments. */
  @SuppressWarnings("TypeParameterUnusedInFormals") // The caller knows what the type is of.
  static <I> I arguments(String json, JavaType type) throws ToolException {
    try {
      return MAPPER.readValue(orEmpty(json), type);
    } catch (JsonProcessingException e) {
      throw invalid(e);
    }
  }

  /** Reads a tool's arguments as they are. */
  static JsonNode object(String json) throws ToolException {
    try {
      return MAPPER.readTree(orEmpty(json));
    } catch (JsonProcessingException e) {
      throw invalid(e);
    }
  }

  /** Reads one of a tool's arguments; one that is left out is as null. */
  static Object argument(JsonNode node, JavaType type) throws ToolException {
    try {
      JsonNode value = node == null ? MAPPER.nullNode() : node;
      return MAPPER.readerFor(type).readValue(MAPPER.treeAsTokens(value));
    } catch (IOException e) {
      throw invalid(e);
    }
  }

  private static String orEmpty(String json) {
    return json.isEmpty() ? "{}" : json;
  }

  /** Says where, in the words of JSON: the names of our types mean nothing to a model. */
  private static ToolException invalid(IOException e) {
    StringBuilder place = new StringBuilder();
    if (e instanceof JsonMappingException mapping) {
      for (JsonMappingException.Reference step : mapping.getPath()) {
        place
            .append('/')
            .append(step.getFieldName() == null ? step.getIndex() : step.getFieldName());
      }
    }
    String at = place.isEmpty() ? "" : " at " + place;
    String why = e instanceof MismatchedInputException ? "it does not fit the schema" : "no JSON";
    return new ToolException("invalid arguments" + at + ": " + why, e);
  }
}
