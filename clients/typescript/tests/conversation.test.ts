import assert from "node:assert/strict";
import { test } from "node:test";

import { fromBinary, toBinary } from "@bufbuild/protobuf";

import { callsOf, reasoningOf, textOf, type Message } from "../src/index.js";
import { fromWireMessage, toWireMessages } from "../src/conversation.js";
import { MessageSchema, PartSchema } from "../src/v1.js";

function throughTheWire(messages: readonly Message[]): Message[] {
  return toWireMessages(messages).map((message) =>
    fromWireMessage(fromBinary(MessageSchema, toBinary(MessageSchema, message))),
  );
}

const CONVERSATION: readonly Message[] = [
  { role: "system", content: [{ type: "text", text: "Be brief.", cacheBreakpoint: true }] },
  {
    role: "user",
    name: "ann",
    content: [
      { type: "text", text: "What is this?" },
      { type: "media", mediaType: "image/png", data: "AQID" },
      { type: "media", mediaType: "application/pdf", uri: "https://example.org/a.pdf", filename: "a.pdf" },
    ],
  },
  {
    role: "assistant",
    id: "msg_1",
    content: [
      { type: "reasoning", text: "Hm.", providerState: "c2lnbmVk" },
      { type: "text", text: "Let me look." },
      { type: "tool_call", id: "call_1", name: "look", argumentsJson: '{"id":9007199254740993}' },
      { type: "text", text: " And see." },
    ],
  },
  {
    role: "tool",
    content: [
      { type: "tool_result", callId: "call_1", content: [{ type: "text", text: "nothing" }], isError: true },
      { type: "tool_result", callId: "call_2", content: [], structuredJson: "{}" },
    ],
  },
];

test("a conversation comes back from the wire as it went, state and order included", () => {
  assert.deepEqual(throughTheWire(CONVERSATION), CONVERSATION);
});

test("a conversation survives JSON", () => {
  assert.deepEqual(throughTheWire(JSON.parse(JSON.stringify(CONVERSATION)) as Message[]), CONVERSATION);
});

test("a text is one message of the user, and bytes are base64 on their way back", () => {
  assert.deepEqual(throughTheWire([{ role: "user", content: "hi" }]), [
    { role: "user", content: [{ type: "text", text: "hi" }] },
  ]);
  const data = new Uint8Array([1, 2, 3]);
  const [message] = throughTheWire([{ role: "user", content: [{ type: "media", mediaType: "a/b", data }] }]);
  assert.deepEqual(message?.content, [{ type: "media", mediaType: "a/b", data: "AQID" }]);
});

test("text, reasoning and calls are found among the parts", () => {
  const [, , answer] = CONVERSATION;
  assert.ok(answer);
  assert.equal(textOf(answer), "Let me look. And see.");
  assert.equal(reasoningOf(answer), "Hm.");
  assert.deepEqual(
    callsOf(answer).map(({ name }) => name),
    ["look"],
  );
});

test("a part of a kind that nobody knows is left out", () => {
  const [message] = toWireMessages("hi");
  assert.ok(message);
  // Field 99, a text: no version of the contract has it.
  message.parts.push(fromBinary(PartSchema, new Uint8Array([0x9a, 0x06, 0x03, 0x6e, 0x65, 0x77])));
  assert.deepEqual(fromWireMessage(message).content, [{ type: "text", text: "hi" }]);
});

test("what is wrong with a message is said with its place", () => {
  const wrong = [
    { role: "user", content: [{ type: "text", text: "" }, { type: "smell" }] },
  ] as unknown as Message[];
  assert.throws(() => toWireMessages(wrong), /messages\[0\]\.content\[1\]: unknown type 'smell'/);
  const role = [{ role: "judge", content: "" }] as unknown as Message[];
  assert.throws(() => toWireMessages(role), /messages\[0\]: unknown role 'judge'/);
});
