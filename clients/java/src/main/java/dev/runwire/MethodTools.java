package dev.runwire;

import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Parameter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/** Makes tools of annotated methods. */
final class MethodTools {
  private final Object target;
  private final Method method;
  private final Tool annotation;
  private final List<Parameter> inputs;

  private MethodTools(Object target, Method method) {
    this.target = target;
    this.method = method;
    this.annotation = method.getAnnotation(Tool.class);
    this.inputs =
        Arrays.stream(method.getParameters())
            .filter(parameter -> parameter.getType() != CallContext.class)
            .toList();
  }

  static List<FunctionTool> of(Object target) {
    List<Method> methods = new ArrayList<>();
    for (Class<?> type = target.getClass(); type != null; type = type.getSuperclass()) {
      for (Method method : type.getDeclaredMethods()) {
        if (method.isAnnotationPresent(Tool.class) && !method.isBridge()) {
          methods.add(method);
        }
      }
    }
    // Reflection has no order of its own; a prompt should.
    methods.sort(Comparator.comparing(Method::getName));
    return methods.stream().map(method -> new MethodTools(target, method).tool()).toList();
  }

  private FunctionTool tool() {
    if (!method.trySetAccessible()) {
      throw new IllegalArgumentException(method + " cannot be called from here");
    }
    String name = annotation.name().isEmpty() ? method.getName() : annotation.name();
    FunctionTool tool;
    if (takesRecord()) {
      tool =
          FunctionTool.typed(
              name,
              annotation.value(),
              inputs.get(0).getParameterizedType(),
              (arguments, context) -> invoke(List.of(arguments), context));
    } else {
      tool = spread(name);
    }
    if (annotation.readOnly()) {
      tool = tool.readOnly();
    }
    if (annotation.idempotent()) {
      tool = tool.idempotent();
    }
    if (annotation.destructive()) {
      tool = tool.destructive();
    }
    if (annotation.timeoutMillis() > 0) {
      tool = tool.timeout(Duration.ofMillis(annotation.timeoutMillis()));
    }
    return tool.version(annotation.version());
  }

  /** The only parameter is a record, and is not said to be one argument among others. */
  private boolean takesRecord() {
    return inputs.size() == 1
        && inputs.get(0).getType().isRecord()
        && !inputs.get(0).isAnnotationPresent(Param.class);
  }

  private FunctionTool spread(String name) {
    ObjectNode schema = Schema.emptyObject();
    List<JavaType> types = new ArrayList<>();
    for (Parameter parameter : inputs) {
      Schema.addProperty(
          schema,
          nameOf(parameter),
          parameter.getParameterizedType(),
          parameter.getAnnotation(Param.class));
      types.add(Json.MAPPER.constructType(parameter.getParameterizedType()));
    }
    return FunctionTool.raw(
        name,
        annotation.value(),
        schema.toString(),
        (json, context) -> {
          JsonNode object = Json.object(json);
          List<Object> values = new ArrayList<>();
          for (int i = 0; i < types.size(); i++) {
            values.add(Json.argument(object.get(nameOf(inputs.get(i))), types.get(i)));
          }
          return invoke(values, context);
        });
  }

  private static String nameOf(Parameter parameter) {
    Param param = parameter.getAnnotation(Param.class);
    if (param != null && !param.name().isEmpty()) {
      return param.name();
    }
    if (!parameter.isNamePresent()) {
      throw new IllegalArgumentException(
          "the parameters of "
              + parameter.getDeclaringExecutable()
              + " have no names: compile with -parameters, or say them with @Param(name = …)");
    }
    return parameter.getName();
  }

  private Object invoke(List<Object> values, CallContext context) throws Exception {
    Object[] arguments = new Object[method.getParameterCount()];
    int next = 0;
    for (int i = 0; i < arguments.length; i++) {
      boolean isContext = method.getParameterTypes()[i] == CallContext.class;
      arguments[i] = isContext ? context : values.get(next++);
    }
    try {
      Object result = method.invoke(target, arguments);
      return method.getReturnType() == void.class ? "ok" : result;
    } catch (InvocationTargetException e) {
      if (e.getCause() instanceof Exception cause) {
        throw cause;
      }
      if (e.getCause() instanceof Error cause) {
        throw cause;
      }
      throw e;
    }
  }
}
