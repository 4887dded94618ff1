/** Agents: values that say what a run runs. */

import { create } from "@bufbuild/protobuf";

import { toWireMessages, type Input } from "./conversation.js";
import { RunSpecSchema, type RunSpec } from "./gen/runwire/v1/run_pb.js";
import { toWireLimits, toWireOptions, type GenerationOptions, type RunLimits } from "./options.js";
import { bindingOf, requireDistinct, type HostedTool, type Tool } from "./tool.js";

/** Model, instructions and tools of one loop. */
export interface Agent {
  /** Its name in events. */
  readonly name: string;
  /** `provider:model`, or an alias that the server knows. */
  readonly model: string;
  /** The system instructions. */
  readonly instructions?: string;
  /** What {@link tool} has made runs in this process; a {@link HostedTool} on the host that has registered it. */
  readonly tools?: readonly (Tool | HostedTool)[];
  /** Models to fall back to, in order. */
  readonly fallbackModels?: readonly string[];
  /** How to generate. */
  readonly options?: GenerationOptions;
  /** Kept with the run, for listing and watching. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** What a run may be given besides its agent and input. */
export interface RunSettings extends RunLimits {
  /** Kept with the run, beside the agent's. */
  readonly labels?: Readonly<Record<string, string>>;
  /** How to generate; takes precedence over the agent's. */
  readonly options?: GenerationOptions;
  /** A UUID: the same within a day returns the same run. */
  readonly requestId?: string;
}

/**
 * Converts what to run.
 *
 * @throws TypeError Two tools have one name, or a message or schema is wrong.
 * @throws RangeError An option or limit is wrong.
 */
export function toSpec(agent: Agent, input: Input, settings: RunSettings): RunSpec {
  const { name, model, instructions = "", tools = [], fallbackModels = [] } = agent;
  requireDistinct(tools);
  return create(RunSpecSchema, {
    agent: {
      name,
      model,
      instructions,
      fallbackModels: [...fallbackModels],
      tools: tools.map(bindingOf),
      options: toWireOptions({ ...agent.options, ...settings.options }),
    },
    input: toWireMessages(input),
    limits: toWireLimits(settings),
    labels: { ...agent.labels, ...settings.labels },
  });
}
