/** The driver of the conformance cases: plays what clients/conformance/runner says, in lines of JSON. */

import { createInterface } from "node:readline";

import { create } from "@bufbuild/protobuf";
import { z } from "zod";

import {
  Client,
  ToolHost,
  callsOf,
  resultsOf,
  RunFailedError,
  RunwireError,
  textOf,
  tool,
  type Agent,
  type Completion,
  type GenerationOptions,
  type HostedTool,
  type MessageCompleted,
  type Run,
  type RunEvent,
  type RunResult,
  type RunSettings,
  type RunStream,
  type Tool,
  type ToolContext,
} from "../src/index.js";
import { toRun } from "../src/events.js";
import {
  AttachRunRequestSchema,
  Role,
  RunService,
  type AttachRunResponse,
  type Run as WireRun,
} from "../src/v1.js";

const PATIENCE_MS = 10_000;
const FLOOD_BYTES = 2 * 1024 * 1024;
const TOGETHER = 4;

interface Case {
  readonly do: string;
  readonly model: string;
  readonly input: string;
  readonly options?: { readonly tool_choice?: "auto" | "none" | "required" };
  readonly tools?: readonly string[];
  readonly as?: Readonly<Record<string, string>>;
  readonly hosted?: readonly string[];
  readonly idempotent?: boolean;
  readonly max_turns?: number;
  readonly timeout?: number;
  readonly tool_timeout?: number;
  readonly count?: number;
}
type Word = Readonly<Partial<Record<"release" | "cancel" | "leave", boolean>>>;
type Seen = Record<string, unknown>;

/** Tells the runner. */
function say(message: Seen): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Something that happens once. */
class Happening {
  readonly #happened: Promise<void>;
  happen: () => void = () => undefined;

  constructor() {
    this.#happened = new Promise((resolve) => (this.happen = resolve));
  }

  wait(): Promise<void> {
    return this.#happened;
  }

  async inTime(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), PATIENCE_MS)));
    const met = await Promise.race([this.#happened.then(() => true), late]);
    clearTimeout(timer);
    return met;
  }
}

/** One case: its tools, and what its run shows. */
class Play {
  readonly #case: Case;
  readonly #client: Client;
  readonly #released = new Happening();
  readonly #progressed = new Happening();
  readonly #gathered = new Happening();
  readonly #leaving = new AbortController();
  #together = 0;
  #runId = "";

  constructor(played: Case, client: Client) {
    this.#case = played;
    this.#client = client;
  }

