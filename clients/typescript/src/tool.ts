/** Tools: functions that a model may call. */

import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import { toWireParts, type MediaPart, type TextPart } from "./conversation.js";
import { ToolSchema, type Tool as WireTool } from "./gen/runwire/v1/generation_pb.js";
import type { Part } from "./gen/runwire/v1/message_pb.js";
import { HostAffinity, ToolBindingSchema, type ToolBinding } from "./gen/runwire/v1/run_pb.js";
import { stringifyJson } from "./json.js";
import { ArgumentsError, parseArguments, schemaText, type Infer, type Schema } from "./schema.js";

/** Throw it in a tool to tell the model what went wrong, in words meant for it. */
export class ToolError extends Error {
  override readonly name = "ToolError";
}

/** What a call knows of itself: the second argument of a tool's function. */
export interface ToolContext {
  /** The call, and its idempotency key: every delivery of one call has the same. */
  readonly callId: string;
  /** Which delivery this is, from 1. */
  readonly attempt: number;
  /** The run. */
  readonly runId: string;
  /** The agent that calls. */
  readonly agentName: string;
  /** Who created the run, as the server has authenticated it: what to authorise by. */
  readonly principal: string;
  /** The run's labels. */
  readonly labels: Readonly<Record<string, string>>;
  /** The W3C trace context of whoever created the run; with OpenTelemetry it is active in the function. */
  readonly traceparent: string;
  /** The arguments as the model has written them. */
  readonly argumentsJson: string;
  /** Aborted when the call is cancelled or its time is over. Pass it on to what the function awaits. */
  readonly signal: AbortSignal;
  /** When the result must be there, as `Date.now()` counts; absent: no limit. */
  readonly deadline: number | undefined;
  /** Tells watchers how far the call is. Never waits. */
  progress(report: { progress: number; total?: number; message?: string }): void;
}

/** How calls of a tool are treated. Times are per call. */
export interface CallPolicy {
  /** Time for one execution, from acceptance. The server's default: 5 minutes. */
  readonly timeoutMs?: number;
  /** Time to wait for a host. The server's default: 60 seconds. 0 fails at once when there is none. */
  readonly acceptTimeoutMs?: number;
  /** Longest silence between progress reports. */
  readonly progressTimeoutMs?: number;
}

/** What makes a tool. */
export interface ToolOptions<S extends Schema> extends CallPolicy {
  /** Letters, digits, `_`, `-` and `.`; at most 64. */
  readonly name: string;
  /** What it does and when to use it. */
  readonly description: string;
  /** Of the arguments, an object. */
  readonly input: S;
  /** The definition's version. Definitions of one name and version must be equal. */
  readonly version?: string;
  /** It changes nothing; implies idempotent. */
  readonly readOnly?: boolean;
  /** Calling twice with one call id has the effect of calling once. */
  readonly idempotent?: boolean;
  /** It may destroy things. A hint that is listed. */
  readonly destructive?: boolean;
  /**
   * The function. A string is the result as it is, {@link MediaPart} and {@link TextPart} (and arrays of them)
   * are its parts, everything else is its JSON. What it throws is told to the model, without a stack.
   */
  readonly run: (input: Infer<S>, context: ToolContext) => unknown;
}

/**
 * A function with its definition. Make it with {@link tool}.
 *
 * Without `readOnly` or `idempotent` a call runs at most once: it begins only after the server has stored that
 * it will, and is never repeated.
 */
export class Tool {
  /** Its name. */
  readonly name: string;
  /** Its definition's version. */
  readonly version: string;
  /** How its calls are treated. */
  readonly policy: CallPolicy;
  /** Whether a call may run again after its host was lost. */
  readonly mayRedeliver: boolean;
  /** The definition that the model sees. @internal */
  readonly definition: WireTool;
  readonly #input: Schema;
  readonly #run: (input: never, context: ToolContext) => unknown;

