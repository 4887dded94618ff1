/** Runs an agent whose functions are in this process. */

import { randomUUID } from "node:crypto";

import { toSpec, type Agent, type RunSettings } from "./agent.js";
import { Attachment } from "./attach.js";
import { toMessages, type Input, type Message } from "./conversation.js";
import { ToolEngine } from "./engine.js";
import { RunwireError } from "./errors.js";
import {
  toEvents,
  type FinishReason,
  type MessageCompleted,
  type Run,
  type RunEvent,
  type ToolCallUpdated,
  type Usage,
} from "./events.js";
import type { RunSpec } from "./gen/runwire/v1/run_pb.js";
import { RunService } from "./gen/runwire/v1/run_service_pb.js";
import type { Logger } from "./logger.js";
import { Tool } from "./tool.js";
import type { Transport } from "./transport.js";

/** How a run ended. */
export type RunStatus = "completed" | "max_turns_exceeded" | "cancelled" | "failed";

/** What a run came to. */
export interface RunResult {
  readonly runId: string;
  readonly status: RunStatus;
  /** The text of the last answer; `undefined` when the run ended without one. */
  readonly output: string | undefined;
  /** The whole conversation: the input and {@link newMessages}. Run again with it to go on. */
  readonly messages: readonly Message[];
  /** What the run has added to it. */
  readonly newMessages: readonly Message[];
  /** The run's messages and finished tool calls, in the order in which they happened. */
  readonly steps: readonly (MessageCompleted | ToolCallUpdated)[];
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  /** Why it failed. */
  readonly error: RunwireError | undefined;
  readonly run: Run;
}

/** A run ended as failed. Its reason, code and metadata are those of the run's error. */
export class RunFailedError extends RunwireError {
  /** What the run came to. */
  readonly result: RunResult;

  constructor(result: RunResult) {
    const error = result.error ?? new RunwireError("the run failed");
    const { message, code, reason, metadata, retryDelayMs, violations } = error;
    super(message, code, { reason, metadata, retryDelayMs, violations, cause: error });
    this.result = result;
  }
}

/** What serving a run's tools here takes. */
export interface AttachOptions {
  /** Most calls at once; 16 by default. */
  readonly window?: number;
  /** The run goes on when this process is lost or leaves; else it is cancelled. */
  readonly detach?: boolean;
  /** Asks the run to stop, unless it is detached; the iteration fails with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Deltas and progress, too. By default they come where they are shown: when the run is streamed. */
  readonly deltas?: boolean;
}

/** What a run in this process takes. */
export type RunOptions = RunSettings & AttachOptions;

/** What following an existing run takes. */
export interface ResumeOptions extends AttachOptions {
  /** The agent's tools that run in this process, as they were given when the run was created. */
  readonly tools?: readonly Tool[];
  /** Go on after this event. By default from the beginning. */
  readonly afterSequence?: number;
}

const CANCEL_MS = 2_000;
const WINDOW = 16;

/** What a stream of a run needs of its client. @internal */
export interface StreamOptions extends AttachOptions {
  readonly transport: Transport;
  readonly logger: Logger | undefined;
  readonly target: RunSpec | string;
  readonly tools: readonly Tool[];
  readonly input: readonly Message[];
  readonly requestId?: string | undefined;
  readonly afterSequence?: number | undefined;
}

/**
 * A run's events as they happen, and then its result. It begins with the first step of the iteration; iterate
 * once. Leaving early asks the run to stop, unless it is detached.
 */
export class RunStream implements AsyncIterable<RunEvent> {
  readonly #options: StreamOptions;
  readonly #record: Recorder;
  readonly #events: AsyncGenerator<RunEvent, void, undefined>;
  #runId = "";

  /** @internal */
  constructor(options: StreamOptions) {
    this.#options = options;
    this.#record = new Recorder(options.input);
    this.#events = this.#draw();
  }

  /** The run's id; empty until the server has answered. */
  get runId(): string {
    return this.#runId;
  }

  /** The events. */
  [Symbol.asyncIterator](): AsyncGenerator<RunEvent, void, undefined> {
    return this.#events;
  }

