import assert from "node:assert/strict";
import { test } from "node:test";

import { parseJson, stringifyJson } from "../src/index.js";

test("integers that a number holds are numbers, larger ones are exact", () => {
  assert.deepEqual(
    parseJson('{"a": 3, "b": 9007199254740991, "c": 9007199254740993, "d": -9223372036854775808}'),
    {
      a: 3,
      b: 9007199254740991,
      c: 9007199254740993n,
      d: -9223372036854775808n,
    },
  );
});

test("digits in texts, keys, fractions and exponents are no integers", () => {
  const text =
    '{"9007199254740993": "9007199254740993", "q\\"": "\\\\\\"9007199254740993", "f": 0.12345678901234567, "e": 1e20}';
  assert.deepEqual(parseJson(text), JSON.parse(text));
});

test("text that is no JSON is refused, with large integers in it too", () => {
  assert.throws(() => parseJson("{"), SyntaxError);
  assert.throws(() => parseJson("[9007199254740993"), SyntaxError);
  assert.throws(() => parseJson("09007199254740993"), SyntaxError);
});

test("keys keep their order on the way through", () => {
  const text = '{"zulu":9223372036854775807,"alpha":[-9223372036854775808,{"b":1,"a":2}],"mike":"\\"1\\""}';
  assert.equal(stringifyJson(parseJson(text)), text);
});

test("what has no JSON gives none", () => {
  assert.equal(stringifyJson(undefined), undefined);
  assert.equal(
    stringifyJson({ a: undefined, b: 1n, c: new Date(0) }),
    '{"b":1,"c":"1970-01-01T00:00:00.000Z"}',
  );
});
