/** Completions and runs, through the real server. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import { z } from "zod";

import {
  Client,
  DeadlineExceededError,
  InvalidArgumentError,
  NotFoundError,
  resultsOf,
  RunFailedError,
  textOf,
  tool,
  type Agent,
  type RunEvent,
} from "../src/index.js";
import { Happening, Server, unique } from "./harness.js";

let server: Server;
let client: Client;

before(async () => {
  server = await Server.start();
  client = new Client(server.address);
});

after(async () => {
  client.close();
  await server.stop();
});

const weather = tool({
  name: "get_weather",
  description: "Look up the weather in a city.",
  input: z.object({ city: z.string() }),
  readOnly: true,
  run: ({ city }) => `${city}: sun`,
});

function agentOf(model: string, more: Partial<Agent> = {}): Agent {
  return { name: "tester", model, ...more };
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

// === Completions ===

test("a completion has its text, its message and its usage", async () => {
  const completion = await client.complete("script:echo", "hello there");
  assert.match(completion.text, /hello there/);
  assert.deepEqual([completion.finishReason, completion.message.role], ["stop", "assistant"]);
  assert.equal(textOf(completion.message), completion.text);
  assert.equal(completion.usage.totalTokens, completion.usage.inputTokens + completion.usage.outputTokens);
  assert.ok(completion.usage.outputTokens > 0);
});

test("a completion hands tool calls to the caller, parsed as well", async () => {
  const { toolCalls, message } = await client.complete("script:demo", "The weather in Lima?", {
    tools: [weather],
  });
  const [call] = toolCalls;
  assert.equal(call?.name, "get_weather");
  assert.deepEqual(call.arguments, { city: "Lima" });
  const answer = { type: "tool_result", callId: call.id, content: "Lima: fog" } as const;
  const conversation = [
    { role: "user", content: "The weather in Lima?" },
    message,
    { role: "tool", content: [answer] },
  ] as const;
  assert.match((await client.complete("script:demo", conversation, { tools: [weather] })).text, /Lima: fog/);
});

test("a stream's text is the completion's text, and reasoning is apart", async () => {
  const stream = client.stream("script:think", "hello");
  const deltas = await all(stream);
  const { text, reasoning, usage } = await stream.completion();
  const joined = (type: string): string =>
    deltas.map((delta) => (delta.type === type && "text" in delta ? delta.text : "")).join("");
  assert.deepEqual([joined("text_delta"), joined("reasoning_delta")], [text, reasoning]);
  assert.ok(reasoning && usage.reasoningTokens > 0);
});

test("an error has its class, its reason and its metadata", async () => {
  await assert.rejects(client.complete("nobody:x", "hello"), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.deepEqual(
      [error.code, error.reason, error.metadata["provider"]],
      ["NOT_FOUND", "PROVIDER_NOT_FOUND", "nobody"],
    );
    return true;
  });
  const empty = { role: "user", content: [{ type: "media", mediaType: "", uri: "" }] } as const;
  await assert.rejects(client.complete("script:echo", [empty]), (error) => {
    assert.ok(error instanceof InvalidArgumentError);
    assert.match(error.violations[0]?.field ?? "", /^params\.messages\[0\]/);
    return true;
  });
});

test("a completion that takes longer than its time fails with the deadline", async () => {
  await assert.rejects(client.complete("script:hang", "hello", { timeoutMs: 300 }), DeadlineExceededError);
});

test("a completion that is aborted fails with the signal's reason", async () => {
  const controller = new AbortController();
  const completing = client.complete("script:hang", "hello", { signal: controller.signal });
  controller.abort(new RangeError("enough"));
  await assert.rejects(completing, /enough/);
  await assert.rejects(client.complete("script:echo", "hello", { signal: controller.signal }), /enough/);
});

test("a stream that is aborted fails with the signal's reason", async () => {
  const controller = new AbortController();
  const stream = client.stream("script:slow-1000", "hello", { signal: controller.signal });
  await assert.rejects(async () => {
    for await (const _ of stream) controller.abort(new RangeError("enough"));
  }, /enough/);
});

test("a stream that was left has no completion", async () => {
  const stream = client.stream("script:slow-1000", "hello");
  for await (const _ of stream) break;
  await assert.rejects(stream.completion(), /left before its end/);
});

test("models are listed", async () => {
  const { models } = await client.models("script");
  assert.ok(models.some(({ id, provider }) => id.startsWith("script:") && provider === "script"));
});

// === Runs with functions of this process ===

test("a run has its answer, its conversation and its steps", async () => {
  const result = await client.run(
    agentOf("script:demo", { tools: [weather] }),
    "What is the weather in Lisbon?",
  );
  assert.equal(result.status, "completed");
  assert.match(result.output ?? "", /Lisbon: sun/);
  assert.deepEqual(
    result.messages.map(({ role }) => role),
    ["user", "assistant", "tool", "assistant"],
  );
  assert.deepEqual(result.messages.slice(1), result.newMessages);
  assert.deepEqual(
    result.steps.map((step) => (step.type === "tool_call_updated" ? step.result : step.message.role)),
    ["assistant", "Lisbon: sun", "tool", "assistant"],
  );
  assert.deepEqual([result.run.turnCount, result.run.isFinished], [2, true]);
});

test("a conversation goes on with the messages of a result", async () => {
  const agent = agentOf("script:demo", { tools: [weather] });
  const first = await client.run(agent, "What is the weather in Lisbon?");
  const next = [...first.messages, { role: "user", content: "And in Oslo?" }] as const;
  const second = await client.run(agent, next);
  assert.equal(second.messages.length, first.messages.length + 4);
  assert.match(second.output ?? "", /Oslo: sun/);
});

test("a run that fails is an error with the result and the provider's reason", async () => {
  const model = "script:error-PROVIDER_CREDENTIALS_REJECTED";
  await assert.rejects(client.run(agentOf(model), "go"), (error) => {
    assert.ok(error instanceof RunFailedError);
    assert.deepEqual([error.reason, error.code], ["PROVIDER_CREDENTIALS_REJECTED", "FAILED_PRECONDITION"]);
    assert.deepEqual([error.result.status, error.result.run.state], ["failed", "failed"]);
    return true;
  });
});

test("the text of a run comes completely, with and without deltas", async () => {
  for (const deltas of [true, false]) {
    const run = client.streamRun(agentOf("script:demo", { tools: [weather] }), "The weather in Rome?", {
      deltas,
    });
    const text = (await all(run.text())).join("");
    const result = await run.result();
    assert.equal(
      text,
      result.newMessages
        .filter(({ role }) => role === "assistant")
        .map(textOf)
        .join(""),
    );
  }
});

test("a run's tools work while nobody reads its events", async () => {
  const worked = new Happening();
  const work = tool({ name: "work", description: "Work.", input: z.object({}), run: () => worked.happen() });
  const run = client.streamRun(agentOf("script:tools-1", { tools: [work] }), "go");
  const events = run[Symbol.asyncIterator]();
  await events.next();
  await worked.wait;
  assert.equal((await run.result()).status, "completed");
});

test("leaving a run's events asks it to stop", async () => {
  const run = client.streamRun(agentOf("script:hang"), "go");
  for await (const _ of run) break;
  const ended = await client.runs.wait(run.runId);
  assert.deepEqual([ended.state, ended.cancelReason], ["cancelled", "the client left"]);
});

test("a tool hears of the run that it works for", async () => {
  const heard = new Happening<readonly unknown[]>();
  const ask = tool({
    name: "ask",
    description: "Ask.",
    input: { type: "object", properties: { n: { type: "integer" } } },
    timeoutMs: 5_000,
    run: (_, { runId, attempt, agentName, labels, deadline, argumentsJson }) =>
      heard.happen([
        runId,
        attempt,
        agentName,
        labels,
        (deadline ?? Infinity) - Date.now() <= 5_000,
        argumentsJson,
      ]),
  });
  const result = await client.run(agentOf("script:tools-1", { tools: [ask], labels: { a: "1" } }), "go", {
    labels: { b: "2" },
  });
  const [runId, attempt, agentName, labels, isSoon, argumentsJson] = await heard.wait;
  assert.deepEqual(
    [runId, attempt, agentName, labels, isSoon],
    [result.runId, 1, "tester", { a: "1", b: "2" }, true],
  );
  assert.equal(typeof argumentsJson, "string");
});

test("a run that was left detached goes on with whoever attaches", async () => {
  const makeTool = (run: () => unknown): ReturnType<typeof tool> =>
    tool({ name: "late", description: "Come late.", input: z.object({}), idempotent: true, run });
  const never = makeTool(() => new Promise(() => undefined));
  const left = client.streamRun(agentOf("script:tools-1", { tools: [never] }), "go", { detach: true });
  for await (const event of left) if (event.type === "tool_call_updated" && event.state === "running") break;

  using other = new Client(server.address);
  const result = await other.runs.attach(left.runId, { tools: [makeTool(() => "at last")] }).result();
  assert.equal(result.status, "completed");
  assert.deepEqual(
    result.newMessages.flatMap((message) => resultsOf(message).map(textOf)),
    ["at last"],
  );
});

// === Runs that go on by themselves ===

test("a function cannot serve a run that goes on by itself", async () => {
  await assert.rejects(
    client.runs.create(agentOf("script:demo", { tools: [weather] }), "go"),
    /hosted tools/,
  );
});

test("a run is created, followed and resumed after any event", async () => {
  const run = await client.runs.create(agentOf("script:stream-20"), "go");
  const ended = await client.runs.wait(run.id);
  assert.equal(ended.state, "succeeded");
  assert.deepEqual(await client.runs.get(run.id), ended);
  const events = await all(client.runs.watch(run.id, { detail: "durable" }));
  for (const [index, { sequence }] of events.entries()) {
    const rest = await all(client.runs.watch(run.id, { detail: "durable", afterSequence: sequence }));
    assert.deepEqual(rest, events.slice(index + 1));
  }
  const [first] = await all(client.runs.watch(run.id, { afterSequence: "now" }));
  assert.equal(first?.type, "snapshot");
});

test("the same request id gives the same run", async () => {
  const requestId = randomUUID();
  const first = await client.runs.create(agentOf("script:echo"), "go", { requestId });
  const second = await client.runs.create(agentOf("script:echo"), "go", { requestId });
  assert.equal(first.id, second.id);
});

test("runs are listed by label and state, newest first", async () => {
  const labels = { suite: unique("list") };
  const ids: string[] = [];
  for (let count = 0; count < 3; count++) {
    const { id } = await client.runs.create(agentOf("script:echo"), "go", { labels });
    await client.runs.wait(id);
    ids.unshift(id);
  }
  const listed = await all(client.runs.list({ labels, states: ["succeeded"] }));
  assert.deepEqual(
    listed.map(({ id }) => id),
    ids,
  );
  assert.deepEqual(await all(client.runs.list({ labels, states: ["failed"] })), []);
  assert.deepEqual(await all(client.runs.list({ labels, createdBefore: new Date(0) })), []);
});

test("a cancelled run ends as cancelled, and cancelling it again is harmless", async () => {
  const { id } = await client.runs.create(agentOf("script:hang"), "go");
  await client.runs.cancel(id, "no longer wanted");
  const ended = await client.runs.wait(id);
  assert.deepEqual([ended.state, ended.cancelReason], ["cancelled", "no longer wanted"]);
  assert.equal((await client.runs.cancel(id)).state, "cancelled");
});

test("one watch follows all runs of a label", async () => {
  const labels = { suite: unique("all") };
  const controller = new AbortController();
  const ended = new Map<string, RunEvent[]>();
  const follow = async (): Promise<void> => {
    for await (const { runId, event } of client.runs.watchAll({
      labels,
      includeFinished: true,
      signal: controller.signal,
    })) {
      if ((event.type === "run_updated" || event.type === "snapshot") && event.run.isFinished) {
        ended.set(runId, [...(ended.get(runId) ?? []), event]);
      }
      if (ended.size === 5) controller.abort();
    }
  };
  const following = assert.rejects(follow(), { name: "AbortError" });
  const runs = await Promise.all(
    Array.from({ length: 5 }, () => client.runs.create(agentOf("script:echo"), "go", { labels })),
  );
  await following;
  assert.deepEqual([...ended.keys()].sort(), runs.map(({ id }) => id).sort());
  for (const events of ended.values()) assert.equal(events.length, 1);
});

test("a watch ends with its own deadline, and the run goes on", async () => {
  const { id } = await client.runs.create(agentOf("script:hang"), "go");
  await assert.rejects(all(client.runs.watch(id, { timeoutMs: 300 })), DeadlineExceededError);
  assert.equal((await client.runs.get(id)).isFinished, false);
  await client.runs.cancel(id);
});
