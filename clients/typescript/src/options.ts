/** How to generate, and the limits of runs. */

import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import {
  GenerationOptionsSchema,
  ReasoningEffort as WireEffort,
  ToolChoice_Mode,
  ToolChoiceSchema,
  type GenerationOptions as WireOptions,
  type ToolChoice as WireChoice,
} from "./gen/runwire/v1/generation_pb.js";
import { RunLimitsSchema, type RunLimits as WireLimits } from "./gen/runwire/v1/run_pb.js";
import { stringifyJson, type JsonObject } from "./json.js";
import { schemaText, type Schema } from "./schema.js";

/** How hard to think. */
export type ReasoningEffort = "none" | "minimal" | "low" | "medium" | "high" | "max";

/** Whether tools may or must be used; or which. In a run, a force holds until the first tool call. */
export type ToolChoice = "auto" | "none" | "required" | { readonly tool: string };

/** How to generate. What is absent is the provider's default. */
export interface GenerationOptions {
  /** Upper bound of output tokens. */
  readonly maxOutputTokens?: number;
  /** Sampling temperature. */
  readonly temperature?: number;
  /** Nucleus sampling. */
  readonly topP?: number;
  /** Top-k sampling. */
  readonly topK?: number;
  /** Best-effort determinism. */
  readonly seed?: number | bigint;
  /** Texts to stop at. */
  readonly stopSequences?: readonly string[];
  /** How hard to think. */
  readonly reasoningEffort?: ReasoningEffort;
  /** A budget of reasoning tokens, where the provider takes one. */
  readonly maxReasoningTokens?: number;
  /** Whether tools may or must be used. */
  readonly toolChoice?: ToolChoice;
  /** `false` forbids more than one call per turn. */
  readonly parallelToolCalls?: boolean;
  /** What the answer's text must conform to. A strict object (`z.strictObject`) is enforced by more providers. */
  readonly outputSchema?: Schema;
  /** By provider's name: what is merged into its request as it is. */
  readonly providerOptions?: Readonly<Record<string, JsonObject>>;
}

/** What bounds a run. What is absent is the server's, which caps the others, too. */
export interface RunLimits {
  /** Most model turns. */
  readonly maxTurns?: number;
  /** Most tool calls. */
  readonly maxToolCalls?: number;
  /** Most tokens, input and output. */
  readonly maxTokens?: number;
  /** Most calls in flight. */
  readonly maxParallelToolCalls?: number;
  /** Wall-clock time. */
  readonly timeoutMs?: number;
}

const EFFORTS: Record<ReasoningEffort, WireEffort> = {
  none: WireEffort.NONE,
  minimal: WireEffort.MINIMAL,
  low: WireEffort.LOW,
  medium: WireEffort.MEDIUM,
  high: WireEffort.HIGH,
  max: WireEffort.MAX,
};
const MODES = { auto: ToolChoice_Mode.AUTO, none: ToolChoice_Mode.NONE, required: ToolChoice_Mode.REQUIRED };

/**
 * Converts options.
 *
 * @throws TypeError The schema's library cannot say its JSON Schema.
 * @throws RangeError A value is not one that the option can have.
 */
export function toWireOptions(options: GenerationOptions): WireOptions {
  const { reasoningEffort, toolChoice, outputSchema, providerOptions = {}, ...rest } = options;
  const { maxOutputTokens, maxReasoningTokens, seed, stopSequences = [], ...plain } = rest;
  const texts = Object.entries(providerOptions).map(([name, value]) => [name, stringifyJson(value) ?? "{}"]);
  return create(GenerationOptionsSchema, {
    ...plain,
    stopSequences: [...stopSequences],
    providerOptions: Object.fromEntries(texts) as Record<string, string>,
    ...(maxOutputTokens !== undefined && { maxOutputTokens: BigInt(maxOutputTokens) }),
    ...(maxReasoningTokens !== undefined && { maxReasoningTokens: BigInt(maxReasoningTokens) }),
    ...(seed !== undefined && { seed: BigInt(seed) }),
    ...(reasoningEffort && { reasoningEffort: choose("reasoningEffort", EFFORTS, reasoningEffort) }),
    ...(toolChoice && { toolChoice: toWireChoice(toolChoice) }),
    ...(outputSchema && { outputSchemaJson: schemaText(outputSchema) }),
  });
}

/**
 * Converts limits.
 *
 * @throws RangeError `maxTurns` is not positive: a run without a turn has no answer.
 */
export function toWireLimits({ maxTokens, timeoutMs, ...rest }: RunLimits): WireLimits {
  if (rest.maxTurns !== undefined && rest.maxTurns < 1) throw new RangeError("maxTurns must be at least 1");
  return create(RunLimitsSchema, {
    ...rest,
    ...(maxTokens !== undefined && { maxTokens: BigInt(maxTokens) }),
    ...(timeoutMs !== undefined && { timeout: durationFromMs(timeoutMs) }),
  });
}

function toWireChoice(choice: ToolChoice): WireChoice {
  return create(ToolChoiceSchema, {
    choice:
      typeof choice === "object"
        ? { case: "toolName", value: choice.tool }
        : { case: "mode", value: choose("toolChoice", MODES, choice) },
  });
}

function choose<T>(key: string, values: Readonly<Record<string, T>>, name: string): T {
  const value = Object.hasOwn(values, name) ? values[name] : undefined;
  if (value === undefined)
    throw new RangeError(`${key}: '${name}' is not one of ${Object.keys(values).join(", ")}`);
  return value;
}