  /** @internal */
  constructor(options: ToolOptions<Schema>) {
    const {
      name,
      description,
      version = "",
      readOnly = false,
      idempotent = false,
      destructive = false,
    } = options;
    this.name = name;
    this.version = version;
    this.policy = options;
    this.mayRedeliver = readOnly || idempotent;
    this.definition = create(ToolSchema, {
      name,
      description,
      version,
      inputSchemaJson: schemaText(options.input),
      annotations: { readOnly, idempotent, destructive },
    });
    this.#input = options.input;
    this.#run = options.run;
  }

  /**
   * Runs a call: validates, calls, converts the result.
   *
   * @throws ToolError The arguments do not fit, or the result cannot be told to a model.
   * @internal
   */
  async invoke(context: ToolContext): Promise<Part[]> {
    let input: unknown;
    try {
      input = await parseArguments(this.#input, context.argumentsJson);
    } catch (error) {
      if (!(error instanceof ArgumentsError)) throw error;
      throw new ToolError(`invalid arguments for tool '${this.name}': ${error.message}`);
    }
    return toResultParts(await this.#run(input as never, context));
  }
}

/**
 * Makes a tool of a function.
 *
 * @throws TypeError The schema's library cannot say its JSON Schema.
 */
export function tool<const S extends Schema>(options: ToolOptions<S>): Tool {
  return new Tool(options);
}

/** A tool that some tool host has registered, for an agent's tools. */
export interface HostedTool extends CallPolicy {
  /** The registered name. */
  readonly hosted: string;
  /** Only this version. */
  readonly version?: string;
  /** Only this host: for functions of one's own process. */
  readonly hostId?: string;
  /** Only hosts with all these labels. */
  readonly hostLabels?: Readonly<Record<string, string>>;
  /** Later calls of a run go to the host of its first. */
  readonly sticky?: boolean;
}

/** Says where an agent's tool runs. */
export function bindingOf(bound: Tool | HostedTool): ToolBinding {
  const isTool = bound instanceof Tool;
  const { timeoutMs, acceptTimeoutMs, progressTimeoutMs } = isTool ? bound.policy : bound;
  return create(ToolBindingSchema, {
    binding: isTool
      ? { case: "attached", value: bound.definition }
      : {
          case: "hosted",
          value: {
            name: bound.hosted,
            version: bound.version ?? "",
            hostId: bound.hostId ?? "",
            hostLabels: { ...bound.hostLabels },
            affinity: bound.sticky ? HostAffinity.RUN : HostAffinity.ANY,
          },
        },
    ...(timeoutMs !== undefined && { timeout: durationFromMs(timeoutMs) }),
    ...(acceptTimeoutMs !== undefined && { acceptTimeout: durationFromMs(acceptTimeoutMs) }),
    ...(progressTimeoutMs !== undefined && { progressTimeout: durationFromMs(progressTimeoutMs) }),
  });
}

/**
 * Refuses two tools of one name: the model could not tell them apart.
 *
 * @throws TypeError Names the clash.
 */
export function requireDistinct(tools: readonly (Tool | HostedTool)[]): void {
  const seen = new Set<string>();
  for (const each of tools) {
    const name = each instanceof Tool ? each.name : each.hosted;
    if (seen.has(name)) throw new TypeError(`two tools are named '${name}'`);
    seen.add(name);
  }
}

/** Converts what a function has returned. */
export function toResultParts(result: unknown): Part[] {
  if (typeof result === "string") return toWireParts(result);
  if (isContent(result)) return toWireParts([result]);
  if (Array.isArray(result) && result.length > 0 && result.every(isContent)) return toWireParts(result);
  let text: string | undefined;
  try {
    text = stringifyJson(result ?? null);
  } catch {
    text = undefined;
  }
  if (text === undefined) throw new ToolError("the tool's result is not JSON");
  return toWireParts(text);
}

function isContent(value: unknown): value is TextPart | MediaPart {
  if (typeof value !== "object" || value === null) return false;
  const part = value as Partial<TextPart | MediaPart>;
  if (part.type === "text") return typeof part.text === "string";
  return part.type === "media" && typeof part.mediaType === "string";
}
