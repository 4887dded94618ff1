/** Connections, against servers that the tests play themselves. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import {
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";

import { Client, tool, ToolHost, UnavailableError } from "../src/index.js";
import {
  CompletionService,
  GenerateCompletionResponseSchema,
  HostToolsResponseSchema,
  ListModelsResponseSchema,
  ModelService,
  RunService,
  StreamCompletionResponseSchema,
  ToolService,
  WatchRunResponseSchema,
  type GenerateCompletionResponse,
  type HostToolsRequest,
  type HostToolsResponse,
  type ListModelsResponse,
  type StreamCompletionResponse,
  type WatchRunResponse,
} from "../src/v1.js";
import { Happening, serve, Wire } from "./harness.js";

type Unary<R> = (call: ServerUnaryCall<unknown, R>, answer: sendUnaryData<R>) => void;

const busy = { code: status.UNAVAILABLE, details: "not now" };

test("calls that are harmless twice are tried again, and completions are not", async () => {
  let lists = 0;
  let completions = 0;
  const listModels: Unary<ListModelsResponse> = (_, answer) => {
    lists += 1;
    if (lists < 3) answer(busy);
    else answer(null, create(ListModelsResponseSchema, { models: [{ id: "a:b" }] }));
  };
  const generateCompletion: Unary<GenerateCompletionResponse> = (_, answer) => {
    completions += 1;
    answer(busy);
  };
  const models = await serve(ModelService, { listModels });
  const completing = await serve(CompletionService, { generateCompletion });
  using first = new Client(models.address);
  using second = new Client(completing.address);
  assert.deepEqual([(await first.models()).models.length, lists], [1, 3]);
  await assert.rejects(second.complete("a:b", "go"), UnavailableError);
  assert.equal(completions, 1);
  models.stop();
  completing.stop();
});

test("a bearer token goes with every call, also one that changes", async () => {
  const seen: unknown[] = [];
  const listModels: Unary<ListModelsResponse> = ({ metadata }, answer) => {
    seen.push(metadata.get("authorization")[0]);
    answer(null, create(ListModelsResponseSchema));
  };
  const { address, stop } = await serve(ModelService, { listModels });
  let count = 0;
  using fixed = new Client(address, { token: "one" });
  using changing = new Client(address, { token: () => `t${++count}` });
  await fixed.models();
  await changing.models();
  await changing.models();
  assert.deepEqual(seen, ["Bearer one", "Bearer t1", "Bearer t2"]);
  stop();
});

test("GOAWAY moves new calls to a new connection, and open streams live on", async () => {
  const end = new Happening();
  const streamCompletion = (call: ServerWritableStream<unknown, StreamCompletionResponse>): void => {
    call.write(create(StreamCompletionResponseSchema, { event: { case: "started", value: { id: "c1" } } }));
    void end.wait.then(() => {
      call.write(
        create(StreamCompletionResponseSchema, { event: { case: "completion", value: { id: "c1" } } }),
      );
      call.end();
    });
  };
  const generateCompletion: Unary<GenerateCompletionResponse> = (_, answer) => {
    answer(null, create(GenerateCompletionResponseSchema, { completion: { id: "c2" } }));
  };
  const { address, stop } = await serve(
    CompletionService,
    { streamCompletion, generateCompletion },
    { "grpc.max_connection_age_ms": 200, "grpc.max_connection_age_grace_ms": 60_000 },
  );
  const wire = await Wire.to(address);
  using client = new Client(wire.address);
  const stream = client.stream("a:b", "go");
  const completing = stream.completion();
  while (wire.connections < 4) await client.complete("a:b", "go");
  end.happen();
  assert.equal((await completing).id, "c1");
  stop();
  wire.close();
});

test("streams that nobody reads do not hold up the others of their connection", async () => {
  const delta = create(StreamCompletionResponseSchema, {
    event: { case: "delta", value: { delta: { case: "text", value: "x".repeat(64 * 1024) } } },
  });
  const streamCompletion = (call: ServerWritableStream<unknown, StreamCompletionResponse>): void => {
    const fill = (): void => {
      while (!call.cancelled && call.write(delta));
    };
    call.on("drain", fill);
    fill();
  };
  const generateCompletion: Unary<GenerateCompletionResponse> = (_, answer) => {
    answer(null, create(GenerateCompletionResponseSchema, { completion: { id: "c2" } }));
  };
  const { address, stop } = await serve(CompletionService, { streamCompletion, generateCompletion });
  using client = new Client(address);
  const streams = Array.from({ length: 8 }, () => client.stream("a:b", "go")[Symbol.asyncIterator]());
  await Promise.all(streams.map((stream) => stream.next()));
  for (let count = 0; count < 20; count++) assert.equal((await client.complete("a:b", "go")).id, "c2");
  await Promise.all(streams.map((stream) => stream.return()));
  stop();
});

test("a watch goes on after the last event when its stream breaks", async () => {
  const asked: unknown[] = [];
  const watchRun = (call: ServerWritableStream<{ afterSequence?: bigint }, WatchRunResponse>): void => {
    asked.push(call.request.afterSequence);
    const isFirst = asked.length === 1;
    const discarded = { case: "messageDiscarded", value: { messageId: isFirst ? "m1" : "m2" } } as const;
    call.write(
      create(WatchRunResponseSchema, { events: [{ sequence: isFirst ? 7n : 9n, event: discarded }] }),
    );
    if (isFirst) call.emit("error", busy);
    else call.end();
  };
  const { address, stop } = await serve(RunService, { watchRun });
  using client = new Client(address);
  const seen: unknown[] = [];
  for await (const event of client.runs.watch("run_1")) {
    seen.push(event.type === "message_discarded" ? event.messageId : event.type);
  }
  assert.deepEqual(
    [asked, seen],
    [
      [0n, 7n],
      ["m1", "m2"],
    ],
  );
  stop();
});

test("a server that falls silent is left, and the host registers again with what it runs", async () => {
  const begun = new Happening();
  const registered: unknown[] = [];
  const again = new Happening();
  const hostTools = (call: ServerDuplexStream<HostToolsRequest, HostToolsResponse>): void => {
    const tell = (message: HostToolsResponse["message"]): unknown =>
      call.write(create(HostToolsResponseSchema, { message }));
    call.on("error", () => undefined);
    call.on("data", ({ message }: HostToolsRequest) => {
      if (message.case !== "registration") return;
      registered.push(message.value.inFlight.map(({ callId, attempt }) => `${callId}/${attempt}`));
      const value = create(HostToolsResponseSchema, {
        message: { case: "registered", value: { session: { heartbeatInterval: { nanos: 20_000_000 } } } },
      });
      tell(value.message);
      const assigned = create(HostToolsResponseSchema, {
        message: {
          case: "command",
          value: { command: { case: "assignment", value: { attempt: 1, call: { id: "c1", name: "hang" } } } },
        },
      });
      if (registered.length === 1) tell(assigned.message);
      else again.happen();
    });
  };
  const { address, stop } = await serve(ToolService, { hostTools });
  using client = new Client(address);
  const hang = tool({
    name: "hang",
    description: "Hang.",
    input: {},
    idempotent: true,
    run: () => {
      begun.happen();
      return new Promise(() => undefined);
    },
  });
  const host = await new ToolHost(client, [hang]).start();
  await begun.wait;
  await again.wait;
  assert.deepEqual(registered.slice(0, 2), [[], ["c1/1"]]);
  await host.close({ graceMs: 0 });
  stop();
});
