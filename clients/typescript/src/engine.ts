/**
 * The tool engine: calls in, reports out. One for hosted and attached tools.
 *
 * It knows nothing of gRPC. A session is one stream: the engine sends reports into the current session and is
 * told the commands that come out of it. Calls outlive sessions; a report is kept until its receipt.
 *
 * The rule that makes "at most once" true stands here and nowhere else: a tool that is neither read-only nor
 * idempotent starts only after the receipt of its acceptance.
 */

import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";

import { toMs } from "./errors.js";
import { ToolResultSchema, type Part } from "./gen/runwire/v1/message_pb.js";
import {
  ToolCallReceipt_Disposition as Disposition,
  ToolCallReportSchema,
  type HostCommand,
  type ToolCallAssignment,
  type ToolCallCancellation,
  type ToolCallReceipt,
  type ToolCallReport,
} from "./gen/runwire/v1/tool_service_pb.js";
import type { Logger } from "./logger.js";
import { ToolError, type Tool, type ToolContext } from "./tool.js";
import { withContext } from "./tracing.js";
import { toWireParts } from "./conversation.js";

/** One stream to the server. */
export interface Session {
  /** Queues a report. Never waits; on a broken stream it does nothing. */
  send(report: ToolCallReport): void;
}

/** A delivery of a call, as the server is told of it. */
export interface CallRef {
  readonly callId: string;
  readonly attempt: number;
}

type ReportContent = NonNullable<MessageInitShape<typeof ToolCallReportSchema>["report"]>;

/** accepting: the acceptance has no receipt, the tool has not begun. reported: the last report has no receipt. */
type Phase = "accepting" | "running" | "reported";

interface Call {
  readonly ref: CallRef;
  readonly tool: Tool;
  readonly assignment: ToolCallAssignment;
  readonly context: ToolContext;
  readonly abort: AbortController;
  phase: Phase;
  isAccepted: boolean;
  isCancelled: boolean;
  last: ToolCallReport | undefined;
  timer: NodeJS.Timeout | undefined;
  /** Sent on the current session and not receipted, in order; a receipt does not say of which it is. */
  unreceipted: ToolCallReport[];
}

/** A larger report would end the stream, and every other call's with it. The server's own limit is lower. */
const MAX_RESULT_BYTES = 3 * 1024 * 1024;
const MAX_ERROR_CHARS = 16 * 1024;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Runs the calls of one host, or of one attached run. */
export class ToolEngine {
  readonly #tools: ReadonlyMap<string, Tool>;
  readonly #logger: Logger | undefined;
  readonly #calls = new Map<string, Call>();
  #session: Session | undefined;
  #newest: Session | undefined;
  #isRefusing = false;
  #idlers: (() => void)[] = [];

  constructor(tools: readonly Tool[], logger?: Logger) {
    this.#tools = new Map(tools.map((tool) => [tool.name, tool]));
    this.#logger = logger;
  }

  // === The session's side ===

