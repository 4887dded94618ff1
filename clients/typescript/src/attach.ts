/** A run's own stream: creates the run or attaches to it, runs its tools here, survives lost connections. */

import { randomUUID } from "node:crypto";

import { create } from "@bufbuild/protobuf";

import { Backoff } from "./backoff.js";
import { Duplex, type Wording } from "./duplex.js";
import { eager } from "./eager.js";
import type { ToolEngine } from "./engine.js";
import { isWorthRetrying, type RunwireError, UnavailableError } from "./errors.js";
import { isTerminal } from "./events.js";
import type { RunEvent as WireEvent, RunSpec } from "./gen/runwire/v1/run_pb.js";
import {
  AttachRunRequestSchema,
  AttachRunStart_DisconnectPolicy as DisconnectPolicy,
  EventDetail,
  RunService,
  type AttachRunRequest,
  type AttachRunResponse,
} from "./gen/runwire/v1/run_service_pb.js";
import type { Transport } from "./transport.js";

/** This process, to the server: the only one that can say of a call of its own that it was never begun. */
const HOST_ID = `typescript-${randomUUID()}`;

const CLOSE_MS = 5_000;
const FIRST_ATTEMPTS = 4;
const RECONNECT_MS = 120_000;
/** Events that are kept for a reader who is slow; beyond that, the run's commands wait for it, too. */
const MAX_EVENTS_AHEAD = 10_000;

const WORDING: Wording<AttachRunRequest> = {
  heartbeat: () => create(AttachRunRequestSchema, { message: { case: "heartbeat", value: {} } }),
  report: (report) => create(AttachRunRequestSchema, { message: { case: "report", value: report } }),
};

type RunSession = Duplex<AttachRunRequest, AttachRunResponse>;

/** How to attach. */
export interface AttachSettings {
  /** Most calls at once; 0: events only. */
  readonly window: number;
  /** Deltas and progress, too. */
  readonly hasDeltas: boolean;
  /** The run goes on without us when we are lost; else it is cancelled after the server's grace. */
  readonly isDetached: boolean;
  /** Of a new run: the same id gives the same run. */
  readonly requestId: string;
  /** Of an existing run: the last event that is known. */
  readonly afterSequence: number | undefined;
}

/** One run, followed across any number of streams. */
export class Attachment {
  readonly #transport: Transport;
  readonly #engine: ToolEngine;
  readonly #settings: AttachSettings;
  readonly #spec: RunSpec | undefined;
  readonly #stopped = new AbortController();
  #after: bigint | undefined;
  #isFinished = false;
  #runId: string;

  constructor(transport: Transport, engine: ToolEngine, target: RunSpec | string, settings: AttachSettings) {
    this.#transport = transport;
    this.#engine = engine;
    this.#settings = settings;
    this.#spec = typeof target === "string" ? undefined : target;
    this.#runId = typeof target === "string" ? target : "";
    // A created run is followed from its beginning: what is missed is wanted.
    this.#after = this.#spec ? 0n : toSequence(settings.afterSequence);
  }

  /** The run; empty until the server has answered. */
  get runId(): string {
    return this.#runId;
  }

  /**
   * Draws the run's events until its last one. Tools are served meanwhile, however long the reader takes.
   *
   * @throws RunwireError The run could not be created or found, another attachment took over, or the server
   * stayed away for too long. The run itself may go on.
   */
  events(): AsyncGenerator<WireEvent, void, undefined> {
    return eager(this.#draw(), MAX_EVENTS_AHEAD, () => this.stop());
  }

  /** Leaves the run's stream; {@link events} ends. */
  stop(): void {
    this.#stopped.abort();
  }

  async *#draw(): AsyncGenerator<WireEvent, void, undefined> {
    const backoff = new Backoff();
    const { signal } = this.#stopped;
    let lostAt: number | undefined;
    for (let attempts = 1; ; attempts++) {
      let error: unknown = new UnavailableError("the stream ended before the run did");
      const session = this.#open();
      const cancel = (): void => session.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      let hasStarted = false;
      try {
        for await (const response of session.read()) {
          hasStarted = true;
          yield* this.#take(session, response);
          if (this.#isFinished) session.finish(CLOSE_MS);
        }
      } catch (caught) {
        error = caught;
      } finally {
        signal.removeEventListener("abort", cancel);
        this.#engine.disconnect(session);
      }
      if (this.#isFinished || signal.aborted) return; // How the stream ends changes nothing.
      if (hasStarted) {
        backoff.reset();
        lostAt = performance.now();
      }
      if (!mayRetry(error, attempts, lostAt)) throw error;
      if (!(await backoff.wait(error.retryDelayMs, signal))) return;
    }
  }

  #open(): RunSession {
    const session: RunSession = new Duplex(this.#transport.duplex(RunService.method.attachRun), WORDING);
    const { window, hasDeltas, isDetached, requestId } = this.#settings;
    const isNew = this.#spec !== undefined && !this.#runId;
    const start = create(AttachRunRequestSchema, {
      message: {
        case: "start",
        value: {
          target: isNew ? { case: "create", value: this.#spec } : { case: "runId", value: this.#runId },
          requestId: isNew ? requestId : "",
          maxConcurrentCalls: window,
          inFlight: this.#engine.prepare(session),
          onDisconnect: isDetached ? DisconnectPolicy.DETACH : DisconnectPolicy.CANCEL,
          hostId: HOST_ID,
          detail: hasDeltas ? EventDetail.FULL : EventDetail.DURABLE,
          ...(!isNew && this.#after !== undefined && { afterSequence: this.#after }),
        },
      },
    });
    session.push(start);
    return session;
  }

  *#take(session: RunSession, { message }: AttachRunResponse): Generator<WireEvent> {
    switch (message.case) {
      case "started":
        this.#runId = message.value.run?.id ?? this.#runId;
        session.agree(message.value.session);
        this.#engine.connect(session);
        return;
      case "command":
        this.#engine.command(session, message.value);
        return;
      case "events":
        for (const event of message.value.events) {
          this.#apply(event);
          yield event;
        }
        return;
      case undefined:
        return;
    }
  }

  #apply({ sequence, event }: WireEvent): void {
    if (this.#after === undefined || sequence > this.#after) this.#after = sequence;
    const runs =
      event.case === "runUpdated" ? [event.value] : event.case === "snapshot" ? event.value.runs : [];
    const run = runs.find(({ id }) => id === this.#runId);
    if (run) this.#isFinished = isTerminal(run.state);
  }
}

function mayRetry(error: unknown, attempts: number, lostAt: number | undefined): error is RunwireError {
  if (!isWorthRetrying(error)) return false;
  if (lostAt !== undefined) return performance.now() - lostAt < RECONNECT_MS;
  const isBusy = error.code === "RESOURCE_EXHAUSTED" && error.retryDelayMs === undefined;
  return attempts < FIRST_ATTEMPTS && !isBusy;
}

function toSequence(sequence: number | undefined): bigint | undefined {
  return sequence === undefined ? undefined : BigInt(sequence);
}
