/** What a run shows while it works: plain values made from the events of its log. */

import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";

import {
  fromWireMessage,
  fromWirePart,
  reasoningOf,
  textOf,
  type Message,
  type Part,
} from "./conversation.js";
import { fromData, type RunwireError } from "./errors.js";
import {
  FinishReason as WireFinish,
  type MessageDelta,
  type Usage as WireUsage,
} from "./gen/runwire/v1/message_pb.js";
import {
  Run_State,
  ToolCallUpdate_State,
  type Run as WireRun,
  type RunEvent as WireEvent,
  type RunMessage,
  type ToolCallUpdate,
} from "./gen/runwire/v1/run_pb.js";

/** State of a run. */
export type RunState =
  "unknown" | "queued" | "running" | "input_required" | "cancelling" | "succeeded" | "failed" | "cancelled";

/** State of a tool call. */
export type CallState =
  "unknown" | "pending" | "running" | "input_required" | "succeeded" | "failed" | "cancelled";

/** Why generation stopped. */
export type FinishReason = "unknown" | "stop" | "length" | "tool_calls" | "content_filter" | "other";

/** Tokens. Totals include their parts: input the cached, output the reasoning. */
export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheWriteTokens: number;
  readonly reasoningTokens: number;
  /** Input and output. */
  readonly totalTokens: number;
}

/** A run as it stands. */
export interface Run {
  readonly id: string;
  readonly agentName: string;
  readonly state: RunState;
  /** Whether it has ended. */
  readonly isFinished: boolean;
  /** The model that answers now. */
  readonly model: string;
  /** The text of the final answer. */
  readonly output: string | undefined;
  /** Why it failed. */
  readonly error: RunwireError | undefined;
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  readonly usageByModel: Readonly<Record<string, Usage>>;
  readonly turnCount: number;
  /** The newest event of its log: watch from here to see only what is new. */
  readonly lastSequence: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Who created it. */
  readonly creator: string;
  readonly cancelReason: string;
  readonly createTime: Date | undefined;
  readonly startTime: Date | undefined;
  readonly endTime: Date | undefined;
}

/** What every event has. */
export interface EventPosition {
  /** Its place in the run's log: resume after the last one that you have dealt with. */
  readonly sequence: number;
  /** When it happened; absent when it is for display only. */
  readonly time: Date | undefined;
}

/** An answer grows. For display: the completed message is the truth. */
export interface TextDelta {
  readonly type: "text_delta";
  readonly messageId: string;
  readonly text: string;
}

/** The model thinks. For display. */
export interface ReasoningDelta {
  readonly type: "reasoning_delta";
  readonly messageId: string;
  readonly text: string;
}

/** A tool call is being written. `id` and `name` come with the first fragment. For display. */
export interface ToolCallDelta {
  readonly type: "tool_call_delta";
  readonly messageId: string;
  readonly partIndex: number;
  readonly id: string;
  readonly name: string;
  /** A piece of JSON text. */
  readonly argumentsJson: string;
}

/** An increment of a message. */
export type Delta = TextDelta | ReasoningDelta | ToolCallDelta;

/** A message is complete and part of the conversation. */
export interface MessageCompleted extends EventPosition {
  readonly type: "message_completed";
  readonly runId: string;
  readonly message: Message;
  readonly text: string;
  readonly reasoning: string;
  readonly finishReason: FinishReason;
  readonly providerFinishReason: string;
  readonly usage: Usage;
  readonly model: string;
  /** The provider's extra response fields, as JSON text. */
  readonly providerMetadataJson: string;
}

/** A message that had begun will not be completed: drop what was shown of it. */
export interface MessageDiscarded extends EventPosition {
  readonly type: "message_discarded";
  readonly messageId: string;
  readonly error: RunwireError | undefined;
}

/** How far a call is. */
export interface ToolProgress {
  readonly progress: number;
  readonly total: number | undefined;
  readonly message: string;
  readonly parts: readonly Part[];
}

