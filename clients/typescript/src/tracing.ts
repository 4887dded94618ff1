/** Trace context by OpenTelemetry, when the program has it: `@opentelemetry/api` is an optional peer. */

import { createRequire } from "node:module";

import type * as OpenTelemetry from "@opentelemetry/api";

type Api = typeof OpenTelemetry;

let found: Api | null | undefined;

function api(): Api | null {
  if (found === undefined) {
    try {
      // Its state is global to the process, so it does not matter which copy this is.
      found = createRequire(import.meta.url)("@opentelemetry/api") as Api;
    } catch {
      found = null;
    }
  }
  return found;
}

/** Calls `set` with each header that carries the active trace context. */
export function injectContext(set: (key: string, value: string) => void): void {
  const otel = api();
  otel?.propagation.inject(otel.context.active(), undefined, { set: (_, key, value) => set(key, value) });
}

/** Runs a function within the trace context that a caller has sent. */
export function withContext<T>(headers: Readonly<Record<string, string>>, body: () => T): T {
  const otel = api();
  if (!otel || !headers["traceparent"]) return body();
  const sent = otel.propagation.extract(otel.context.active(), headers, {
    get: (carrier: Readonly<Record<string, string>>, key) => carrier[key],
    keys: Object.keys,
  });
  return otel.context.with(sent, body);
}
