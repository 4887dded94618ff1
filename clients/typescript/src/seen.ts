/** What a watch of many runs has shown. */

import { isTerminal } from "./events.js";
import type { RunEvent } from "./gen/runwire/v1/run_pb.js";

/** Runs that have ended and are remembered. */
const MAX_FINISHED = 4_096;

/** Sorts out what a watch that goes on from an early cursor comes upon twice. */
export class Seen {
  readonly #newest = new Map<string, bigint>();
  readonly #finished = new Set<string>();

  /** Whether the event is to be shown; it then counts as shown. */
  isNew(runId: string, { sequence, event }: RunEvent): boolean {
    if (event.case === "heartbeat") return true;
    if (event.case !== "snapshot" && sequence <= (this.#newest.get(runId) ?? 0n)) return false;
    this.#newest.set(runId, sequence);
    const run = event.case === "snapshot" ? event.value.runs[0] : event.value;
    if (run?.$typeName === "runwire.v1.Run" && isTerminal(run.state)) this.#remember(runId);
    return true;
  }

  #remember(runId: string): void {
    this.#finished.add(runId);
    const [oldest] = this.#finished;
    if (oldest === undefined || this.#finished.size <= MAX_FINISHED) return;
    this.#finished.delete(oldest);
    this.#newest.delete(oldest);
  }
}