/** A tool call changed. */
export interface ToolCallUpdated extends EventPosition {
  readonly type: "tool_call_updated";
  readonly callId: string;
  readonly name: string;
  readonly argumentsJson: string;
  readonly state: CallState;
  readonly attempt: number;
  readonly hostId: string;
  readonly progress: ToolProgress | undefined;
  /** The text that the model is told. */
  readonly result: string | undefined;
  readonly isError: boolean;
  readonly error: RunwireError | undefined;
}

/** The run changed; the last one has a state that is the end. */
export interface RunUpdated extends EventPosition {
  readonly type: "run_updated";
  readonly run: Run;
}

/** How things stand. Forget what you have and begin here. */
export interface Snapshot extends EventPosition {
  readonly type: "snapshot";
  readonly run: Run;
  readonly partialMessages: readonly MessageCompleted[];
  readonly toolCalls: readonly ToolCallUpdated[];
}

/** Something happened in a run. */
export type RunEvent =
  (Delta & EventPosition) | MessageCompleted | MessageDiscarded | ToolCallUpdated | RunUpdated | Snapshot;

/** The states by which runs can be selected. */
export const RUN_STATES: Readonly<Record<Exclude<RunState, "unknown">, Run_State>> = {
  queued: Run_State.QUEUED,
  running: Run_State.RUNNING,
  input_required: Run_State.INPUT_REQUIRED,
  cancelling: Run_State.CANCELLING,
  succeeded: Run_State.SUCCEEDED,
  failed: Run_State.FAILED,
  cancelled: Run_State.CANCELLED,
};
const RUN_STATE_NAMES = new Map(Object.entries(RUN_STATES).map(([name, state]) => [state, name as RunState]));
const CALL_STATE_NAMES = new Map<ToolCallUpdate_State, CallState>([
  [ToolCallUpdate_State.PENDING, "pending"],
  [ToolCallUpdate_State.RUNNING, "running"],
  [ToolCallUpdate_State.INPUT_REQUIRED, "input_required"],
  [ToolCallUpdate_State.SUCCEEDED, "succeeded"],
  [ToolCallUpdate_State.FAILED, "failed"],
  [ToolCallUpdate_State.CANCELLED, "cancelled"],
]);
const FINISH_NAMES = new Map<WireFinish, FinishReason>([
  [WireFinish.STOP, "stop"],
  [WireFinish.LENGTH, "length"],
  [WireFinish.TOOL_CALLS, "tool_calls"],
  [WireFinish.CONTENT_FILTER, "content_filter"],
  [WireFinish.OTHER, "other"],
]);

/** Names a finish reason. */
export function finishReasonOf(reason: WireFinish): FinishReason {
  return FINISH_NAMES.get(reason) ?? "unknown";
}

/** Converts token counts. */
export function toUsage(usage: WireUsage | undefined): Usage {
  const inputTokens = Number(usage?.inputTokens ?? 0);
  const outputTokens = Number(usage?.outputTokens ?? 0);
  return {
    inputTokens,
    outputTokens,
    cacheReadTokens: Number(usage?.cacheReadTokens ?? 0),
    cacheWriteTokens: Number(usage?.cacheWriteTokens ?? 0),
    reasoningTokens: Number(usage?.reasoningTokens ?? 0),
    totalTokens: inputTokens + outputTokens,
  };
}

/** Whether a state is the end. */
export function isTerminal(state: Run_State): boolean {
  return state === Run_State.SUCCEEDED || state === Run_State.FAILED || state === Run_State.CANCELLED;
}