  act(): Promise<Seen> {
    const actions: Record<string, () => Promise<Seen>> = {
      complete: () => this.#complete(),
      stream: () => this.#stream(),
      glance: () => this.#glance(),
      run: () => this.#run(),
      watch: () => this.#watch(),
      bare: () => this.#bare(),
      many: () => this.#many(),
      host: () => this.#host(),
    };
    const action = actions[this.#case.do];
    if (!action) throw new Error(`this driver cannot ${this.#case.do}`);
    return action();
  }

  async hear(word: Word): Promise<void> {
    if (word.release) this.#released.happen();
    if (word.cancel) await this.#client.runs.cancel(this.#runId);
    if (word.leave) this.#leaving.abort();
  }

  // === The tools ===

  #tools(): Tool[] {
    return (this.#case.tools ?? []).map((name) => this.#tool(name));
  }

  #tool(name: string): Tool {
    const { as = {}, idempotent = false, tool_timeout: seconds } = this.#case;
    const common = {
      name: as[name] ?? name,
      description: `The tool ${name}.`,
      idempotent,
      ...(seconds !== undefined && { timeoutMs: seconds * 1000 }),
    };
    const plain = (run: (context: ToolContext) => unknown): Tool =>
      tool({ ...common, input: z.object({}), run: (_, context) => run(context) });
    switch (name) {
      case "get_weather":
        return tool({ ...common, input: z.object({ city: z.string() }), run: ({ city }) => `${city}: sun` });
      case "echo":
        return tool({ ...common, input: ECHO, run: ({ value }) => value as unknown });
      case "verbatim":
        return tool({ ...common, input: VERBATIM, run: () => "ok" });
      case "fail":
        return plain(() => Promise.reject(new Error("no such file")));
      case "crash":
        return plain(() => (undefined as unknown as () => void)());
      case "flood":
        return plain(() => "x".repeat(FLOOD_BYTES));
      case "together":
        return plain(() => this.#meet());
      case "advance":
        return plain((context) => this.#advance(context));
      case "gate":
        return plain((context) => this.#gate(context));
      case "wait":
        return plain((context) => waitToStop(context));
      default:
        throw new Error(`this driver has no tool ${name}`);
    }
  }

  async #meet(): Promise<string> {
    this.#together += 1;
    if (this.#together === TOGETHER) this.#gathered.happen();
    return (await this.#gathered.inTime()) ? `${TOGETHER} at once` : "alone";
  }

  async #advance(context: ToolContext): Promise<string> {
    context.progress({ progress: 1, total: 2, message: "half" });
    return (await this.#progressed.inTime()) ? "seen" : "unseen";
  }

  async #gate({ attempt }: ToolContext): Promise<string> {
    say({ begun: "gate", attempt });
    await this.#released.wait();
    return "opened";
  }

  // === What to do ===

  async #complete(): Promise<Seen> {
    const { model, input, timeout } = this.#case;
    const options = { ...this.#options(), tools: this.#tools(), ...ms(timeout) };
    return seenOfCompletion(await this.#client.complete(model, input, options));
  }

  async #stream(): Promise<Seen> {
    const { model, input, timeout } = this.#case;
    const stream = this.#client.stream(model, input, {
      ...this.#options(),
      tools: this.#tools(),
      ...ms(timeout),
    });
    let deltas = "";
    for await (const text of stream.text()) deltas += text;
    return { ...seenOfCompletion(await stream.completion()), deltas };
  }

  async #glance(): Promise<Seen> {
    let deltas = 0;
    for await (const _ of this.#client.stream(this.#case.model, this.#case.input)) {
      deltas += 1;
      if (deltas === 3) break;
    }
    return seenOfCompletion(await this.#client.complete("script:echo", this.#case.input));
  }

  async #run(): Promise<Seen> {
    const { signal } = this.#leaving;
    const stream = this.#client.streamRun(this.#agent(this.#tools()), this.#case.input, {
      ...this.#settings(),
      signal,
    });
    const events: RunEvent[] = [];
    try {
      return seenOfRun((await this.#follow(stream, events)).run, events);
    } catch (error) {
      if (error instanceof RunFailedError) return seenOfRun(error.result.run, events);
      if (!signal.aborted) throw error;
      return seenOfRun(await this.#client.runs.wait(this.#runId), events);
    }
  }

  async #follow(stream: RunStream, events: RunEvent[]): Promise<RunResult> {
    for await (const event of stream) {
      this.#runId = stream.runId;
      this.#see(event, events);
    }
    return stream.result();
  }

  async #watch(): Promise<Seen> {
    const { hosted } = this.#case;
    if (hosted) return this.#watchRun(hosted.map((name) => ({ hosted: name })));
    await using host = await new ToolHost(this.#client, this.#tools()).start();
    return await this.#watchRun(host.bindings());
  }

  async #watchRun(tools: HostedTool[]): Promise<Seen> {
    const created = await this.#client.runs.create(this.#agent(tools), this.#case.input, this.#settings());
    this.#runId = created.id;
    const events: RunEvent[] = [];
    for await (const event of this.#client.runs.watch(created.id)) this.#see(event, events);
    const last = events.findLast((event) => event.type === "run_updated")?.run ?? created;
    return { ...seenOfRun(last, events), events: durable(events), replay: await this.#replay(created.id) };
  }

  async #replay(runId: string): Promise<number[]> {
    const events: RunEvent[] = [];
    try {
      for await (const event of this.#client.runs.watch(runId, { detail: "durable" })) events.push(event);
    } catch (error) {
      if (error instanceof RunwireError) return []; // The server has ended meanwhile.
      throw error;
    }
    return durable(events);
  }

  async #bare(): Promise<Seen> {
    const { model, input } = this.#case;
    const call = this.#client.transport.duplex(RunService.method.attachRun);
    const parts = [{ content: { case: "text" as const, value: input } }];
    const spec = { agent: { name: "bare", model }, input: [{ role: Role.USER, parts }] };
    const start = { maxConcurrentCalls: 0, target: { case: "create" as const, value: spec } };
    call.end(create(AttachRunRequestSchema, { message: { case: "start", value: start } }));
    let last: WireRun | undefined;
    for await (const { message } of call as AsyncIterable<AttachRunResponse>) {
      if (message.case !== "events") continue;
      for (const { event } of message.value.events) if (event.case === "runUpdated") last = event.value;
    }
    return last ? seenOfRun(toRun(last), []) : {};
  }

  async #many(): Promise<Seen> {
    const { input, count = 1 } = this.#case;
    const one = (): Promise<RunResult> => this.#client.run(this.#agent(this.#tools()), input);
    const results = await Promise.all(Array.from({ length: count }, one));
    const completed = results.filter(({ status }) => status === "completed").length;
    return { completed, distinct: new Set(results.map(({ runId }) => runId)).size };
  }

  async #host(): Promise<Seen> {
    const host = await new ToolHost(this.#client, this.#tools()).start();
    const serving = host.serve();
    say({ ready: true });
    await serving;
    process.exit(0);
  }

  #see(event: RunEvent, events: RunEvent[]): void {
    events.push(event);
    if (event.type === "tool_call_updated" && event.progress) this.#progressed.happen();
  }

  #agent(tools: readonly (Tool | HostedTool)[]): Agent {
    return { name: "case", model: this.#case.model, tools };
  }

  #options(): GenerationOptions {
    const toolChoice = this.#case.options?.tool_choice;
    return toolChoice ? { toolChoice } : {};
  }

  #settings(): RunSettings {
    const { max_turns: maxTurns, timeout } = this.#case;
    return { options: this.#options(), ...(maxTurns !== undefined && { maxTurns }), ...ms(timeout) };
  }
}

