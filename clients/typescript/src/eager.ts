/** Draws from a source ahead of its reader. */

/**
 * Draws from `source` without waiting for the reader, up to `limit` items ahead; beyond that the source waits.
 * Leaving early calls `stop`, which must make the source end.
 */
export async function* eager<T>(
  source: AsyncIterable<T>,
  limit: number,
  stop: () => void,
): AsyncGenerator<T, void, undefined> {
  const items: T[] = [];
  const filled = new Bell();
  const drained = new Bell();
  let end: { readonly error?: unknown } | undefined;

  const pump = async (): Promise<void> => {
    try {
      for await (const item of source) {
        items.push(item);
        filled.ring();
        if (items.length >= limit) await drained.wait();
        if (end) break; // The reader has left.
      }
      end ??= {};
    } catch (error) {
      end ??= { error };
    }
    filled.ring();
  };
  void pump();

  try {
    for (;;) {
      const item = items.shift();
      if (item !== undefined) {
        drained.ring();
        yield item;
      } else if (!end) {
        await filled.wait();
      } else if ("error" in end) {
        throw end.error;
      } else {
        return;
      }
    }
  } finally {
    if (!end) {
      end = {};
      stop();
      drained.ring();
    }
  }
}

/** Wakes the one who waits. */
class Bell {
  #wake: (() => void) | undefined;

  wait(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  ring(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
