/** Tool hosts, through the real server. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { z } from "zod";

import {
  AbortedError,
  CancelledError,
  Client,
  InvalidArgumentError,
  tool,
  ToolHost,
  type Agent,
  type Run,
  type Tool,
  type ToolOptions,
} from "../src/index.js";
import { Happening, Server, unique, Wire } from "./harness.js";

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

function hostedTool(name: string, run: () => unknown, more: Partial<ToolOptions<z.ZodObject>> = {}): Tool {
  return tool({ name, description: "Act.", ...more, input: z.object({}), run });
}

function agentOf(model: string, tools: Agent["tools"] = []): Agent {
  return { name: "tester", model, tools };
}

async function resultsOfCalls(runId: string): Promise<(string | undefined)[]> {
  const results: (string | undefined)[] = [];
  for await (const event of client.runs.watch(runId)) {
    if (event.type === "tool_call_updated" && event.state === "succeeded") results.push(event.result);
  }
  return results;
}

test("a hosted tool serves a run that another client creates", async () => {
  const name = unique("act");
  await using host = await new ToolHost(client, [hostedTool(name, () => "done")]).start();
  assert.deepEqual([...host.rejected], []);
  using other = new Client(server.address);
  const { id } = await other.runs.create(agentOf("script:tools-1", [{ hosted: name }]), "go");
  assert.equal((await other.runs.wait(id)).state, "succeeded");
  assert.deepEqual(await resultsOfCalls(id), ["done"]);
});

test("two hosts of one name never take each other's bound calls", async () => {
  const name = unique("own");
  await using _ = await new ToolHost(client, [hostedTool(name, () => "theirs")]).start();
  await using mine = await new ToolHost(client, [hostedTool(name, () => "mine")]).start();
  const { id } = await client.runs.create(agentOf("script:tools-4", mine.bindings()), "go");
  assert.deepEqual(await resultsOfCalls(id), ["mine", "mine", "mine", "mine"]);
});

test("hosted tools and functions of the process serve one run", async () => {
  const far = unique("far");
  await using host = await new ToolHost(client, [hostedTool(far, () => "far")]).start();
  const near = hostedTool(unique("near"), () => "near");
  const result = await client.run(agentOf("script:tools-2", [near, ...host.bindings()]), "go");
  const results = result.steps.flatMap((step) => (step.type === "tool_call_updated" ? [step.result] : []));
  assert.deepEqual(results.sort(), ["far", "near"]);
});

test("a host finishes its calls when it is closed, and closing it again is harmless", async () => {
  const begun = new Happening();
  const opened = new Happening();
  const name = unique("slow");
  const slow = hostedTool(name, async () => {
    begun.happen();
    await opened.wait;
    return "finished";
  });
  const host = await new ToolHost(client, [slow]).start();
  const { id } = await client.runs.create(agentOf("script:tools-1", host.bindings()), "go");
  await begun.wait;
  const closing = host.close();
  opened.happen();
  await closing;
  await host.close();
  assert.deepEqual(await resultsOfCalls(id), ["finished"]);
});

test("a host that is closed without patience leaves its calls to the server", async () => {
  const begun = new Happening();
  const hang = hostedTool(unique("hang"), () => {
    begun.happen();
    return new Promise(() => undefined);
  });
  const host = await new ToolHost(client, [hang]).start();
  const { id } = await client.runs.create(agentOf("script:tools-1", host.bindings()), "go");
  await begun.wait;
  await host.close({ graceMs: 0 });
  const updates: (string | undefined)[] = [];
  for await (const event of client.runs.watch(id)) {
    if (event.type === "tool_call_updated") updates.push(event.error?.reason);
  }
  assert.equal(updates.at(-1), "OUTCOME_UNKNOWN");
});

test("a host comes back after its connection was cut, and its call runs once", async () => {
  const begun = new Happening();
  const opened = new Happening();
  let calls = 0;
  const slow = hostedTool(unique("cut"), async () => {
    calls += 1;
    begun.happen();
    await opened.wait;
    return "survived";
  });
  const wire = await Wire.to(server.address);
  using behind = new Client(wire.address);
  const host = await new ToolHost(behind, [slow]).start();
  const { id } = await client.runs.create(agentOf("script:tools-1", host.bindings()), "go");
  await begun.wait;
  wire.cut();
  opened.happen();
  assert.deepEqual([await resultsOfCalls(id), calls], [["survived"], 1]);
  await host.close();
  wire.close();
});

test("a host waits for a server that is not there yet", async () => {
  const first = await Server.start();
  await first.stop();
  using late = new Client(first.address);
  const name = unique("late");
  const host = new ToolHost(late, [hostedTool(name, () => "here")]);
  const starting = host.start();
  const second = await Server.start("", first.address);
  await starting;
  const run: Run = await late.runs.create(agentOf("script:tools-1", host.bindings()), "go");
  assert.equal((await late.runs.wait(run.id)).state, "succeeded");
  await host.close();
  await second.stop();
});

test("a host that is closed before it is live says so", async () => {
  using nowhere = new Client("127.0.0.1:1");
  const host = new ToolHost(nowhere, [hostedTool("any", () => "")]);
  const starting = assert.rejects(host.start(), CancelledError);
  await host.close();
  await starting;
});

test("a host whose every tool is refused does not start", async () => {
  const name = unique("clash");
  const version = "1";
  await using _ = await new ToolHost(client, [hostedTool(name, () => "", { version })]).start();
  const other = hostedTool(name, () => "", { version, description: "Another." });
  await assert.rejects(new ToolHost(client, [other]).start(), { reason: "VERSION_CONFLICT" });
  await using both = await new ToolHost(client, [other, hostedTool(unique("fine"), () => "")]).start();
  assert.deepEqual(
    [...both.rejected].map(([rejected, { reason }]) => [rejected, reason]),
    [[name, "VERSION_CONFLICT"]],
  );
});

test("a host without a name is refused for good", async () => {
  const host = new ToolHost(client, [hostedTool(unique("act"), () => "")], { hostId: " " });
  await assert.rejects(host.serve({ signals: [] }), InvalidArgumentError);
});

test("a host whose id another process takes ends", async () => {
  const hostId = unique("host");
  const tools = [hostedTool(unique("act"), () => "")];
  const first = await new ToolHost(client, tools, { hostId }).start();
  const serving = assert.rejects(first.serve({ signals: [] }), AbortedError);
  await using _ = await new ToolHost(client, tools, { hostId }).start();
  await serving;
});

test("serving ends with its signal, and drains", async () => {
  const controller = new AbortController();
  const host = new ToolHost(client, [hostedTool(unique("act"), () => "")]);
  const serving = host.serve({ signal: controller.signal, signals: [] });
  controller.abort();
  await serving;
});

test("what is logged of a tool that fails holds neither arguments nor message", async () => {
  const lines: string[] = [];
  const logger = { info: (line: string) => lines.push(line), warn: (line: string) => lines.push(line) };
  using logging = new Client(server.address, { logger });
  const name = unique("secret");
  const fails = hostedTool(name, () => Promise.reject(new RangeError("hunter2")));
  await using host = await new ToolHost(logging, [fails]).start();
  const { id } = await client.runs.create(agentOf("script:tools-1", host.bindings()), "go");
  await client.runs.wait(id);
  assert.deepEqual(lines, [`tool ${name} failed: RangeError`]);
});