  /**
   * Draws the text of the model's answers alone, completely: what deltas have left out comes with the message.
   */
  async *text(): AsyncGenerator<string, void, undefined> {
    let shown = "";
    for await (const event of this.#events) {
      if (event.type === "text_delta") {
        shown += event.text;
        yield event.text;
      } else if (event.type === "message_completed" && event.message.role === "assistant") {
        if (event.text.startsWith(shown) && event.text.length > shown.length)
          yield event.text.slice(shown.length);
        shown = "";
      } else if (event.type === "message_discarded") {
        shown = "";
      }
    }
  }

  /**
   * Draws what is left and returns what the run came to.
   *
   * @throws RunFailedError The run failed; the error has the result.
   */
  async result(): Promise<RunResult> {
    while (!(await this.#events.next()).done);
    const result = this.#record.result();
    if (result.status === "failed") throw new RunFailedError(result);
    return result;
  }

  async *#draw(): AsyncGenerator<RunEvent, void, undefined> {
    const { transport, target, tools, logger, signal, detach = false } = this.#options;
    signal?.throwIfAborted();
    const engine = new ToolEngine(tools, logger);
    const attachment = new Attachment(transport, engine, target, {
      window: tools.length > 0 ? (this.#options.window ?? WINDOW) : 0,
      hasDeltas: this.#options.deltas ?? true,
      isDetached: detach,
      requestId: this.#options.requestId ?? randomUUID(),
      afterSequence: this.#options.afterSequence,
    });
    const stop = (): void => attachment.stop();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      for await (const wire of attachment.events()) {
        this.#runId = attachment.runId;
        for (const event of toEvents(wire)) {
          this.#record.add(event, attachment.runId);
          yield event;
        }
      }
      if (!this.#record.isFinished) signal?.throwIfAborted();
    } finally {
      signal?.removeEventListener("abort", stop);
      stop();
      engine.abort();
      if (!this.#record.isFinished && attachment.runId && !detach) await this.#cancel(attachment.runId);
    }
  }

  /** Asks the server to stop the run; if that fails, its own grace does. */
  async #cancel(runId: string): Promise<void> {
    const request = { runId, reason: "the client left" };
    const call = this.#options.transport.unary(RunService.method.cancelRun, request, {
      timeoutMs: CANCEL_MS,
    });
    await call.catch(() => undefined);
  }
}

/** Streams a new run of an agent. */
export function startRun(
  transport: Transport,
  logger: Logger | undefined,
  agent: Agent,
  input: Input,
  options: RunOptions,
): RunStream {
  return new RunStream({
    ...options,
    transport,
    logger,
    target: toSpec(agent, input, options),
    tools: (agent.tools ?? []).filter((tool) => tool instanceof Tool),
    input: toMessages(input),
  });
}

/** What a result is made of. */
class Recorder {
  readonly #input: readonly Message[];
  readonly #new: Message[] = [];
  readonly #steps: (MessageCompleted | ToolCallUpdated)[] = [];
  #run: Run | undefined;

  constructor(input: readonly Message[]) {
    this.#input = input;
  }

  get isFinished(): boolean {
    return this.#run?.isFinished ?? false;
  }

  add(event: RunEvent, runId: string): void {
    switch (event.type) {
      case "run_updated":
      case "snapshot":
        if (event.run.id === runId) this.#run = event.run;
        return;
      case "tool_call_updated":
        if (["succeeded", "failed", "cancelled"].includes(event.state)) this.#steps.push(event);
        return;
      case "message_completed":
        if (event.runId !== runId || !["assistant", "tool"].includes(event.message.role)) return;
        this.#new.push(event.message);
        this.#steps.push(event);
        return;
      case "text_delta":
      case "reasoning_delta":
      case "tool_call_delta":
      case "message_discarded":
        return;
    }
  }

  result(): RunResult {
    const run = this.#run;
    if (!run) throw new RunwireError("the run's stream was left before its end");
    const { id, finishReason, usage, error, state, output } = run;
    return {
      runId: id,
      status: statusOf(run),
      output: state === "succeeded" ? output : undefined,
      messages: [...this.#input, ...this.#new],
      newMessages: this.#new,
      steps: this.#steps,
      finishReason,
      usage,
      error,
      run,
    };
  }
}

function statusOf({ state, error }: Run): RunStatus {
  if (state === "succeeded") return "completed";
  if (state === "cancelled") return "cancelled";
  return error?.reason === "MAX_TURNS_EXCEEDED" ? "max_turns_exceeded" : "failed";
}
