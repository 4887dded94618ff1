import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { tool, ToolError, type JsonSchema, type ToolContext, type ToolOptions } from "../src/index.js";
import { ToolEngine, type Session } from "../src/engine.js";
import {
  HostCommandSchema,
  ToolCallReceipt_Disposition as Disposition,
  type ToolCallReport,
} from "../src/v1.js";

/** A stream that keeps what is sent on it. */
class FakeSession implements Session {
  readonly sent: ToolCallReport[] = [];

  send(report: ToolCallReport): void {
    this.sent.push(report);
  }

  /** What was sent, in short. */
  get said(): string[] {
    return this.sent.map(({ callId, attempt, report }) => {
      const delivery = `${callId}/${attempt}`;
      if (report.case !== "result") return `${delivery} ${report.case ?? ""}`;
      const { parts, isError } = report.value;
      const text = parts.map(({ content }) => (content.case === "text" ? content.value : "")).join("");
      return `${delivery} ${isError ? "error" : "result"} ${text}`;
    });
  }
}

/** An engine with one tool, connected. */
class Stage {
  readonly calls: ToolContext[] = [];
  readonly engine: ToolEngine;
  session = new FakeSession();

  constructor(run: (context: ToolContext) => unknown, options: Partial<ToolOptions<JsonSchema>> = {}) {
    const act = (_: unknown, context: ToolContext): unknown => {
      this.calls.push(context);
      return run(context);
    };
    this.engine = new ToolEngine([
      tool({ name: "act", description: "Act.", ...options, input: {}, run: act }),
    ]);
    this.engine.prepare(this.session);
    this.engine.connect(this.session);
  }

  command(command: MessageInitShape<typeof HostCommandSchema>["command"], session = this.session): void {
    this.engine.command(session, create(HostCommandSchema, command ? { command } : {}));
  }

  assign(callId: string, more: { attempt?: number; name?: string; seconds?: number } = {}): void {
    const { attempt = 1, name = "act", seconds } = more;
    const timeout = seconds === undefined ? {} : { timeout: { seconds: BigInt(seconds) } };
    const call = { id: callId, name, argumentsJson: "{}" };
    this.command({ case: "assignment", value: { call, attempt, ...timeout } });
  }

  receipt(callId: string, disposition = Disposition.APPLIED, attempt = 1): void {
    this.command({ case: "receipt", value: { callId, attempt, disposition } });
  }

  cancel(callId: string, attempt = 1): void {
    this.command({ case: "cancellation", value: { callId, attempt, reason: "RUN_CANCELLED" } });
  }

  reconnect(): ReturnType<ToolEngine["prepare"]> {
    this.engine.disconnect(this.session);
    this.session = new FakeSession();
    const inFlight = this.engine.prepare(this.session);
    this.engine.connect(this.session);
    return inFlight;
  }
}

