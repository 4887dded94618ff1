/** Tool hosts: this process serves tools to any run. */

import { randomUUID } from "node:crypto";

import { create } from "@bufbuild/protobuf";

import { Backoff } from "./backoff.js";
import type { Client } from "./client.js";
import { Duplex, type Wording } from "./duplex.js";
import { ToolEngine } from "./engine.js";
import {
  CancelledError,
  DeadlineExceededError,
  fromData,
  isWorthRetrying,
  UnavailableError,
  type RunwireError,
} from "./errors.js";
import {
  HostToolsRequestSchema,
  ToolService,
  type HostToolsRequest,
  type HostToolsResponse,
} from "./gen/runwire/v1/tool_service_pb.js";
import type { Logger } from "./logger.js";
import { requireDistinct, type HostedTool, type Tool } from "./tool.js";
import type { Transport } from "./transport.js";

/** How to serve tools. */
export interface ToolHostOptions {
  /** Unique to this process, and the same for its life. Made up by default. */
  readonly hostId?: string;
  /** Most calls at once; 16 by default. */
  readonly window?: number;
  /** For logs and routing. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** How to leave. */
export interface DrainOptions {
  /** How long calls may take to end; 30 seconds by default. What still runs then is lost to the server. */
  readonly graceMs?: number;
}

/** How to serve as a process. */
export interface ServeOptions extends DrainOptions {
  /** Ends the service: it drains and returns. */
  readonly signal?: AbortSignal;
  /** Which signals of the system end it, too; SIGTERM and SIGINT by default. */
  readonly signals?: readonly NodeJS.Signals[];
}

type HostSession = Duplex<HostToolsRequest, HostToolsResponse>;

const REGISTER_MS = 15_000;
const CLOSE_MS = 5_000;
/** A connection that has lived so long begins again with the shortest wait. */
const STABLE_MS = 5_000;
const GRACE_MS = 30_000;
const WINDOW = 16;

const WORDING: Wording<HostToolsRequest> = {
  heartbeat: () => create(HostToolsRequestSchema, { message: { case: "heartbeat", value: {} } }),
  report: (report) => create(HostToolsRequestSchema, { message: { case: "report", value: report } }),
};

/**
 * Serves tools to any run of the tenant, until it is closed.
 *
 * It registers, comes back when the connection is lost, keeps every result until the server has stored it, and
 * drains on {@link close}. {@link serve} makes a whole process of it.
 */
export class ToolHost {
  /** Unique to this process; the same across reconnections. */
  readonly hostId: string;
  readonly #transport: Transport;
  readonly #logger: Logger | undefined;
  readonly #tools: readonly Tool[];
  readonly #window: number;
  readonly #labels: Readonly<Record<string, string>>;
  readonly #engine: ToolEngine;
  readonly #closing = new AbortController();
  /** The sessions that are read: the current one, and older ones that end. */
  readonly #reading = new Map<HostSession, Promise<unknown>>();
  #rejected: ReadonlyMap<string, RunwireError> = new Map();
  /** The current session, and the one that was opened last: it takes the current one's place once it is live. */
  #session: HostSession | undefined;
  #newest: HostSession | undefined;
  #supervisor: Promise<void> | undefined;
  #isDraining = false;
  #renew: () => void = () => undefined;

  /** @throws TypeError Two tools have one name. */
  constructor(client: Client, tools: readonly Tool[], options: ToolHostOptions = {}) {
    requireDistinct(tools);
    this.hostId = options.hostId ?? `typescript-${randomUUID()}`;
    this.#transport = client.transport;
    this.#logger = client.logger;
    this.#tools = tools;
    this.#window = options.window ?? WINDOW;
    this.#labels = options.labels ?? {};
    this.#engine = new ToolEngine(tools, client.logger);
  }

  /** Tools that the server did not take, by name, and why. */
  get rejected(): ReadonlyMap<string, RunwireError> {
    return this.#rejected;
  }