const ECHO = { type: "object", properties: { value: { type: "integer" } }, required: ["value"] };
const VERBATIM = {
  type: "object",
  properties: { zulu: { type: "number" }, alpha: { type: "object" }, mike: { type: "string" } },
  required: ["zulu", "alpha", "mike"],
};

async function waitToStop({ attempt, signal }: ToolContext): Promise<string> {
  say({ begun: "wait", attempt });
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  say({ stopped: "wait" });
  signal.throwIfAborted();
  return "stopped";
}

function ms(seconds: number | undefined): { timeoutMs?: number } {
  return seconds === undefined ? {} : { timeoutMs: seconds * 1000 };
}

function seenOfCompletion({ text, finishReason, toolCalls }: Completion): Seen {
  return {
    text,
    finish_reason: finishReason,
    calls: toolCalls.map(({ name }) => name),
    arguments: toolCalls.map(({ argumentsJson }) => argumentsJson),
  };
}

function seenOfRun(run: Run, events: readonly RunEvent[]): Seen {
  const completed = events.filter((event): event is MessageCompleted => event.type === "message_completed");
  const calls = completed.flatMap(({ message }) => callsOf(message));
  const results = completed.flatMap(({ message }) => resultsOf(message));
  const updates = events.filter((event) => event.type === "tool_call_updated");
  const exhausted = run.error?.reason === "MAX_TURNS_EXCEEDED" && "max_turns_exceeded";
  return {
    text: run.output ?? null,
    status: exhausted || (run.state === "succeeded" ? "completed" : run.state),
    turns: run.turnCount,
    finish_reason: run.finishReason,
    calls: calls.map(({ name }) => name),
    arguments: calls.map(({ argumentsJson }) => argumentsJson),
    results: results.map((result) => textOf(result)),
    errors: results.map(({ isError = false }) => isError),
    progress: updates.flatMap(({ progress: p }) => (p ? [[p.progress, p.total ?? 0, p.message]] : [])),
    ...(run.error && seenOfError(run.error)),
  };
}

function seenOfError({ code, reason, metadata, retryDelayMs }: RunwireError): Seen {
  return { code, reason, metadata, retry_delay: retryDelayMs === undefined ? null : retryDelayMs / 1000 };
}

function durable(events: readonly RunEvent[]): number[] {
  return events.flatMap(({ time, sequence }) => (time ? [sequence] : []));
}

async function play(client: Client, current: Play): Promise<Seen> {
  try {
    return await current.act();
  } catch (error) {
    if (error instanceof RunwireError) return seenOfError(error);
    throw error;
  } finally {
    client.close();
  }
}

let current: Play | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as Word & { readonly case?: Case; readonly address?: string };
  if (!message.case) {
    await current?.hear(message);
    continue;
  }
  const client = new Client(message.address);
  current = new Play(message.case, client);
  void play(client, current).then((seen) => say({ seen }));
}