/** Lets everything happen that waits for nothing outside. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function gate(): {
  open: (value?: unknown) => void;
  fail: (error: unknown) => void;
  passed: Promise<unknown>;
} {
  let open: (value?: unknown) => void = () => undefined;
  let fail: (error: unknown) => void = () => undefined;
  const passed = new Promise<unknown>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { open, fail, passed };
}

test("a call that may run at most once begins after the receipt of its acceptance", async () => {
  const stage = new Stage(() => "done");
  stage.assign("c1");
  await settle();
  assert.deepEqual([stage.calls.length, stage.session.said], [0, ["c1/1 acceptance"]]);
  stage.receipt("c1");
  await settle();
  assert.deepEqual([stage.calls.length, stage.session.said], [1, ["c1/1 acceptance", "c1/1 result done"]]);
});

test("an idempotent call begins at once, after it has said so", async () => {
  const stage = new Stage(() => "done", { idempotent: true });
  stage.assign("c1");
  assert.deepEqual(stage.session.said, ["c1/1 acceptance"]);
  await settle();
  assert.deepEqual(stage.session.said, ["c1/1 acceptance", "c1/1 result done"]);
});

test("calls run side by side", async () => {
  const gates = [gate(), gate()];
  const stage = new Stage(({ callId }) => gates[callId === "c1" ? 0 : 1]?.passed, { readOnly: true });
  stage.assign("c1");
  stage.assign("c2");
  await settle();
  assert.equal(stage.calls.length, 2);
  gates[1]?.open("second");
  await settle();
  gates[0]?.open("first");
  await settle();
  assert.deepEqual(stage.session.said.slice(2), ["c2/1 result second", "c1/1 result first"]);
});

test("a call that is delivered twice runs once", async () => {
  const stage = new Stage(() => "done", { idempotent: true });
  stage.assign("c1");
  stage.assign("c1");
  await settle();
  assert.equal(stage.calls.length, 1);
});

test("a newer delivery takes the place of an older one, whose result is not sent", async () => {
  const gates = [gate(), gate()];
  const stage = new Stage(({ attempt }) => gates[attempt - 1]?.passed, { idempotent: true });
  stage.assign("c1", { attempt: 1 });
  await settle();
  stage.assign("c1", { attempt: 2 });
  assert.ok(stage.calls[0]?.signal.aborted);
  await settle();
  gates[0]?.open("old");
  gates[1]?.open("new");
  await settle();
  assert.deepEqual(stage.session.said, ["c1/1 acceptance", "c1/2 acceptance", "c1/2 result new"]);
});

test("a stale receipt of an acceptance takes the call away before it begins", async () => {
  const stage = new Stage(() => "done");
  stage.assign("c1");
  stage.receipt("c1", Disposition.STALE);
  await settle();
  assert.equal(stage.calls.length, 0);
  assert.deepEqual(stage.reconnect(), []);
});

test("a result is sent again on every stream until its receipt comes", async () => {
  const stage = new Stage(() => "done", { idempotent: true });
  stage.assign("c1");
  await settle();
  assert.deepEqual(stage.reconnect(), [{ callId: "c1", attempt: 1 }]);
  assert.deepEqual(stage.session.said, ["c1/1 result done"]);
  stage.receipt("c1");
  assert.deepEqual(stage.reconnect(), []);
  assert.deepEqual(stage.session.said, []);
});

test("an acceptance without a receipt is sent again, and the call begins once", async () => {
  const stage = new Stage(() => "done");
  stage.assign("c1");
  stage.reconnect();
  assert.deepEqual(stage.session.said, ["c1/1 acceptance"]);
  await settle();
  assert.equal(stage.calls.length, 0);
  stage.receipt("c1");
  await settle();
  assert.equal(stage.calls.length, 1);
});

test("a call goes on while there is no stream, and its result waits for the next", async () => {
  const opened = gate();
  const stage = new Stage(() => opened.passed);
  stage.assign("c1");
  stage.receipt("c1");
  stage.engine.disconnect(stage.session);
  opened.open("done");
  await settle();
  stage.reconnect();
  assert.deepEqual(stage.session.said, ["c1/1 result done"]);
});

test("a receipt that an older stream brings late is not taken for one of the new stream", async () => {
  const stage = new Stage(() => "done");
  stage.assign("c1");
  const older = stage.session;
  stage.reconnect();
  stage.command(
    { case: "receipt", value: { callId: "c1", attempt: 1, disposition: Disposition.APPLIED } },
    older,
  );
  await settle();
  assert.equal(stage.calls.length, 0);
});

test("what an older stream assigns once a newer one is under way is rejected", async () => {
  const stage = new Stage(() => "done");
  stage.engine.prepare(new FakeSession());
  stage.assign("c1");
  await settle();
  assert.deepEqual(stage.session.said, ["c1/1 rejection"]);
});

test("unknown tools, other versions and calls during a drain are rejected", () => {
  const stage = new Stage(() => "done", { version: "2" });
  stage.assign("c1", { name: "other" });
  stage.assign("c2");
  assert.deepEqual(stage.session.said, ["c1/1 rejection", "c2/1 rejection"]);
  const draining = new Stage(() => "done");
  draining.engine.refuse();
  draining.assign("c3");
  assert.deepEqual(draining.session.said, ["c3/1 rejection"]);
});

test("a cancelled call is told, and stops with what it throws", async () => {
  const stage = new Stage(
    ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", reject)),
  );
  stage.assign("c1");
  stage.receipt("c1");
  await settle();
  stage.cancel("c1");
  stage.cancel("c1");
  await settle();
  assert.deepEqual(stage.session.said, ["c1/1 acceptance", "c1/1 stopped"]);
});

test("a cancelled call that was faster reports its result", async () => {
  const opened = gate();
  const stage = new Stage(() => opened.passed);
  stage.assign("c1");
  stage.receipt("c1");
  await settle();
  stage.cancel("c1");
  opened.open("done");
  await settle();
  assert.deepEqual(stage.session.said.at(-1), "c1/1 result done");
});

test("a call that is cancelled before its receipt never begins", async () => {
  const stage = new Stage(() => "done");
  stage.assign("c1");
  stage.cancel("c1");
  stage.receipt("c1");
  await settle();
  assert.deepEqual([stage.calls.length, stage.session.said], [0, ["c1/1 acceptance", "c1/1 stopped"]]);
});

test("a call whose time is over is told so, and so is the model, once", async () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  try {
    const opened = gate();
    const stage = new Stage(() => opened.passed, { idempotent: true });
    stage.assign("c1", { seconds: 5 });
    await settle();
    mock.timers.tick(4_999);
    assert.ok(!stage.calls[0]?.signal.aborted);
    mock.timers.tick(1);
    assert.equal((stage.calls[0]?.signal.reason as DOMException).name, "TimeoutError");
    opened.open("late");
    await settle();
    assert.deepEqual(stage.session.said, [
      "c1/1 acceptance",
      "c1/1 error the tool did not finish in time; it may still be running",
    ]);
  } finally {
    mock.timers.reset();
  }
});

test("what a tool throws is told to the model by name and message, without a stack", async () => {
  const errors = [new RangeError("too far"), new ToolError("ask again tomorrow"), "a text", undefined];
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- tools throw anything
  const stage = new Stage(({ attempt }) => Promise.reject(errors[attempt - 1]), {
    idempotent: true,
  });
  for (const attempt of [1, 2, 3, 4]) {
    stage.assign("c1", { attempt });
    await settle();
  }
  assert.deepEqual(
    stage.session.said.filter((said) => said.includes("error")),
    [
      "c1/1 error RangeError: too far",
      "c1/2 error ask again tomorrow",
      "c1/3 error a text",
      "c1/4 error undefined",
    ],
  );
});

test("a result that no stream could carry is the model's to hear of", async () => {
  const stage = new Stage(() => "x".repeat(4 * 1024 * 1024), { idempotent: true });
  stage.assign("c1");
  await settle();
  assert.match(stage.session.said[1] ?? "", /^c1\/1 error the tool's result is too large: \d+ bytes$/);
});

test("progress is sent while the call runs, and not after", async () => {
  const stage = new Stage(
    (context) => {
      context.progress({ progress: 1, total: 2, message: "half" });
      return "done";
    },
    { readOnly: true },
  );
  stage.assign("c1");
  await settle();
  stage.calls[0]?.progress({ progress: 2 });
  assert.deepEqual(stage.session.said, ["c1/1 acceptance", "c1/1 progress", "c1/1 result done"]);
});

test("the engine is idle when every report has its receipt", async () => {
  const stage = new Stage(() => "done");
  await stage.engine.idle();
  stage.assign("c1");
  let isIdle = false;
  const waiting = stage.engine.idle().then(() => (isIdle = true));
  stage.receipt("c1");
  await settle();
  assert.equal(isIdle, false);
  stage.receipt("c1");
  await waiting;
});

test("abort tells every call and reports nothing", async () => {
  const stage = new Stage(
    ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", reject)),
  );
  stage.assign("c1");
  stage.receipt("c1");
  await settle();
  stage.engine.abort();
  await stage.engine.idle();
  await settle();
  assert.deepEqual(stage.session.said, ["c1/1 acceptance"]);
});

test("a command that nobody knows is ignored", () => {
  const stage = new Stage(() => "done");
  stage.command({ case: undefined });
  assert.deepEqual(stage.session.said, []);
});
