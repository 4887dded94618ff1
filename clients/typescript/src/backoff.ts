/** Waits between attempts. */

import { setTimeout as sleep } from "node:timers/promises";

/** Doubling waits with jitter, so that clients do not return in step. */
export class Backoff {
  readonly #firstMs: number;
  readonly #mostMs: number;
  #nextMs: number;

  constructor(firstMs = 100, mostMs = 5_000) {
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
    this.#nextMs = firstMs;
  }

  /** Begins again with the shortest wait. */
  reset(): void {
    this.#nextMs = this.#firstMs;
  }

  /** Waits for the next attempt, as long as the server asks at the least; `false` when the signal has ended it. */
  async wait(atLeastMs = 0, signal?: AbortSignal): Promise<boolean> {
    const least = this.#firstMs / 2;
    const delay = least + Math.random() * (this.#nextMs - least);
    this.#nextMs = Math.min(this.#nextMs * 2, this.#mostMs);
    const waiting = sleep(Math.max(delay, atLeastMs), true, signal && { signal });
    return await waiting.catch(() => false);
  }
}
