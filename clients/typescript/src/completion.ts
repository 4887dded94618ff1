/** Completions: one model turn. */

import { create } from "@bufbuild/protobuf";

import {
  callsOf,
  fromWireMessage,
  reasoningOf,
  textOf,
  toWireMessages,
  type Input,
  type Message,
} from "./conversation.js";
import { RunwireError, UnavailableError } from "./errors.js";
import { finishReasonOf, toDelta, toUsage, type Delta, type FinishReason, type Usage } from "./events.js";
import {
  CompletionParamsSchema,
  type Completion as WireCompletion,
  type CompletionParams,
  type StreamCompletionResponse,
} from "./gen/runwire/v1/completion_service_pb.js";
import { ToolSchema } from "./gen/runwire/v1/generation_pb.js";
import { parseJson, type JsonValue } from "./json.js";
import { toWireOptions, type GenerationOptions } from "./options.js";
import { schemaText, type Schema } from "./schema.js";
import { Tool } from "./tool.js";
import type { CallOptions } from "./transport.js";

/** A tool that the model may ask for and the caller runs. */
export interface ToolDefinition {
  readonly name: string;
  /** What it does and when to use it. */
  readonly description: string;
  /** Of the arguments, an object. */
  readonly input: Schema;
}

/** How to complete. `timeoutMs` is the whole budget, the server's retries and fallbacks included. */
export interface CompletionOptions extends GenerationOptions, CallOptions {
  /** Offered to the model; their calls are returned, not run. */
  readonly tools?: readonly (Tool | ToolDefinition)[];
  /** Models to fall back to, in order. */
  readonly fallbackModels?: readonly string[];
}

/** A call that the model asks for. */
export class ToolCall {
  constructor(
    /** Names the call in the conversation. */
    readonly id: string,
    /** The tool. */
    readonly name: string,
    /** The arguments, as the model has written them. */
    readonly argumentsJson: string,
  ) {}

  /**
   * The arguments, parsed: integers beyond 2^53 are `bigint`.
   *
   * @throws SyntaxError The model has written something that is not JSON.
   */
  get arguments(): JsonValue {
    return parseJson(this.argumentsJson);
  }
}

/** The result of one model turn. */
export interface Completion {
  readonly id: string;
  /** The model that answered; it may be a fallback. */
  readonly model: string;
  /** The answer, to be appended to the conversation. */
  readonly message: Message;
  readonly text: string;
  readonly reasoning: string;
  readonly toolCalls: readonly ToolCall[];
  readonly finishReason: FinishReason;
  /** The provider's own word for it. */
  readonly providerFinishReason: string;
  readonly usage: Usage;
  /** The provider's extra response fields, as JSON text. */
  readonly providerMetadataJson: string;
}

/**
 * The deltas of one turn, and then the whole of it. Iterate once; leaving early cancels the provider's call.
 */
export class CompletionStream implements AsyncIterable<Delta> {
  readonly #deltas: AsyncGenerator<Delta, void, undefined>;
  #id = "";
  #model = "";
  #completion: Completion | undefined;

  /** @internal */
  constructor(responses: AsyncIterable<StreamCompletionResponse>) {
    this.#deltas = this.#draw(responses);
  }

  /** The completion's id; empty until the model has begun. */
  get id(): string {
    return this.#id;
  }

  /** The model that answers; empty until it has begun. */
  get model(): string {
    return this.#model;
  }

  /** The deltas. */
  [Symbol.asyncIterator](): AsyncGenerator<Delta, void, undefined> {
    return this.#deltas;
  }

  /** Draws the text alone. */
  async *text(): AsyncGenerator<string, void, undefined> {
    for await (const delta of this.#deltas) if (delta.type === "text_delta") yield delta.text;
  }

  /** Draws what is left and returns the whole result. */
  async completion(): Promise<Completion> {
    while (!(await this.#deltas.next()).done);
    if (!this.#completion) throw new RunwireError("the stream was left before its end");
    return this.#completion;
  }

  async *#draw(responses: AsyncIterable<StreamCompletionResponse>): AsyncGenerator<Delta, void, undefined> {
    for await (const { event } of responses) {
      if (event.case === "started") {
        this.#id = event.value.id;
        this.#model = event.value.model;
      } else if (event.case === "delta") {
        yield* toDelta(this.#id, event.value);
      } else if (event.case === "completion") {
        this.#completion = toCompletion(event.value);
      }
    }
    if (!this.#completion) throw new UnavailableError("the stream ended before the completion did");
  }
}

/**
 * Converts a request.
 *
 * @throws TypeError A message or schema is wrong; says which.
 * @throws RangeError An option is wrong.
 */
export function toParams(model: string, input: Input, options: CompletionOptions): CompletionParams {
  const { tools = [], fallbackModels = [] } = options;
  return create(CompletionParamsSchema, {
    model,
    fallbackModels: [...fallbackModels],
    messages: toWireMessages(input),
    tools: tools.map((each) => {
      if (each instanceof Tool) return each.definition;
      const { name, description } = each;
      return create(ToolSchema, { name, description, inputSchemaJson: schemaText(each.input) });
    }),
    options: toWireOptions(options),
  });
}

/** Converts a completion. */
export function toCompletion(completion: WireCompletion): Completion {
  const { id, model, providerFinishReason, providerMetadataJson } = completion;
  const message: Message = completion.message
    ? fromWireMessage(completion.message)
    : { role: "assistant", content: [] };
  return {
    id,
    model,
    message,
    text: textOf(message),
    reasoning: reasoningOf(message),
    toolCalls: callsOf(message).map((call) => new ToolCall(call.id, call.name, call.argumentsJson)),
    finishReason: finishReasonOf(completion.finishReason),
    providerFinishReason,
    usage: toUsage(completion.usage),
    providerMetadataJson,
  };
}
