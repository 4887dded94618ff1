package dev.runwire;

import io.grpc.Metadata;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import io.opentelemetry.context.propagation.TextMapPropagator;
import java.util.Map;
import java.util.function.Supplier;

/** With OpenTelemetry. Loaded only when that is there. */
final class OpenTelemetryTracing extends Tracing {
  private static final TextMapGetter<Map<String, String>> GETTER =
      new TextMapGetter<>() {
        // Older versions of the API ask for it, newer ones have a default of their own.
        @Override
        @SuppressWarnings("deprecation")
        public Iterable<String> keys(Map<String, String> carrier) {
          return carrier.keySet();
        }

        @Override
        public String get(Map<String, String> carrier, String key) {
          return carrier == null ? null : carrier.get(key);
        }
      };

  @Override
  Object current() {
    return Context.current();
  }

  @Override
  void inject(Object context, Metadata headers) {
    propagator()
        .inject(
            context instanceof Context known ? known : Context.current(),
            headers,
            (carrier, key, value) ->
                carrier.put(Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER), value));
  }

  @Override
  <T> T within(String traceparent, String tracestate, Supplier<T> work) {
    if (traceparent.isEmpty()) {
      return work.get();
    }
    Map<String, String> carrier = Map.of("traceparent", traceparent, "tracestate", tracestate);
    return propagator().extract(Context.current(), carrier, GETTER).wrapSupplier(work).get();
  }

  private static TextMapPropagator propagator() {
    return GlobalOpenTelemetry.getPropagators().getTextMapPropagator();
  }
}
