/** Trace context by OpenTelemetry, through the real server. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { context, propagation, trace, TraceFlags } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";

import { Client, tool, ToolHost } from "../src/index.js";
import { Happening, Server, unique } from "./harness.js";

let server: Server;

before(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  server = await Server.start();
});

after(async () => {
  await server.stop();
  context.disable();
  propagation.disable();
});

test("a tool works in the trace of whoever created the run, on any host", async () => {
  const seen = new Happening<string | undefined>();
  const look = tool({
    name: unique("look"),
    description: "Look.",
    input: {},
    run: () => seen.happen(trace.getSpanContext(context.active())?.traceId),
  });
  using hosting = new Client(server.address);
  using client = new Client(server.address);
  await using host = await new ToolHost(hosting, [look]).start();
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const span = { traceId, spanId: "b7ad6b7169203331", traceFlags: TraceFlags.SAMPLED };
  await context.with(trace.setSpanContext(context.active(), span), async () => {
    const agent = { name: "tester", model: "script:tools-1", tools: host.bindings() };
    await client.runs.wait((await client.runs.create(agent, "go")).id);
  });
  assert.equal(await seen.wait, traceId);
});
