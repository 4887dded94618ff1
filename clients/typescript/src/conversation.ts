/** Conversations: messages and their parts as plain values that survive JSON, and the wire's form of them. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";

import {
  type MediaSchema,
  MessageSchema,
  PartSchema,
  Role as WireRole,
  type Message as WireMessage,
  type Part as WirePart,
} from "./gen/runwire/v1/message_pb.js";

/** Who wrote a message. */
export type Role = "system" | "user" | "assistant" | "tool";

/** What any part may carry besides its content. */
export interface PartState {
  /**
   * Opaque, base64: what the provider needs back in later turns (signed reasoning, item ids). Send the part back
   * as it is.
   */
  readonly providerState?: string;
  /** Asks the provider to cache the prompt up to and including this part. */
  readonly cacheBreakpoint?: boolean;
}

/** Plain text. */
export interface TextPart extends PartState {
  readonly type: "text";
  readonly text: string;
}

/** The model's reasoning; empty when the provider hides it. */
export interface ReasoningPart extends PartState {
  readonly type: "reasoning";
  readonly text: string;
}

/** An image, audio, video or document: bytes, or a URI that the provider can fetch. */
export interface MediaPart extends PartState {
  readonly type: "media";
  /** The IANA media type. */
  readonly mediaType: string;
  /** The bytes, or base64 of them; base64 when it comes from the server. */
  readonly data?: Uint8Array | string;
  /** Where the bytes are. */
  readonly uri?: string;
  /** The name of a document. */
  readonly filename?: string;
}

/** A call that the model makes. */
export interface ToolCallPart extends PartState {
  readonly type: "tool_call";
  /** The call. */
  readonly id: string;
  /** The tool. */
  readonly name: string;
  /** The arguments, as the model has written them; `parseJson` keeps their integers exact. */
  readonly argumentsJson: string;
}

/** What a call returned. */
export interface ToolResultPart extends PartState {
  readonly type: "tool_result";
  /** The call. */
  readonly callId: string;
  /** Text and media for the model. */
  readonly content: string | readonly (TextPart | MediaPart)[];
  /** Structured output as JSON text. */
  readonly structuredJson?: string;
  /** The tool ran and failed. */
  readonly isError?: boolean;
}

/** One piece of content. */
export type Part = TextPart | ReasoningPart | MediaPart | ToolCallPart | ToolResultPart;

/** One entry of a conversation. */
export interface Message {
  /** Who wrote it. */
  readonly role: Role;
  /** What it says, in order. */
  readonly content: string | readonly Part[];
  /** Given by the server. */
  readonly id?: string;
  /** The author's name, for conversations with several users. */
  readonly name?: string;
}

/** A conversation; a string is one message of the user. */
export type Input = string | readonly Message[];

const ROLES: Record<Role, WireRole> = {
  system: WireRole.SYSTEM,
  user: WireRole.USER,
  assistant: WireRole.ASSISTANT,
  tool: WireRole.TOOL,
};
const ROLE_NAMES = new Map(Object.entries(ROLES).map(([name, role]) => [role, name as Role]));

/** The messages of an input. */
export function toMessages(input: Input): readonly Message[] {
  return typeof input === "string" ? [{ role: "user", content: input }] : input;
}

/** The text of a message, its parts joined. */
export function textOf(message: Pick<Message, "content">): string {
  if (typeof message.content === "string") return message.content;
  return message.content.map((part) => (part.type === "text" ? part.text : "")).join("");
}

/** The reasoning of a message, its parts joined. */
export function reasoningOf(message: Pick<Message, "content">): string {
  if (typeof message.content === "string") return "";
  return message.content.map((part) => (part.type === "reasoning" ? part.text : "")).join("");
}

/** The tool calls of a message, in order. */
export function callsOf(message: Pick<Message, "content">): ToolCallPart[] {
  if (typeof message.content === "string") return [];
  return message.content.filter((part) => part.type === "tool_call");
}

/** The results in a message of tools, in order. */
export function resultsOf(message: Pick<Message, "content">): ToolResultPart[] {
  if (typeof message.content === "string") return [];
  return message.content.filter((part) => part.type === "tool_result");
}

// === To the wire ===

