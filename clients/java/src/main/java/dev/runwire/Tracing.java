package dev.runwire;

import io.grpc.Metadata;
import java.util.function.Supplier;

/**
 * Carries trace context when the program has OpenTelemetry; its propagator decides what is sent.
 */
class Tracing {
  static final Tracing INSTANCE = load();

  private static Tracing load() {
    try {
      Class.forName(
          "io.opentelemetry.api.GlobalOpenTelemetry", false, Tracing.class.getClassLoader());
      return new OpenTelemetryTracing();
    } catch (ClassNotFoundException | LinkageError e) {
      return new Tracing();
    }
  }

  /** The context of the caller, for calls that are begun later. */
  Object current() {
    return null;
  }

  /** Writes a context into the headers of a call. */
  void inject(Object context, Metadata headers) {
    // Without OpenTelemetry there is none.
  }

  /** Runs something in the trace of a run. */
  <T> T within(String traceparent, String tracestate, Supplier<T> work) {
    return work.get();
  }
}
