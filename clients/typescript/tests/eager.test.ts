import assert from "node:assert/strict";
import { test } from "node:test";

import { eager } from "../src/eager.js";

async function* numbers(drawn: number[], most = Infinity): AsyncGenerator<number, void, undefined> {
  for (let number = 1; number <= most; number++) {
    drawn.push(number);
    yield await Promise.resolve(number);
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test("the source is drawn ahead of the reader, up to the limit", async () => {
  const drawn: number[] = [];
  const reader = eager(numbers(drawn), 3, () => undefined);
  assert.deepEqual((await reader.next()).value, 1);
  await settle();
  assert.deepEqual(drawn, [1, 2, 3, 4]);
  assert.deepEqual((await reader.next()).value, 2);
  await settle();
  assert.deepEqual(drawn, [1, 2, 3, 4, 5]);
  await reader.return();
});

test("everything arrives in order, and then the end", async () => {
  const seen: number[] = [];
  for await (const number of eager(numbers([], 100), 7, () => undefined)) seen.push(number);
  assert.deepEqual(
    seen,
    Array.from({ length: 100 }, (_, index) => index + 1),
  );
});

test("an error arrives after what came before it", async () => {
  async function* broken(): AsyncGenerator<number, void, undefined> {
    yield* numbers([], 2);
    throw new RangeError("broken");
  }
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const number of eager(broken(), 10, () => undefined)) seen.push(number);
  }, RangeError);
  assert.deepEqual(seen, [1, 2]);
});

test("leaving early stops the source, once", async () => {
  let stops = 0;
  const drawn: number[] = [];
  for await (const _ of eager(numbers(drawn), 2, () => stops++)) break;
  await settle();
  const { length } = drawn;
  await settle();
  assert.deepEqual([stops, drawn.length], [1, length]);
});
