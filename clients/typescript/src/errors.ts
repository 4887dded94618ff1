/** What goes wrong, as typed errors. */

import { fromBinary } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import type { Any, Duration } from "@bufbuild/protobuf/wkt";
import type { Message } from "@bufbuild/protobuf";
import { status, type Metadata, type ServiceError } from "@grpc/grpc-js";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema, StatusSchema } from "./gen/status_pb.js";
import type { Error as ErrorData } from "./gen/runwire/v1/message_pb.js";

/** The codes of gRPC. */
export type Code =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/** A field of a request that is wrong. */
export interface Violation {
  /** Its path, such as `params.tools[3].input_schema_json`. */
  readonly field: string;
  /** What is wrong with it. */
  readonly description: string;
}

/** What an error carries besides its message. */
export interface ErrorDetails {
  /** Why, UPPER_SNAKE_CASE, stable. Empty when something between here and the server answered. */
  readonly reason?: string;
  /** What varies in the message, as data. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Milliseconds to wait before trying again. Absent: trying again does not help. */
  readonly retryDelayMs?: number | undefined;
  /** The wrong fields of the request. */
  readonly violations?: readonly Violation[];
  /** The error behind this one. */
  readonly cause?: unknown;
}

/** A call failed, or data says that something failed. Its subclasses are gRPC's codes. */
export class RunwireError extends Error {
  /** The gRPC code. */
  readonly code: Code;
  /** Why, UPPER_SNAKE_CASE, stable. Empty when something between here and the server answered. */
  readonly reason: string;
  /** What varies in the message, as data. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Milliseconds to wait before trying again. `undefined`: trying again does not help. */
  readonly retryDelayMs: number | undefined;
  /** The wrong fields of the request. */
  readonly violations: readonly Violation[];

  constructor(message: string, code: Code = "UNKNOWN", details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.reason = details.reason ?? "";
    this.metadata = details.metadata ?? {};
    this.retryDelayMs = details.retryDelayMs;
    this.violations = details.violations ?? [];
  }
}

/** It was cancelled. */
export class CancelledError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "CANCELLED", details);
  }
}

/** The request is wrong, whatever the state of the system. */
export class InvalidArgumentError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "INVALID_ARGUMENT", details);
  }
}

/** Time ran out. */
export class DeadlineExceededError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "DEADLINE_EXCEEDED", details);
  }
}

/** No such thing, or none that the caller may know of. */
export class NotFoundError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "NOT_FOUND", details);
  }
}

/** The caller is known and may not do this. */
export class PermissionDeniedError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "PERMISSION_DENIED", details);
  }
}

/** A quota or limit is used up. */
export class ResourceExhaustedError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "RESOURCE_EXHAUSTED", details);
  }
}

/** The system is not in a state for it; somebody must act first. */
export class FailedPreconditionError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "FAILED_PRECONDITION", details);
  }
}

/** A concurrent change won. */
export class AbortedError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "ABORTED", details);
  }
}

/** The server does not know this call. */
export class UnimplementedError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "UNIMPLEMENTED", details);
  }
}

/** A defect of the server. */
export class InternalError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "INTERNAL", details);
  }
}

/** It may work in a moment. */
export class UnavailableError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "UNAVAILABLE", details);
  }
}

/** The caller is not known. */
export class UnauthenticatedError extends RunwireError {
  constructor(message: string, details?: ErrorDetails) {
    super(message, "UNAUTHENTICATED", details);
  }
}

const CLASSES: Partial<Record<Code, new (message: string, details?: ErrorDetails) => RunwireError>> = {
  CANCELLED: CancelledError,
  INVALID_ARGUMENT: InvalidArgumentError,
  DEADLINE_EXCEEDED: DeadlineExceededError,
  NOT_FOUND: NotFoundError,
  PERMISSION_DENIED: PermissionDeniedError,
  RESOURCE_EXHAUSTED: ResourceExhaustedError,
  FAILED_PRECONDITION: FailedPreconditionError,
  ABORTED: AbortedError,
  UNIMPLEMENTED: UnimplementedError,
  INTERNAL: InternalError,
  UNAVAILABLE: UnavailableError,
  UNAUTHENTICATED: UnauthenticatedError,
};

/** Trying again changes nothing about these. */
const PERMANENT: ReadonlySet<Code> = new Set([
  "ABORTED",
  "FAILED_PRECONDITION",
  "INVALID_ARGUMENT",
  "NOT_FOUND",
  "PERMISSION_DENIED",
  "UNAUTHENTICATED",
  "UNIMPLEMENTED",
]);

/** Whether a stream that ended so may be opened again. */
export function isWorthRetrying(error: unknown): error is RunwireError {
  return error instanceof RunwireError && !PERMANENT.has(error.code);
}

/** Makes the error of a code. */
export function errorOf(code: number, message: string, details?: ErrorDetails): RunwireError {
  const name = nameOf(code);
  const type = CLASSES[name];
  return type ? new type(message, details) : new RunwireError(message, name, details);
}

function nameOf(code: number): Code {
  return ((status as Readonly<Record<number, string>>)[code] ?? "UNKNOWN") as Code;
}

/** Turns the status of a failed call into an error, details included. */
export function fromStatus(error: Pick<ServiceError, "code" | "details" | "metadata">): RunwireError {
  let details: ErrorDetails = {};
  for (const detail of statusDetails(error.metadata)) {
    const info = unpack(detail, "google.rpc.ErrorInfo", ErrorInfoSchema);
    if (info) details = { ...details, reason: info.reason, metadata: info.metadata };
    const retry = unpack(detail, "google.rpc.RetryInfo", RetryInfoSchema);
    if (retry?.retryDelay) details = { ...details, retryDelayMs: toMs(retry.retryDelay) };
    const bad = unpack(detail, "google.rpc.BadRequest", BadRequestSchema);
    if (bad) {
      const violations = bad.fieldViolations.map(({ field, description }) => ({ field, description }));
      details = { ...details, violations };
    }
  }
  return errorOf(error.code, error.details || nameOf(error.code), details);
}

/** Turns an error inside data (a failed run, a rejected tool) into an error. */
export function fromData(error: ErrorData): RunwireError {
  return errorOf(error.code, error.message, {
    reason: error.reason,
    metadata: error.metadata,
    retryDelayMs: error.retryDelay && toMs(error.retryDelay),
  });
}

/** Converts a duration to milliseconds. */
export function toMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

function statusDetails(trailers: Metadata | undefined): readonly Any[] {
  const [bytes] = trailers?.get("grpc-status-details-bin") ?? [];
  if (bytes === undefined || typeof bytes === "string") return [];
  try {
    return fromBinary(StatusSchema, bytes).details;
  } catch {
    return []; // A proxy's, or cut: the code and message stand on their own.
  }
}

function unpack<T extends Message>(detail: Any, name: string, schema: GenMessage<T>): T | undefined {
  if (!detail.typeUrl.endsWith(`/${name}`)) return undefined;
  try {
    return fromBinary<GenMessage<T>>(schema, detail.value);
  } catch {
    return undefined;
  }
}