/**
 * Converts a conversation.
 *
 * @throws TypeError A message has no role, or a part no content, that is known; says which.
 */
export function toWireMessages(input: Input): WireMessage[] {
  return toMessages(input).map((message, index) => {
    const role = (ROLES as Partial<Record<string, WireRole>>)[message.role];
    if (role === undefined) throw new TypeError(`messages[${index}]: unknown role '${message.role}'`);
    const { id = "", name = "" } = message;
    return create(MessageSchema, {
      id,
      name,
      role,
      parts: toWireParts(message.content, `messages[${index}]`),
    });
  });
}

/** Converts content. */
export function toWireParts(content: string | readonly Part[], where = "content"): WirePart[] {
  if (typeof content === "string") {
    return [create(PartSchema, { content: { case: "text", value: content } })];
  }
  return content.map((part, index) =>
    create(PartSchema, {
      content: toWireContent(part, `${where}.content[${index}]`),
      cacheBreakpoint: part.cacheBreakpoint ?? false,
      ...(part.providerState !== undefined && { providerState: base64Decode(part.providerState) }),
    }),
  );
}

function toWireContent(
  part: Part,
  where: string,
): NonNullable<MessageInitShape<typeof PartSchema>["content"]> {
  switch (part.type) {
    case "text":
      return { case: "text", value: part.text };
    case "reasoning":
      return { case: "reasoning", value: { text: part.text } };
    case "media":
      return { case: "media", value: toWireMedia(part) };
    case "tool_call": {
      const { id, name, argumentsJson } = part;
      return { case: "toolCall", value: { id, name, argumentsJson } };
    }
    case "tool_result": {
      const { callId, structuredJson = "", isError = false } = part;
      const parts = toWireParts(part.content, where);
      return { case: "toolResult", value: { callId, structuredJson, isError, parts } };
    }
    default:
      throw new TypeError(`${where}: unknown type '${(part as Part).type}'`);
  }
}

function toWireMedia({
  mediaType,
  data,
  uri = "",
  filename = "",
}: MediaPart): MessageInitShape<typeof MediaSchema> {
  if (data === undefined) return { mediaType, filename, source: { case: "uri", value: uri } };
  const bytes = typeof data === "string" ? base64Decode(data) : new Uint8Array(data);
  return { mediaType, filename, source: { case: "data", value: bytes } };
}

// === From the wire ===

/** Converts a message. Parts of kinds that this version does not know are left out. */
export function fromWireMessage(message: WireMessage): Message {
  return {
    role: ROLE_NAMES.get(message.role) ?? "user",
    content: message.parts.flatMap(fromWirePart),
    ...(message.id && { id: message.id }),
    ...(message.name && { name: message.name }),
  };
}

/** Converts a part; an unknown kind gives nothing. */
export function fromWirePart(part: WirePart): Part[] {
  const state: PartState = {
    ...(part.providerState.length > 0 && { providerState: base64Encode(part.providerState) }),
    ...(part.cacheBreakpoint && { cacheBreakpoint: true }),
  };
  const { content } = part;
  switch (content.case) {
    case "text":
      return [{ type: "text", text: content.value, ...state }];
    case "reasoning":
      return [{ type: "reasoning", text: content.value.text, ...state }];
    case "media":
      return [fromWireMedia(content.value, state)];
    case "toolCall": {
      const { id, name, argumentsJson } = content.value;
      return [{ type: "tool_call", id, name, argumentsJson, ...state }];
    }
    case "toolResult": {
      const { callId, structuredJson, isError, parts } = content.value;
      return [
        {
          type: "tool_result",
          callId,
          content: parts
            .flatMap(fromWirePart)
            .filter((each) => each.type === "text" || each.type === "media"),
          ...(structuredJson && { structuredJson }),
          ...(isError && { isError }),
          ...state,
        },
      ];
    }
    case undefined:
      return [];
  }
}

function fromWireMedia(
  media: Extract<WirePart["content"], { case: "media" }>["value"],
  state: PartState,
): MediaPart {
  const { mediaType, filename, source } = media;
  return {
    type: "media",
    mediaType,
    ...(source.case === "data" && { data: base64Encode(source.value) }),
    ...(source.case === "uri" && { uri: source.value }),
    ...(filename && { filename }),
    ...state,
  };
}
