/** Runs: create, follow, list and stop them. */

import { randomUUID } from "node:crypto";

import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";

import { toSpec, type Agent, type RunSettings } from "./agent.js";
import { Backoff } from "./backoff.js";
import type { Input } from "./conversation.js";
import { isWorthRetrying, UnavailableError } from "./errors.js";
import { RUN_STATES, toEvents, toRun, type Run, type RunEvent, type RunState } from "./events.js";
import type { Run as WireRun } from "./gen/runwire/v1/run_pb.js";
import {
  EventDetail,
  RunFilterSchema,
  RunService,
  type RunFilter as WireFilter,
} from "./gen/runwire/v1/run_service_pb.js";
import type { Logger } from "./logger.js";
import { RunStream, type ResumeOptions } from "./runner.js";
import { Seen } from "./seen.js";
import { Tool } from "./tool.js";
import type { CallOptions, Transport } from "./transport.js";

/** Everything, or what is kept: no deltas, no progress. */
export type Detail = "full" | "durable";

/** Selects runs; all that is given must hold. */
export interface RunFilter {
  /** In one of these states. */
  readonly states?: readonly Exclude<RunState, "unknown">[];
  /** With all these labels. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Of this agent. */
  readonly agentName?: string;
  /** Created at this time or later. */
  readonly createdAfter?: Date;
  /** Created before this time. */
  readonly createdBefore?: Date;
}

/** How to watch a run. */
export interface WatchOptions extends CallOptions {
  /** Go on after this event. By default from the beginning; `"now"`: from how things stand, a snapshot. */
  readonly afterSequence?: number | "now";
  /** `full` by default. */
  readonly detail?: Detail;
}

/** How to watch many runs. */
export interface WatchAllOptions extends RunFilter, CallOptions {
  /** `durable` by default. */
  readonly detail?: Detail;
  /** Snapshots of finished runs, too. */
  readonly includeFinished?: boolean;
}

/** An event of one of many runs. */
export interface WatchedEvent {
  readonly runId: string;
  readonly event: RunEvent;
}

const DETAILS = { full: EventDetail.FULL, durable: EventDetail.DURABLE };
const RECONNECT_MS = 120_000;
const PAGE = 200;

/** The runs of the tenant. */
export class Runs {
  readonly #transport: Transport;
  readonly #logger: Logger | undefined;

  /** @internal */
  constructor(transport: Transport, logger: Logger | undefined) {
    this.#transport = transport;
    this.#logger = logger;
  }

