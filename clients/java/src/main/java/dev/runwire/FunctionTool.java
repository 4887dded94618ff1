package dev.runwire;

import com.fasterxml.jackson.databind.JavaType;
import dev.runwire.HostedTool.Times;
import dev.runwire.v1.ToolAnnotations;
import java.lang.reflect.Type;
import java.time.Duration;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** A function of this process that a model may call. */
public final class FunctionTool implements ToolBinding {
  private final dev.runwire.v1.Tool definition;
  private final ToolFunction<String> function;
  private final Times times;

  private FunctionTool(dev.runwire.v1.Tool definition, ToolFunction<String> function, Times times) {
    this.definition = definition;
    this.function = function;
    this.times = times;
  }

  /**
   * Makes a tool of a function whose arguments are a record, or another type that Jackson can read
   * from a JSON object.
   *
   * @throws IllegalArgumentException the type has no JSON Schema
   */
  public static <I> FunctionTool of(
      String name, String description, Class<I> arguments, ToolFunction<I> function) {
    return typed(name, description, arguments, function);
  }

  /**
   * Makes a tool of a JSON Schema, and of a function that takes the arguments as the JSON text that
   * the model wrote.
   */
  public static FunctionTool raw(
      String name, String description, String schemaJson, ToolFunction<String> function) {
    dev.runwire.v1.Tool definition =
        dev.runwire.v1.Tool.newBuilder()
            .setName(name)
            .setDescription(description)
            .setInputSchemaJson(schemaJson)
            .build();
    return new FunctionTool(definition, function, Times.SERVERS);
  }

  /**
   * Makes tools of an object's methods that have a {@link Tool} annotation, inherited ones
   * included. The arguments are the method's parameters, or the components of its only parameter if
   * that is a record; a {@link CallContext} among them is given the call.
   *
   * @throws IllegalArgumentException there is none, or one has no JSON Schema
   */
  public static List<FunctionTool> of(Object object) {
    List<FunctionTool> tools = MethodTools.of(object);
    if (tools.isEmpty()) {
      throw new IllegalArgumentException(object.getClass() + " has no method with @Tool");
    }
    return tools;
  }

  static <I> FunctionTool typed(
      String name, String description, Type arguments, ToolFunction<I> function) {
    JavaType type = Json.MAPPER.constructType(arguments);
    String schema = Schema.ofObject(arguments).toString();
    return raw(
        name,
        description,
        schema,
        (json, context) -> function.call(Json.<I>arguments(json, type), context));
  }

  /** This tool, which changes nothing: a call may be delivered again when its host was lost. */
  public FunctionTool readOnly() {
    return annotated(definition.getAnnotations().toBuilder().setReadOnly(true).build());
  }

  /**
   * This tool, where calling twice with one call id has the effect of calling once: a call may be
   * delivered again, under the same id, when its host was lost. Without this and {@link
   * #readOnly()}, a call runs at most once.
   */
  public FunctionTool idempotent() {
    return annotated(definition.getAnnotations().toBuilder().setIdempotent(true).build());
  }

  /** This tool, which may destroy things. */
  public FunctionTool destructive() {
    return annotated(definition.getAnnotations().toBuilder().setDestructive(true).build());
  }

  /** This tool with a version. Definitions of one name and version must be equal. */
  public FunctionTool version(String version) {
    return new FunctionTool(definition.toBuilder().setVersion(version).build(), function, times);
  }

  /** This tool under another name. */
  public FunctionTool named(String name) {
    return new FunctionTool(definition.toBuilder().setName(name).build(), function, times);
  }

  /** This tool, whose calls take at most so long. */
  public FunctionTool timeout(Duration timeout) {
    return within(new Times(Optional.of(timeout), times.accept(), times.progress()));
  }

  /** This tool with these limits. */
  public FunctionTool within(Times times) {
    return new FunctionTool(definition, function, times);
  }

  /** The tool's name. */
  @Override
  public String name() {
    return definition.getName();
  }

  /** The JSON Schema of the arguments. */
  public String schemaJson() {
    return definition.getInputSchemaJson();
  }

  dev.runwire.v1.Tool definition() {
    return definition;
  }

  Times times() {
    return times;
  }

  /** Whether a call may be delivered again after its host was lost. */
  boolean mayRunAgain() {
    ToolAnnotations annotations = definition.getAnnotations();
    return annotations.getReadOnly() || annotations.getIdempotent();
  }

  Object invoke(String argumentsJson, CallContext context) throws Exception {
    return function.call(argumentsJson, context);
  }

  static void requireDistinct(Collection<? extends ToolBinding> tools) {
    Set<String> names = new HashSet<>();
    for (ToolBinding tool : tools) {
      if (!names.add(tool.name())) {
        throw new IllegalArgumentException("two tools are named " + tool.name());
      }
    }
  }

  private FunctionTool annotated(ToolAnnotations annotations) {
    return new FunctionTool(
        definition.toBuilder().setAnnotations(annotations).build(), function, times);
  }
}
