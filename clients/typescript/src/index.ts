/**
 * The client of Runwire: one API over all large-language-model providers, agents whose loop runs on a server, and
 * tools that are functions of this process.
 *
 * @packageDocumentation
 */

export type { Agent, RunSettings } from "./agent.js";
export { Client, type ClientOptions, type Model, type Models } from "./client.js";
export {
  CompletionStream,
  ToolCall,
  type Completion,
  type CompletionOptions,
  type ToolDefinition,
} from "./completion.js";
export {
  callsOf,
  reasoningOf,
  resultsOf,
  textOf,
  type Input,
  type MediaPart,
  type Message,
  type Part,
  type PartState,
  type ReasoningPart,
  type Role,
  type TextPart,
  type ToolCallPart,
  type ToolResultPart,
} from "./conversation.js";
export {
  AbortedError,
  CancelledError,
  DeadlineExceededError,
  FailedPreconditionError,
  InternalError,
  InvalidArgumentError,
  NotFoundError,
  PermissionDeniedError,
  ResourceExhaustedError,
  RunwireError,
  UnauthenticatedError,
  UnavailableError,
  UnimplementedError,
  type Code,
  type ErrorDetails,
  type Violation,
} from "./errors.js";
export type {
  CallState,
  Delta,
  EventPosition,
  FinishReason,
  MessageCompleted,
  MessageDiscarded,
  ReasoningDelta,
  Run,
  RunEvent,
  RunState,
  RunUpdated,
  Snapshot,
  TextDelta,
  ToolCallDelta,
  ToolCallUpdated,
  ToolProgress,
  Usage,
} from "./events.js";
export { parseJson, stringifyJson, type JsonObject, type JsonValue } from "./json.js";
export type { Logger } from "./logger.js";
export type { GenerationOptions, ReasoningEffort, RunLimits, ToolChoice } from "./options.js";
export {
  RunFailedError,
  RunStream,
  type AttachOptions,
  type ResumeOptions,
  type RunOptions,
  type RunResult,
  type RunStatus,
} from "./runner.js";
export {
  Runs,
  type Detail,
  type RunFilter,
  type WatchAllOptions,
  type WatchedEvent,
  type WatchOptions,
} from "./runs.js";
export type {
  Infer,
  JsonArguments,
  JsonSchema,
  Schema,
  SchemaIssue,
  SchemaResult,
  StandardSchema,
} from "./schema.js";
export {
  tool,
  Tool,
  ToolError,
  type CallPolicy,
  type HostedTool,
  type ToolContext,
  type ToolOptions,
} from "./tool.js";
export { ToolHost, type DrainOptions, type ServeOptions, type ToolHostOptions } from "./toolhost.js";
export type { CallOptions, ConnectOptions, Tls } from "./transport.js";
