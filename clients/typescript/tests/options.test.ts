import assert from "node:assert/strict";
import { test } from "node:test";

import { toJson } from "@bufbuild/protobuf";
import { z } from "zod";

import type { GenerationOptions } from "../src/index.js";
import { toWireLimits, toWireOptions } from "../src/options.js";
import { GenerationOptionsSchema, RunLimitsSchema } from "../src/v1.js";

test("options reach the wire, and absent ones stay absent", () => {
  const options: GenerationOptions = {
    maxOutputTokens: 100,
    temperature: 0,
    seed: 9007199254740993n,
    stopSequences: ["END"],
    reasoningEffort: "high",
    toolChoice: { tool: "look" },
    parallelToolCalls: false,
    outputSchema: z.strictObject({ answer: z.string() }),
    providerOptions: { openai: { zulu: 1n, alpha: true } },
  };
  assert.deepEqual(toJson(GenerationOptionsSchema, toWireOptions(options)), {
    maxOutputTokens: "100",
    temperature: 0,
    seed: "9007199254740993",
    stopSequences: ["END"],
    reasoningEffort: "REASONING_EFFORT_HIGH",
    toolChoice: { toolName: "look" },
    parallelToolCalls: false,
    outputSchemaJson:
      '{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"],"additionalProperties":false}',
    providerOptions: { openai: '{"zulu":1,"alpha":true}' },
  });
  assert.deepEqual(toJson(GenerationOptionsSchema, toWireOptions({})), {});
});

test("a value that an option cannot have is refused by name", () => {
  const wrong = { toolChoice: "maybe", reasoningEffort: "low" } as unknown as GenerationOptions;
  assert.throws(() => toWireOptions(wrong), /toolChoice: 'maybe' is not one of auto, none, required/);
  const inherited = { reasoningEffort: "toString" } as unknown as GenerationOptions;
  assert.throws(() => toWireOptions(inherited), RangeError);
});

test("limits reach the wire, and a run without a turn is refused", () => {
  assert.deepEqual(toJson(RunLimitsSchema, toWireLimits({ maxTurns: 3, maxTokens: 10, timeoutMs: 1500 })), {
    maxTurns: 3,
    maxTokens: "10",
    timeout: "1.500s",
  });
  assert.throws(() => toWireLimits({ maxTurns: 0 }), RangeError);
});
