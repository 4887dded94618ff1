/** A server: completions, models, runs. */

import type { Agent } from "./agent.js";
import {
  CompletionStream,
  toCompletion,
  toParams,
  type Completion,
  type CompletionOptions,
} from "./completion.js";
import type { Input } from "./conversation.js";
import { fromData, UnavailableError, type RunwireError } from "./errors.js";
import { CompletionService } from "./gen/runwire/v1/completion_service_pb.js";
import { ModelService, type Model as WireModel } from "./gen/runwire/v1/model_service_pb.js";
import type { Logger } from "./logger.js";
import { startRun, type RunOptions, type RunResult, type RunStream } from "./runner.js";
import { Runs } from "./runs.js";
import { Transport, type CallOptions, type ConnectOptions } from "./transport.js";

/** How to reach a server, and where to log. */
export interface ClientOptions extends ConnectOptions {
  /** Where to say what happens to connections and tools. Default: nowhere. */
  readonly logger?: Logger;
}

/** A model that the server can reach. `undefined`: not known. */
export interface Model {
  /** What requests name it by. */
  readonly id: string;
  readonly provider: string;
  readonly aliases: readonly string[];
  readonly contextTokens: number | undefined;
  readonly maxOutputTokens: number | undefined;
  /** Media types that it takes besides text. */
  readonly inputMediaTypes: readonly string[];
  readonly supportsTools: boolean | undefined;
  readonly supportsReasoning: boolean | undefined;
  readonly supportsOutputSchema: boolean | undefined;
}

/** The models, and the providers that could not be asked, with why. */
export interface Models {
  readonly models: readonly Model[];
  readonly unavailable: ReadonlyMap<string, RunwireError>;
}

/**
 * A server. It connects with the first call; any number of calls, runs and tool hosts share one client.
 *
 * The address is `host:port`, or a URL with `http` or `https`; else `$RUNWIRE_SERVER`, else `127.0.0.1:50051`.
 */
export class Client {
  /** The runs of the tenant. */
  readonly runs: Runs;
  /** The connections. @internal */
  readonly transport: Transport;
  /** Where to log. @internal */
  readonly logger: Logger | undefined;

  constructor(address?: string, options: ClientOptions = {}) {
    this.transport = new Transport(address, options);
    this.logger = options.logger;
    this.runs = new Runs(this.transport, options.logger);
  }

  /** Answers once. */
  async complete(model: string, input: Input, options: CompletionOptions = {}): Promise<Completion> {
    const request = { params: toParams(model, input, options) };
    const { generateCompletion } = CompletionService.method;
    const { completion } = await this.transport.unary(generateCompletion, request, options);
    if (!completion) throw new UnavailableError("the answer has no completion");
    return toCompletion(completion);
  }

  /** As {@link complete}, as it is made: iterate for the deltas, then take `completion()`. */
  stream(model: string, input: Input, options: CompletionOptions = {}): CompletionStream {
    const request = { params: toParams(model, input, options) };
    return new CompletionStream(
      this.transport.serverStream(CompletionService.method.streamCompletion, request, options),
    );
  }

  /**
   * Runs an agent to its end; functions among its tools run here, several at a time.
   *
   * A run that used up its turns, or was cancelled, has a result that says so in `status`.
   *
   * @throws RunFailedError The run failed; the error has the result.
   */
  async run(agent: Agent, input: Input, options: RunOptions = {}): Promise<RunResult> {
    return startRun(this.transport, this.logger, agent, input, { deltas: false, ...options }).result();
  }

  /** As {@link run}, as it happens: iterate for the events, then take `result()`. */
  streamRun(agent: Agent, input: Input, options: RunOptions = {}): RunStream {
    return startRun(this.transport, this.logger, agent, input, options);
  }

  /** Lists the models, all pages; of one provider if it is named. */
  async models(provider = "", options?: CallOptions): Promise<Models> {
    const models: Model[] = [];
    const unavailable = new Map<string, RunwireError>();
    let pageToken = "";
    do {
      const request = { provider, pageSize: 500, pageToken };
      const page = await this.transport.unary(ModelService.method.listModels, request, options);
      models.push(...page.models.map(toModel));
      for (const { provider, error } of page.unavailable)
        if (error) unavailable.set(provider, fromData(error));
      pageToken = page.nextPageToken;
    } while (pageToken);
    return { models, unavailable };
  }

  /** Closes the connections; what is in flight ends as cancelled. */
  close(): void {
    this.transport.close();
  }

  /** As {@link close}, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function toModel(model: WireModel): Model {
  const { id, provider, aliases, inputMediaTypes } = model;
  return {
    id,
    provider,
    aliases,
    contextTokens: Number(model.contextTokens) || undefined,
    maxOutputTokens: Number(model.maxOutputTokens) || undefined,
    inputMediaTypes,
    supportsTools: model.supportsTools,
    supportsReasoning: model.supportsReasoning,
    supportsOutputSchema: model.supportsOutputSchema,
  };
}