  /**
   * Announces a session and lists what runs here or lacks its last receipt, to register with. From now on, what
   * older sessions assign is rejected: the list would not have it.
   */
  prepare(session: Session): CallRef[] {
    this.#newest = session;
    return [...this.#calls.values()].map((call) => call.ref);
  }

  /** Makes a session the current one and sends again what has no receipt. */
  connect(session: Session): void {
    this.#session = session;
    for (const call of [...this.#calls.values()]) {
      call.unreceipted = [];
      if (call.last) this.#send(call, call.last);
      else if (!call.isAccepted) this.#accept(call);
    }
  }

  /** Stops sending into a session. Calls go on. */
  disconnect(session: Session): void {
    if (this.#session === session) this.#session = undefined;
  }

  /** Takes a command. Unknown ones are ignored; go-away and heartbeats are the session's matter. */
  command(session: Session, { command }: HostCommand): void {
    if (command.case === "assignment") this.#assign(session, command.value);
    else if (command.case === "cancellation") this.#cancel(command.value);
    // A receipt of an older session, overlapping with this one: the report went out again here.
    else if (command.case === "receipt" && session === this.#session) this.#receipt(command.value);
  }

  // === The host's side ===

  /** Takes no more calls; assignments that are on their way are rejected. */
  refuse(): void {
    this.#isRefusing = true;
  }

  /** Waits until no call runs and every report has its receipt. */
  async idle(): Promise<void> {
    if (this.#calls.size > 0) await new Promise<void>((resolve) => this.#idlers.push(resolve));
  }

  /** Cancels what runs, without reports: the server's grace decides about these calls. */
  abort(): void {
    for (const call of [...this.#calls.values()]) this.#drop(call);
  }

  // === Commands ===

  #assign(session: Session, assignment: ToolCallAssignment): void {
    const ref = { callId: assignment.call?.id ?? "", attempt: assignment.attempt };
    if (this.#calls.get(ref.callId)?.ref.attempt === ref.attempt) return; // It runs, and its reports go out.
    const tool = this.#tools.get(assignment.call?.name ?? "");
    if (tool?.version !== assignment.toolVersion) {
      session.send(rejection(ref, status.NOT_FOUND, "TOOL_UNKNOWN", "this host does not have the tool"));
      return;
    }
    if (this.#isRefusing || session !== this.#newest) {
      session.send(rejection(ref, status.UNAVAILABLE, "SERVER_DRAINING", "this stream takes no more calls"));
      return;
    }
    const older = this.#calls.get(ref.callId);
    if (older) this.#drop(older); // Fenced: its reports are stale.
    const call = this.#open(ref, tool, assignment);
    this.#calls.set(ref.callId, call);
    this.#accept(call);
    if (tool.mayRedeliver) void this.#run(call);
  }

  #receipt({ callId, attempt, disposition }: ToolCallReceipt): void {
    const call = this.#calls.get(callId);
    const report = call?.ref.attempt === attempt ? call.unreceipted.shift() : undefined;
    if (!call || !report) return;
    if (report.report.case !== "acceptance") {
      this.#forget(call);
    } else if (disposition === Disposition.APPLIED || disposition === Disposition.DUPLICATE) {
      call.isAccepted = true;
      if (call.phase === "accepting") void this.#run(call);
    } else {
      this.#drop(call); // Another delivery has taken its place.
    }
  }

  #cancel({ callId, attempt, reason }: ToolCallCancellation): void {
    const call = this.#calls.get(callId);
    if (call?.ref.attempt !== attempt || call.isCancelled) return;
    call.isCancelled = true;
    call.abort.abort(new DOMException(reason || "the call was cancelled", "AbortError"));
    if (call.phase === "accepting") this.#finish(call, { case: "stopped", value: {} });
  }

  // === Execution ===

  async #run(call: Call): Promise<void> {
    call.phase = "running";
    const { deadline } = call.context;
    const leftMs = deadline === undefined ? Infinity : deadline - Date.now();
    if (leftMs <= LONGEST_TIMER_MS) call.timer = setTimeout(() => this.#expire(call), leftMs);
    const { traceparent, tracestate } = call.assignment;
    try {
      const parts = await withContext({ traceparent, tracestate }, () => call.tool.invoke(call.context));
      this.#finish(call, resultOf(call, parts));
    } catch (error) {
      this.#finish(call, this.#outcomeOf(call, error));
    }
  }

  #expire(call: Call): void {
    call.abort.abort(new DOMException("the call's time is over", "TimeoutError"));
    this.#finish(call, failed(call, "the tool did not finish in time; it may still be running"));
  }

  #outcomeOf(call: Call, error: unknown): ReportContent {
    if (call.isCancelled) return { case: "stopped", value: {} };
    const name = error instanceof Error ? error.name : typeof error;
    this.#logger?.warn(`tool ${call.tool.name} failed: ${name}`);
    if (error instanceof ToolError) return failed(call, error.message);
    return failed(call, error instanceof Error ? `${name}: ${error.message}` : String(error));
  }

  #open(ref: CallRef, tool: Tool, assignment: ToolCallAssignment): Call {
    const abort = new AbortController();
    const { runId, agentName, principal, labels, traceparent, timeout } = assignment;
    const context: ToolContext = {
      ...ref,
      runId,
      agentName,
      principal,
      labels,
      traceparent,
      argumentsJson: assignment.call?.argumentsJson ?? "",
      signal: abort.signal,
      deadline: timeout && Date.now() + toMs(timeout),
      progress: ({ progress, total = 0, message = "" }) => {
        const call = this.#calls.get(ref.callId);
        if (call?.context !== context || call.phase !== "running") return;
        this.#session?.send(reportOf(ref, { case: "progress", value: { progress, total, message } }));
      },
    };
    return {
      ref,
      tool,
      assignment,
      context,
      abort,
      phase: "accepting",
      isAccepted: false,
      isCancelled: false,
      last: undefined,
      timer: undefined,
      unreceipted: [],
    };
  }

  // === Reports ===

  #accept(call: Call): void {
    this.#send(call, reportOf(call.ref, { case: "acceptance", value: {} }));
  }

  #finish(call: Call, content: ReportContent): void {
    if (this.#calls.get(call.ref.callId) !== call || call.phase === "reported") return; // Superseded, or too late.
    call.phase = "reported";
    clearTimeout(call.timer);
    call.last = reportOf(call.ref, content);
    this.#send(call, call.last);
  }

  #send(call: Call, report: ToolCallReport): void {
    if (!this.#session) return;
    call.unreceipted.push(report);
    this.#session.send(report);
  }

  #drop(call: Call): void {
    call.isCancelled = true;
    call.abort.abort(new DOMException("the call was taken away", "AbortError"));
    this.#forget(call);
  }

  #forget(call: Call): void {
    clearTimeout(call.timer);
    if (this.#calls.get(call.ref.callId) === call) this.#calls.delete(call.ref.callId);
    if (this.#calls.size > 0) return;
    const idlers = this.#idlers;
    this.#idlers = [];
    for (const resolve of idlers) resolve();
  }
}

function reportOf(ref: CallRef, report: ReportContent): ToolCallReport {
  return create(ToolCallReportSchema, { ...ref, report });
}

function rejection(ref: CallRef, code: number, reason: string, message: string): ToolCallReport {
  return reportOf(ref, { case: "rejection", value: { code, reason, message } });
}

function resultOf(call: Call, parts: Part[]): ReportContent {
  const result = create(ToolResultSchema, { callId: call.ref.callId, parts });
  const bytes = toBinary(ToolResultSchema, result).byteLength;
  if (bytes > MAX_RESULT_BYTES) return failed(call, `the tool's result is too large: ${bytes} bytes`);
  return { case: "result", value: result };
}

function failed(call: Call, text: string): ReportContent {
  const parts = toWireParts(text.slice(0, MAX_ERROR_CHARS));
  return { case: "result", value: { callId: call.ref.callId, parts, isError: true } };
}
