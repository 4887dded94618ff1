import assert from "node:assert/strict";
import { test } from "node:test";

import { z } from "zod";

import { tool, ToolError, type JsonSchema, type Tool, type ToolContext } from "../src/index.js";
import { requireDistinct, toResultParts } from "../src/tool.js";

function contextOf(argumentsJson: string): ToolContext {
  return {
    callId: "call_1",
    attempt: 1,
    runId: "run_1",
    agentName: "agent",
    principal: "me",
    labels: {},
    traceparent: "",
    argumentsJson,
    signal: new AbortController().signal,
    deadline: undefined,
    progress: () => undefined,
  };
}

async function invoke(invoked: Tool, argumentsJson: string): Promise<string> {
  const parts = await invoked.invoke(contextOf(argumentsJson));
  return parts
    .map(({ content }) => (content.case === "text" ? content.value : (content.case ?? "")))
    .join("|");
}

const described = { name: "t", description: "A tool." };

test("a zod schema becomes the tool's JSON Schema, in its own order and without a preamble", () => {
  const made = tool({
    ...described,
    input: z.object({ zulu: z.string().describe("Last."), alpha: z.number().optional() }),
    run: () => "",
  });
  assert.equal(
    made.definition.inputSchemaJson,
    '{"type":"object","properties":{"zulu":{"type":"string","description":"Last."},"alpha":{"type":"number"}},"required":["zulu"]}',
  );
});

test("a JSON Schema is taken as it is", () => {
  const input: JsonSchema = {
    type: "object",
    properties: { id: { type: "integer", maximum: 9223372036854775807n } },
  };
  const made = tool({ ...described, input, run: () => "" });
  assert.equal(
    made.definition.inputSchemaJson,
    '{"type":"object","properties":{"id":{"type":"integer","maximum":9223372036854775807}}}',
  );
});

test("a schema whose library cannot say its JSON Schema is refused when the tool is made", () => {
  const input = { "~standard": { version: 1, vendor: "ancient", validate: (value: unknown) => ({ value }) } };
  assert.throws(() => tool({ ...described, input, run: () => "" }), /ancient cannot say its JSON Schema/);
});

test("arguments arrive as the schema has made them", async () => {
  const input = z.object({ city: z.string().trim(), days: z.int().default(3) });
  const made = tool({ ...described, input, run: ({ city, days }) => `${city.toUpperCase()} ${days}` });
  assert.equal(await invoke(made, '{"city": " Oslo "}'), "OSLO 3");
});

test("arguments that do not fit are told with their place, and the function is not called", async () => {
  const input = z.object({ stops: z.array(z.object({ city: z.string() })) });
  const made = tool({ ...described, input, run: () => assert.fail("called") });
  await assert.rejects(invoke(made, '{"stops": [{"city": 1}]}'), (error) => {
    assert.ok(error instanceof ToolError);
    assert.match(error.message, /^invalid arguments for tool 't': stops\.0\.city: /);
    return true;
  });
  await assert.rejects(invoke(made, "{"), /invalid arguments for tool 't': they are not JSON/);
});

test("without a schema of types, 64-bit integers arrive exactly and return exactly", async () => {
  const made = tool({ ...described, input: { type: "object" }, run: ({ value }) => [value] as unknown });
  assert.equal(await invoke(made, '{"value": -9223372036854775808}'), "[-9223372036854775808]");
});

test("results are texts, parts or JSON", () => {
  const kinds = (result: unknown): unknown => toResultParts(result).map(({ content }) => content.case);
  const texts = (result: unknown): unknown => toResultParts(result).map(({ content }) => content.value);
  assert.deepEqual(texts("as it is"), ["as it is"]);
  assert.deepEqual(texts({ b: 1, a: [2n] }), ['{"b":1,"a":[2]}']);
  assert.deepEqual(texts(undefined), ["null"]);
  assert.deepEqual(texts([]), ["[]"]);
  assert.deepEqual(texts({ type: "text" }), ['{"type":"text"}']);
  assert.deepEqual(kinds({ type: "media", mediaType: "image/png", data: new Uint8Array([1]) }), ["media"]);
  assert.deepEqual(
    kinds([
      { type: "text", text: "see" },
      { type: "media", mediaType: "image/png", uri: "https://a/b" },
    ]),
    ["text", "media"],
  );
});

test("a result that is no JSON is the tool's error", () => {
  const ring: unknown[] = [];
  ring.push(ring);
  for (const result of [ring, () => 1, Symbol("s")]) assert.throws(() => toResultParts(result), ToolError);
});

test("two tools of one name are refused", () => {
  const made = tool({ ...described, input: {}, run: () => "" });
  assert.throws(() => requireDistinct([made, { hosted: "t" }]), /two tools are named 't'/);
});