  /**
   * Creates a run that goes on by itself. Its tools must be hosted: see {@link ToolHost.bindings}.
   *
   * @throws TypeError A tool is a function of this process; those need {@link Client.run}.
   * @throws RunwireError The server refuses it.
   */
  async create(
    agent: Agent,
    input: Input,
    options: RunSettings & Pick<CallOptions, "signal"> = {},
  ): Promise<Run> {
    if (agent.tools?.some((tool) => tool instanceof Tool)) {
      throw new TypeError("a run that goes on by itself needs hosted tools: use ToolHost.bindings()");
    }
    const { requestId = randomUUID(), signal } = options;
    const request = { requestId, spec: toSpec(agent, input, options) };
    return required(await this.#transport.unary(RunService.method.createRun, request, { signal }));
  }

  /** Returns a run. */
  async get(runId: string, options?: CallOptions): Promise<Run> {
    return required(await this.#transport.unary(RunService.method.getRun, { runId }, options));
  }

  /** Asks a run to stop. Harmless twice, and after the end. Watch for the end. */
  async cancel(runId: string, reason = "", options?: CallOptions): Promise<Run> {
    return required(await this.#transport.unary(RunService.method.cancelRun, { runId, reason }, options));
  }

  /** Draws the runs that match, newest first; pages are fetched as they are needed. */
  async *list(filter: RunFilter & CallOptions = {}): AsyncGenerator<Run, void, undefined> {
    let pageToken = "";
    do {
      const request = { filter: toWireFilter(filter), pageSize: PAGE, pageToken };
      const page = await this.#transport.unary(RunService.method.listRuns, request, filter);
      yield* page.runs.map(toRun);
      pageToken = page.nextPageToken;
    } while (pageToken);
  }

  /** Draws a run's events until its last one, across lost connections, without gap or repeat. */
  async *watch(runId: string, options: WatchOptions = {}): AsyncGenerator<RunEvent, void, undefined> {
    const { afterSequence = 0, detail = "full", ...call } = options;
    const patience = new Patience(call.signal);
    const opened = () => patience.heard();
    let after = afterSequence === "now" ? undefined : BigInt(afterSequence);
    for (;;) {
      const request = {
        runId,
        detail: DETAILS[detail],
        ...(after !== undefined && { afterSequence: after }),
      };
      try {
        for await (const { events } of this.#transport.serverStream(RunService.method.watchRun, request, {
          ...call,
          opened,
        })) {
          patience.heard();
          for (const event of events) {
            after = event.sequence;
            yield* toEvents(event);
          }
        }
        return;
      } catch (error) {
        await patience.again(error);
      }
    }
  }

  /** Waits for the end of a run. */
  async wait(runId: string, options?: CallOptions): Promise<Run> {
    let last: Run | undefined;
    for await (const event of this.watch(runId, { ...options, afterSequence: "now", detail: "durable" })) {
      if ((event.type === "run_updated" || event.type === "snapshot") && event.run.id === runId)
        last = event.run;
    }
    return last?.isFinished ? last : await this.get(runId, options);
  }

  /**
   * Draws the events of all runs that match on one stream; runs that come to match are added. Never ends by
   * itself.
   *
   * @throws RunwireError The watch cannot be opened, or the server stayed away for too long.
   */
  async *watchAll(options: WatchAllOptions): AsyncGenerator<WatchedEvent, void, undefined> {
    const { detail = "durable", signal, timeoutMs } = options;
    const patience = new Patience(signal);
    const seen = new Seen();
    let includeFinished = options.includeFinished ?? false;
    let cursor = "";
    for (;;) {
      const request = { filter: toWireFilter(options), detail: DETAILS[detail], includeFinished, cursor };
      const call = { signal, timeoutMs, opened: () => patience.heard() };
      try {
        for await (const batch of this.#transport.serverStream(RunService.method.watchRuns, request, call)) {
          patience.heard();
          const news = batch.events.filter((event) => seen.isNew(batch.rootRunId, event));
          for (const event of news.flatMap(toEvents)) yield { runId: batch.rootRunId, event };
          cursor = batch.cursor;
          includeFinished = false;
        }
        await patience.again(new UnavailableError("the stream ended"));
      } catch (error) {
        await patience.again(error);
      }
    }
  }

  /**
   * Attaches to an existing run and runs its tools here, in the place of whoever did before: how a run goes on
   * after its process was lost. By default its events come from the beginning.
   */
  attach(runId: string, options: ResumeOptions = {}): RunStream {
    return new RunStream({
      detach: true,
      ...options,
      transport: this.#transport,
      logger: this.#logger,
      target: runId,
      tools: options.tools ?? [],
      input: [],
      afterSequence: options.afterSequence ?? 0,
    });
  }
}

/** How long to keep trying to get back to a stream that the server has once begun to answer. */
class Patience {
  readonly #signal: AbortSignal | undefined;
  readonly #backoff = new Backoff();
  #heardAt: number | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  heard(): void {
    this.#heardAt = performance.now();
    this.#backoff.reset();
  }

  /** Waits for the next attempt; throws the error when there is to be none. */
  async again(error: unknown): Promise<void> {
    const isLost = this.#heardAt !== undefined && performance.now() - this.#heardAt < RECONNECT_MS;
    if (!isLost || !isWorthRetrying(error) || error.code === "DEADLINE_EXCEEDED") throw error;
    if (!(await this.#backoff.wait(error.retryDelayMs, this.#signal))) this.#signal?.throwIfAborted();
  }
}

function required({ run }: { readonly run?: WireRun | undefined }): Run {
  if (!run) throw new UnavailableError("the answer has no run");
  return toRun(run);
}

function toWireFilter(filter: RunFilter): WireFilter {
  const { states = [], labels = {}, agentName = "", createdAfter, createdBefore } = filter;
  return create(RunFilterSchema, {
    states: states.map((state) => RUN_STATES[state]),
    labels: { ...labels },
    agentName,
    ...(createdAfter && { minCreateTime: timestampFromDate(createdAfter) }),
    ...(createdBefore && { maxCreateTime: timestampFromDate(createdBefore) }),
  });
}
