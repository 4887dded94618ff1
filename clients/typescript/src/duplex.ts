/**
 * A two-way stream: reads and writes that do not wait for each other, with heartbeats both ways.
 */

import type { ClientDuplexStream } from "@grpc/grpc-js";

import { toMs, UnavailableError } from "./errors.js";
import type { ToolCallReport, HostSession } from "./gen/runwire/v1/tool_service_pb.js";
import { typed } from "./transport.js";

const HEARTBEAT_MS = 15_000;
const MISSED_HEARTBEATS = 3;
const MAX_QUEUED_PROGRESS = 256;

/** How a stream says what every stream of this kind says. */
export interface Wording<Q> {
  /** "I live." */
  heartbeat(): Q;
  /** A report on a tool call. */
  report(report: ToolCallReport): Q;
}

/** One stream. */
export class Duplex<Q, R> {
  readonly #call: ClientDuplexStream<Q, R>;
  readonly #wording: Wording<Q>;
  readonly #queue: Q[] = [];
  #intervalMs = HEARTBEAT_MS;
  #timer: NodeJS.Timeout;
  #writable = true;
  #finishing = false;
  #silent = false;
  #wroteAt = performance.now();
  /** Since when the server has kept us waiting; undefined while it is our turn. */
  #waitingSince: number | undefined;

  constructor(call: ClientDuplexStream<Q, R>, wording: Wording<Q>) {
    this.#call = call;
    this.#wording = wording;
    this.#timer = setInterval(() => this.#tick(), this.#intervalMs / 2);
    call.on("drain", () => {
      this.#writable = true;
      this.#flush();
    });
  }

  /** Queues a report. Progress is dropped when the server does not keep up: it is for display. */
  send(report: ToolCallReport): void {
    if (report.report.case === "progress" && this.#queue.length >= MAX_QUEUED_PROGRESS) return;
    this.push(this.#wording.report(report));
  }

  /** Queues a message. Never waits; on a finished stream it does nothing. */
  push(message: Q): void {
    if (this.#finishing) return;
    this.#queue.push(message);
    this.#flush();
  }

  /** Takes the server's terms. */
  agree(session: HostSession | undefined): void {
    const intervalMs = session?.heartbeatInterval && toMs(session.heartbeatInterval);
    if (!intervalMs || this.#finishing) return;
    this.#intervalMs = intervalMs;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#tick(), intervalMs / 2);
  }

  /**
   * Draws the server's messages until it ends the stream. Leaving early cancels it.
   *
   * @throws RunwireError The stream broke, or the server was silent for three heartbeats.
   */
  async *read(): AsyncGenerator<R, void, undefined> {
    this.#waitingSince = performance.now();
    try {
      for await (const message of this.#call) {
        this.#waitingSince = undefined; // However long our caller takes: that is not the server's silence.
        yield message as R;
        this.#waitingSince = performance.now();
      }
    } catch (error) {
      if (this.#silent) throw new UnavailableError("the server has been silent for too long");
      throw typed(error);
    } finally {
      this.cancel();
    }
  }

  /** Half-closes once everything queued is written; ends the stream if the server has not in time. */
  finish(withinMs?: number): void {
    if (this.#finishing) return;
    this.#finishing = true;
    this.#flush();
    clearInterval(this.#timer);
    if (withinMs !== undefined) this.#timer = setTimeout(() => this.cancel(), withinMs);
  }

  /** Ends the stream now. */
  cancel(): void {
    this.#finishing = true;
    this.#queue.length = 0;
    clearInterval(this.#timer);
    this.#call.cancel();
  }

  #flush(): void {
    while (this.#writable) {
      const message = this.#queue.shift();
      if (message === undefined) break;
      this.#writable = this.#call.write(message);
      this.#wroteAt = performance.now();
    }
    if (this.#finishing && this.#queue.length === 0 && !this.#call.writableEnded) this.#call.end();
  }

  #tick(): void {
    const now = performance.now();
    if (this.#waitingSince !== undefined && now - this.#waitingSince > this.#intervalMs * MISSED_HEARTBEATS) {
      this.#silent = true;
      this.cancel();
    } else if (now - this.#wroteAt >= this.#intervalMs / 2) {
      this.push(this.#wording.heartbeat());
    }
  }
}