/** Converts a run. */
export function toRun(run: WireRun): Run {
  const { id, agentName, model, turnCount, labels, creator, cancelReason } = run;
  const usages = Object.entries(run.usageByModel).map(([name, usage]) => [name, toUsage(usage)] as const);
  return {
    id,
    agentName,
    state: RUN_STATE_NAMES.get(run.state) ?? "unknown",
    isFinished: isTerminal(run.state),
    model,
    output: run.output && textOf(fromWireMessage(run.output)),
    error: run.error && fromData(run.error),
    finishReason: finishReasonOf(run.finishReason),
    usage: toUsage(run.usage),
    usageByModel: Object.fromEntries(usages),
    turnCount,
    lastSequence: Number(run.lastSequence),
    labels,
    creator,
    cancelReason,
    createTime: toDate(run.createTime),
    startTime: toDate(run.startTime),
    endTime: toDate(run.endTime),
  };
}

/** Converts an event of the log; unknown kinds and heartbeats give nothing. */
export function toEvents(wire: WireEvent): RunEvent[] {
  const at: EventPosition = { sequence: Number(wire.sequence), time: toDate(wire.eventTime) };
  const { event } = wire;
  switch (event.case) {
    case "messageDelta": {
      const { messageId, deltas } = event.value;
      return deltas.flatMap((delta) => toDelta(messageId, delta)).map((delta) => ({ ...delta, ...at }));
    }
    case "messageCompleted":
      return [toCompleted(at, event.value)];
    case "messageDiscarded": {
      const { messageId, error } = event.value;
      return [{ type: "message_discarded", ...at, messageId, error: error && fromData(error) }];
    }
    case "toolCallUpdated":
      return [toCall(at, event.value)];
    case "runUpdated":
      return [{ type: "run_updated", ...at, run: toRun(event.value) }];
    case "snapshot": {
      const [run] = event.value.runs;
      if (!run) return [];
      const partialMessages = event.value.partialMessages.map((message) => toCompleted(at, message));
      const toolCalls = event.value.toolCalls.map((call) => toCall(at, call));
      return [{ type: "snapshot", ...at, run: toRun(run), partialMessages, toolCalls }];
    }
    // What they have changed comes with the run and the call.
    case "inputAnswered":
    case "policyDecided":
    case "heartbeat":
    case undefined:
      return [];
  }
}

/** Converts an increment; an unknown kind gives nothing. */
export function toDelta(messageId: string, { partIndex, delta }: MessageDelta): Delta[] {
  switch (delta.case) {
    case "text":
      return [{ type: "text_delta", messageId, text: delta.value }];
    case "reasoning":
      return [{ type: "reasoning_delta", messageId, text: delta.value }];
    case "toolCall": {
      const { id, name, argumentsJson } = delta.value;
      return [{ type: "tool_call_delta", messageId, partIndex, id, name, argumentsJson }];
    }
    case undefined:
      return [];
  }
}

function toCompleted(at: EventPosition, completed: RunMessage): MessageCompleted {
  const { runId, model, providerFinishReason, providerMetadataJson } = completed;
  const message: Message = completed.message
    ? fromWireMessage(completed.message)
    : { role: "user", content: [] };
  return {
    type: "message_completed",
    ...at,
    runId,
    message,
    text: textOf(message),
    reasoning: reasoningOf(message),
    finishReason: finishReasonOf(completed.finishReason),
    providerFinishReason,
    usage: toUsage(completed.usage),
    model,
    providerMetadataJson,
  };
}

function toCall(at: EventPosition, update: ToolCallUpdate): ToolCallUpdated {
  const { call, attempt, hostId, progress, result, error } = update;
  return {
    type: "tool_call_updated",
    ...at,
    callId: call?.id ?? "",
    name: call?.name ?? "",
    argumentsJson: call?.argumentsJson ?? "",
    state: CALL_STATE_NAMES.get(update.state) ?? "unknown",
    attempt,
    hostId,
    progress: progress && {
      progress: progress.progress,
      total: progress.total || undefined,
      message: progress.message,
      parts: progress.parts.flatMap(fromWirePart),
    },
    result: result && textOf({ content: result.parts.flatMap(fromWirePart) }),
    isError: result?.isError ?? false,
    error: error && fromData(error),
  };
}

function toDate(stamp: Timestamp | undefined): Date | undefined {
  return stamp && timestampDate(stamp);
}
