package dev.runwire;

import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.UUID;

/** JSON Schemas of types, as Jackson reads them: records, and what they are made of. */
final class Schema {
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  /** Types whose JSON is a text, and the format of that. */
  private static final Map<Class<?>, String> FORMATS =
      Map.of(
          Instant.class, "date-time",
          OffsetDateTime.class, "date-time",
          ZonedDateTime.class, "date-time",
          LocalDate.class, "date",
          LocalTime.class, "time",
          Duration.class, "duration",
          UUID.class, "uuid",
          URI.class, "uri");

  private static final Set<Class<?>> INTEGERS =
      Set.of(
          byte.class,
          Byte.class,
          short.class,
          Short.class,
          int.class,
          Integer.class,
          long.class,
          Long.class,
          BigInteger.class,
          OptionalInt.class,
          OptionalLong.class);

  private static final Set<Class<?>> NUMBERS =
      Set.of(
          float.class,
          Float.class,
          double.class,
          Double.class,
          BigDecimal.class,
          Number.class,
          OptionalDouble.class);

  private Schema() {}

  /**
   * The schema of a type.
   *
   * @throws IllegalArgumentException it has none
   */
  static ObjectNode of(Type type) {
    return describe(Json.MAPPER.constructType(type), new ArrayList<>());
  }

  /** The schema of a type whose values are objects, as those of arguments must be. */
  static ObjectNode ofObject(Type type) {
    ObjectNode schema = of(type);
    if (!schema.path("type").asText().equals("object")) {
      throw new IllegalArgumentException(
          type.getTypeName() + ": arguments are a record, or a map with texts as keys");
    }
    return schema;
  }

  /** The schema of an object without properties, to be filled in. */
  static ObjectNode emptyObject() {
    ObjectNode schema = NODES.objectNode().put("type", "object");
    schema.putObject("properties");
    schema.putArray("required");
    return schema.put("additionalProperties", false);
  }

  /** Adds a property to the schema of an object. */
  static void addProperty(ObjectNode object, String name, Type type, Param param) {
    addProperty(object, name, Json.MAPPER.constructType(type), param, new ArrayList<>());
  }

  private static void addProperty(
      ObjectNode object, String name, JavaType type, Param param, List<Class<?>> path) {
    ObjectNode property;
    try {
      property = describe(type, path);
      if (param != null) {
        annotate(property, param);
      }
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(name + ": " + e.getMessage(), e);
    }
    object.withObject("/properties").set(name, property);
    if (!isOptional(type) && (param == null || !param.optional())) {
      object.withArray("required").add(name);
    }
  }

  private static boolean isOptional(JavaType type) {
    Class<?> raw = type.getRawClass();
    return type.isReferenceType()
        || raw == OptionalInt.class
        || raw == OptionalLong.class
        || raw == OptionalDouble.class;
  }

  private static ObjectNode describe(JavaType type, List<Class<?>> path) {
    Class<?> raw = type.getRawClass();
    if (raw == String.class || raw == char.class || raw == Character.class) {
      return typed("string");
    } else if (raw == boolean.class || raw == Boolean.class) {
      return typed("boolean");
    } else if (INTEGERS.contains(raw)) {
      return typed("integer");
    } else if (NUMBERS.contains(raw)) {
      return typed("number");
    } else if (FORMATS.containsKey(raw)) {
      return typed("string").put("format", FORMATS.get(raw));
    } else if (raw == byte[].class) {
      return typed("string").put("contentEncoding", "base64");
    } else if (raw == ObjectNode.class) {
      return typed("object");
    } else if (raw == Object.class || JsonNode.class.isAssignableFrom(raw)) {
      return NODES.objectNode();
    } else if (type.isEnumType()) {
      return describeEnum(raw);
    } else if (type.isReferenceType()) {
      return describe(type.getReferencedType(), path);
    } else if (type.isCollectionLikeType() || type.isArrayType()) {
      ObjectNode list = typed("array");
      list.set("items", describe(type.getContentType(), path));
      return Set.class.isAssignableFrom(raw) ? list.put("uniqueItems", true) : list;
    } else if (type.isMapLikeType()) {
      return describeMap(type, path);
    } else if (raw.isRecord()) {
      return describeRecord(type, path);
    }
    throw new IllegalArgumentException(
        type.toCanonical() + " has no JSON Schema: use a record, or FunctionTool.raw");
  }

  private static ObjectNode typed(String type) {
    return NODES.objectNode().put("type", type);
  }

  private static ObjectNode describeEnum(Class<?> raw) {
    ObjectNode schema = typed("string");
    ArrayNode values = schema.putArray("enum");
    for (Object constant : raw.getEnumConstants()) {
      values.add(Json.MAPPER.convertValue(constant, String.class));
    }
    return schema;
  }

  private static ObjectNode describeMap(JavaType type, List<Class<?>> path) {
    if (type.getKeyType().getRawClass() != String.class) {
      throw new IllegalArgumentException("the keys of a JSON object are texts");
    }
    ObjectNode schema = typed("object");
    if (type.getContentType().getRawClass() != Object.class) {
      schema.set("additionalProperties", describe(type.getContentType(), path));
    }
    return schema;
  }

  private static ObjectNode describeRecord(JavaType type, List<Class<?>> path) {
    Class<?> raw = type.getRawClass();
    if (path.contains(raw)) {
      throw new IllegalArgumentException(
          raw.getName() + " contains itself: use FunctionTool.raw with a schema of your own");
    }
    List<Class<?>> inner = new ArrayList<>(path);
    inner.add(raw);
    ObjectNode schema = emptyObject();
    for (RecordComponent component : raw.getRecordComponents()) {
      if (component.getAccessor().isAnnotationPresent(JsonIgnore.class)) {
        continue;
      }
      JavaType componentType =
          Json.MAPPER
              .getTypeFactory()
              .resolveMemberType(component.getGenericType(), type.getBindings());
      Param param = component.getAnnotation(Param.class);
      addProperty(schema, nameOf(component), componentType, param, inner);
    }
    return schema;
  }

  private static String nameOf(RecordComponent component) {
    JsonProperty property = component.getAccessor().getAnnotation(JsonProperty.class);
    return property == null || property.value().isEmpty() ? component.getName() : property.value();
  }

  private static void annotate(ObjectNode schema, Param param) {
    if (!param.value().isEmpty()) {
      schema.put("description", param.value());
    }
    if (param.oneOf().length > 0) {
      ArrayNode values = schema.putArray("enum");
      List.of(param.oneOf()).forEach(values::add);
    }
    if (!param.pattern().isEmpty()) {
      schema.put("pattern", param.pattern());
    }
    bound(schema, param.min(), List.of("minimum", "minLength", "minItems"));
    bound(schema, param.max(), List.of("maximum", "maxLength", "maxItems"));
  }

  /** Sets a bound under its name for numbers, texts or lists. */
  private static void bound(ObjectNode schema, String bound, List<String> names) {
    if (bound.isEmpty()) {
      return;
    }
    String type = schema.path("type").asText();
    String name =
        switch (type) {
          case "integer", "number" -> names.get(0);
          case "string" -> names.get(1);
          case "array" -> names.get(2);
          default ->
              throw new IllegalArgumentException("a value of type " + type + " has no bounds");
        };
    schema.put(name, new BigDecimal(bound));
  }
}
