/** JSON without loss: integers of any size, keys in their order. */

import { randomUUID } from "node:crypto";

/** A JSON value. Integers that a number cannot hold exactly are `bigint`. */
export type JsonValue =
  null | boolean | number | bigint | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** A JSON object. */
export type JsonObject = Readonly<Record<string, JsonValue>>;

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const LONG_INTEGER = /^-?\d{16,}$/;

/**
 * Parses JSON text as `JSON.parse` does, but keeps integers beyond 2^53 exact: they become `bigint`.
 *
 * @throws SyntaxError The text is not JSON.
 */
export function parseJson(text: string): JsonValue {
  const value = JSON.parse(text) as JsonValue;
  if (!/\d{16}/.test(text)) return value;
  // The integers in question travel through the parser as strings that nobody else can have written.
  const marker = `${randomUUID()}:`;
  const marked = text.replace(TOKEN, (token) =>
    LONG_INTEGER.test(token) && !Number.isSafeInteger(Number(token)) ? `"${marker}${token}"` : token,
  );
  return JSON.parse(marked, (_, item: JsonValue) =>
    typeof item === "string" && item.startsWith(marker) ? BigInt(item.slice(marker.length)) : item,
  ) as JsonValue;
}

/**
 * Writes a value as JSON text, `bigint` as an integer; everything else as `JSON.stringify` does.
 *
 * @returns `undefined` for what has no JSON: a function, a symbol, `undefined` itself.
 * @throws TypeError The value contains itself.
 */
export function stringifyJson(value: unknown): string | undefined {
  let marker: string | undefined;
  const text = JSON.stringify(value, (_, item: unknown) =>
    typeof item === "bigint" ? `${(marker ??= `${randomUUID()}:`)}${item}` : item,
  ) as string | undefined;
  return marker === undefined ? text : text?.replace(new RegExp(`"${marker}(-?\\d+)"`, "g"), "$1");
}