  /** The tools for an agent, bound to this host and no other of the same names. */
  bindings(): HostedTool[] {
    return this.#tools.map(({ name, version, policy }) => {
      const { timeoutMs, acceptTimeoutMs, progressTimeoutMs } = policy;
      return {
        hosted: name,
        version,
        hostId: this.hostId,
        ...(timeoutMs !== undefined && { timeoutMs }),
        ...(acceptTimeoutMs !== undefined && { acceptTimeoutMs }),
        ...(progressTimeoutMs !== undefined && { progressTimeoutMs }),
      };
    });
  }

  /**
   * Registers, and returns once the tools are live. A server that cannot be reached is waited for.
   *
   * @throws RunwireError The server refuses the host, or all of its tools.
   */
  async start(): Promise<this> {
    if (this.#supervisor) throw new Error("the tool host has been started before");
    await new Promise<void>((resolve, reject) => {
      this.#supervisor = this.#supervise(resolve);
      const closed = (): void =>
        reject(new CancelledError("the tool host was closed before its tools were live"));
      this.#supervisor.then(closed, reject);
    });
    return this;
  }

  /**
   * Serves until the process is told to end, or the signal aborts; then drains.
   *
   * @throws RunwireError The server refuses the host for good.
   */
  async serve(options: ServeOptions = {}): Promise<void> {
    const { signal, signals = ["SIGTERM", "SIGINT"], graceMs } = options;
    let stop = (): void => undefined;
    const stopped = new Promise<void>((resolve) => (stop = resolve));
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    for (const name of signals) process.on(name, stop);
    try {
      const started = this.#supervisor ? Promise.resolve(this) : this.start();
      await Promise.race([stopped, started]);
      await Promise.race([stopped, this.#supervisor]);
    } finally {
      signal?.removeEventListener("abort", stop);
      for (const name of signals) process.off(name, stop);
      await this.close(graceMs === undefined ? {} : { graceMs });
    }
  }

  /** Takes no more calls, finishes those that run, waits for their receipts, and leaves. Harmless twice. */
  async close({ graceMs = GRACE_MS }: DrainOptions = {}): Promise<void> {
    if (!this.#supervisor) return;
    if (!this.#isDraining) {
      this.#isDraining = true;
      this.#engine.refuse();
      const update = { case: "update", value: { maxConcurrentCalls: 0 } } as const;
      this.#session?.push(create(HostToolsRequestSchema, { message: update }));
    }
    const isIdle = await within(graceMs, Promise.race([this.#engine.idle(), settled(this.#supervisor)]));
    if (!isIdle) this.#logger?.warn(`tool host ${this.hostId}: calls still ran after ${graceMs} ms`);
    this.#closing.abort();
    this.#renew();
    this.#engine.abort();
    if (isIdle) this.#session?.finish();
    else for (const session of this.#reading.keys()) session.cancel();
    const ended = Promise.all([settled(this.#supervisor), ...this.#reading.values()]);
    if (!(await within(CLOSE_MS, ended))) for (const session of this.#reading.keys()) session.cancel();
    await ended;
  }

  /** As {@link close}, at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // === Connections ===

  async #supervise(live: () => void): Promise<void> {
    const backoff = new Backoff();
    const { signal } = this.#closing;
    for (;;) {
      const renewal = new Promise<void>((resolve) => (this.#renew = resolve));
      try {
        signal.throwIfAborted();
        const { ended } = await this.#connect();
        live();
        const since = performance.now();
        await Promise.race([renewal, ended]);
        if (performance.now() - since > STABLE_MS) backoff.reset();
        else await backoff.wait(0, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isWorthRetrying(error)) throw error;
        this.#logger?.info(`tool host ${this.hostId}: not connected: ${error.message}`);
        await backoff.wait(error.retryDelayMs, signal);
      }
    }
  }

  /**
   * Opens a stream and registers; an older one is left once this one is live. `ended` ends with the stream,
   * and rejects when it must not be opened again.
   */
  async #connect(): Promise<{ readonly ended: Promise<void> }> {
    const session = this.#open();
    const responses = session.read();
    const timer = setTimeout(() => session.cancel(), REGISTER_MS);
    const cancel = (): void => session.cancel();
    this.#closing.signal.addEventListener("abort", cancel, { once: true });
    let first: IteratorResult<HostToolsResponse, void>;
    try {
      first = await responses.next();
    } catch (error) {
      if ((error as Partial<RunwireError>).code !== "CANCELLED") throw error;
      throw new DeadlineExceededError("the server did not answer the registration");
    } finally {
      clearTimeout(timer);
      this.#closing.signal.removeEventListener("abort", cancel);
    }
    if (first.done) throw new UnavailableError("the server ended the stream at once");
    this.#take(session, first.value);
    const older = this.#session;
    this.#session = session;
    this.#engine.connect(session);
    older?.finish();
    const ended = this.#read(session, responses);
    const forget = (): unknown => this.#reading.delete(session);
    this.#reading.set(session, ended.then(forget, forget));
    return { ended };
  }

  #open(): HostSession {
    const session: HostSession = new Duplex(this.#transport.duplex(ToolService.method.hostTools), WORDING);
    this.#newest = session;
    const registration = {
      hostId: this.hostId,
      tools: this.#tools.map((tool) => tool.definition),
      maxConcurrentCalls: this.#isDraining ? 0 : this.#window,
      labels: { ...this.#labels },
      inFlight: this.#engine.prepare(session),
    };
    session.push(create(HostToolsRequestSchema, { message: { case: "registration", value: registration } }));
    return session;
  }

  /** Takes the answer to a registration. */
  #take(session: HostSession, { message }: HostToolsResponse): void {
    if (message.case !== "registered") return;
    const { rejectedTools, session: terms } = message.value;
    const rejected = Object.entries(rejectedTools).map(([name, error]) => [name, fromData(error)] as const);
    this.#rejected = new Map(rejected);
    for (const [name, error] of rejected) {
      this.#logger?.warn(`tool host ${this.hostId}: tool ${name} was not taken: ${error.message}`);
    }
    const [some] = rejected;
    if (some && rejected.length === this.#tools.length) {
      session.cancel();
      throw some[1];
    }
    session.agree(terms);
  }

  async #read(
    session: HostSession,
    responses: AsyncGenerator<HostToolsResponse, void, undefined>,
  ): Promise<void> {
    try {
      for await (const { message } of responses) {
        if (message.case !== "command") continue;
        if (message.value.command.case === "goAway" && session === this.#session) this.#renew();
        this.#engine.command(session, message.value);
      }
    } catch (error) {
      // How a stream ends does not matter once a newer one is under way: the server may have ended it for that.
      if (session === this.#newest && !isWorthRetrying(error)) throw error;
      this.#logger?.info(`tool host ${this.hostId}: stream ended: ${String(error)}`);
    } finally {
      this.#engine.disconnect(session);
      if (session === this.#session) this.#session = undefined;
    }
  }
}

/** Waits for the end of something, however it ends. */
async function settled(work: Promise<unknown>): Promise<void> {
  await work.catch(() => undefined);
}

/** Whether something has ended in time. */
async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  try {
    return await Promise.race([work.then(() => true as const), expired]);
  } finally {
    clearTimeout(timer);
  }
}
