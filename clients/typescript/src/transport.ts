/**
 * Connections, with Runwire's settings.
 *
 * A pair, because streams and control calls do not share a connection: a connection that is full of streams
 * queues the next call silently, and a cancellation must not wait for a stream to end.
 */

import { readFileSync } from "node:fs";

import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  Client as Channel,
  credentials,
  Metadata,
  type ChannelCredentials,
  type ChannelOptions,
  type ClientDuplexStream,
  type ServiceError,
} from "@grpc/grpc-js";

import { fromStatus } from "./errors.js";
import { injectContext } from "./tracing.js";

/** Where a client connects to when nobody says. */
export const DEFAULT_ADDRESS = "127.0.0.1:50051";

/** TLS, and mutual TLS with a certificate and key. Each is the path of a PEM file, or its bytes. */
export interface Tls {
  /** Whom to trust; the system's authorities by default. */
  readonly ca?: string | Uint8Array;
  /** The client's certificate chain. */
  readonly certificate?: string | Uint8Array;
  /** The key of the certificate. */
  readonly key?: string | Uint8Array;
  /** The name to expect in the server's certificate when it is not the address's host. */
  readonly serverName?: string;
}

/** How to reach a server. */
export interface ConnectOptions {
  /**
   * A bearer token, or a function that gives the current one for each call. Default: `$RUNWIRE_TOKEN`.
   */
  readonly token?: string | (() => string);
  /** `true`: TLS with the system's authorities, as with an address that begins with `https://`. */
  readonly tls?: boolean | Tls;
  /** Options of grpc-js that take precedence over this package's own. */
  readonly channelOptions?: ChannelOptions;
}

/** What every call takes. */
export interface CallOptions {
  /** Ends the call; it fails with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** The time that the call may take. */
  readonly timeoutMs?: number | undefined;
}

/** Control calls answer at once; one that does not is given up. */
const CONTROL_TIMEOUT_MS = 30_000;

// Only calls that are harmless twice. Never completions and never the two-way streams.
const RETRIED = {
  "runwire.v1.RunService": ["CreateRun", "GetRun", "ListRuns", "WatchRun", "CancelRun"],
  "runwire.v1.ToolService": ["ReportToolCall", "ListTools"],
  "runwire.v1.ModelService": ["ListModels"],
};

const SERVICE_CONFIG = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: Object.entries(RETRIED).flatMap(([service, methods]) =>
        methods.map((method) => ({ service, method })),
      ),
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.1s",
        maxBackoff: "2s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

const OPTIONS: ChannelOptions = {
  "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
  // The window of a stream, and of the connection. Node returns a connection's window as the bytes arrive, so
  // a stream that nobody reads never stalls the others.
  "grpc-node.flow_control_window": 256 * 1024,
  // Requests up to 32 MiB; answers are smaller, but a completion has no fixed bound.
  "grpc.max_send_message_length": 32 * 1024 * 1024,
  "grpc.max_receive_message_length": 32 * 1024 * 1024,
  // Servers and proxies answer faster pings with GOAWAY.
  "grpc.keepalive_time_ms": 60_000,
  "grpc.keepalive_timeout_ms": 20_000,
  "grpc.keepalive_permit_without_calls": 0,
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 5_000,
  // A pool of its own: channels with equal options would share one connection otherwise.
  "grpc.use_local_subchannel_pool": 1,
};

/** Where the server is and how to get there. Connects with the first call. */
export class Transport {
  /** The server's address, without a scheme. */
  readonly address: string;
  readonly #token: string | (() => string) | undefined;
  readonly #streams: Channel;
  readonly #control: Channel;

  constructor(address?: string, options: ConnectOptions = {}) {
    const given = address ?? process.env["RUNWIRE_SERVER"] ?? DEFAULT_ADDRESS;
    const secure = given.startsWith("https://");
    this.address = given.replace(/^https?:\/\//, "").replace(/\/$/, "");
    this.#token = options.token ?? process.env["RUNWIRE_TOKEN"];
    const tls = options.tls ?? secure;
    const channelOptions = { ...OPTIONS, ...serverName(tls), ...options.channelOptions };
    const open = (): Channel => new Channel(this.address, credentialsOf(tls), channelOptions);
    this.#streams = open();
    this.#control = open();
  }

  /** Makes a call with one answer. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { signal, timeoutMs }: CallOptions = {},
  ): Promise<MessageShape<O>> {
    signal?.throwIfAborted();
    const isCompletion = method.parent.name === "CompletionService";
    const channel = isCompletion ? this.#streams : this.#control;
    const limit = timeoutMs ?? (isCompletion ? undefined : CONTROL_TIMEOUT_MS);
    let release: (() => void) | undefined;
    try {
      return await new Promise<MessageShape<O>>((resolve, reject) => {
        const call = channel.makeUnaryRequest(
          pathOf(method),
          writer(method.input),
          reader(method.output),
          create(method.input, request),
          this.#metadata(),
          deadline(limit),
          (error, response) => {
            if (response === undefined) reject(error ?? new Error("no answer"));
            else resolve(response);
          },
        );
        release = onAbort(signal, () => call.cancel());
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw typed(error);
    } finally {
      release?.();
    }
  }

  /** Draws a stream's messages. Leaving early cancels the call. */
  async *serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    { signal, timeoutMs, opened }: CallOptions & { readonly opened?: () => void } = {},
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    signal?.throwIfAborted();
    const call = this.#streams.makeServerStreamRequest(
      pathOf(method),
      writer(method.input),
      reader(method.output),
      create(method.input, request),
      this.#metadata(),
      deadline(timeoutMs),
    );
    call.on("error", ignore); // It says it again after the iteration is over.
    if (opened) call.on("metadata", opened);
    const release = onAbort(signal, () => call.cancel());
    try {
      for await (const message of call) yield message as MessageShape<O>;
    } catch (error) {
      signal?.throwIfAborted();
      throw typed(error);
    } finally {
      release();
      call.cancel();
    }
  }

  /** Opens a two-way stream. */
  duplex<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
  ): ClientDuplexStream<MessageShape<I>, MessageShape<O>> {
    const call = this.#streams.makeBidiStreamRequest(
      pathOf(method),
      writer(method.input),
      reader(method.output),
      this.#metadata(),
    );
    call.on("error", ignore);
    return call;
  }

  /** Closes the connections; what is in flight ends as cancelled. */
  close(): void {
    this.#streams.close();
    this.#control.close();
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    injectContext((key, value) => metadata.set(key, value));
    const token = typeof this.#token === "function" ? this.#token() : this.#token;
    if (token) metadata.set("authorization", `Bearer ${token}`);
    return metadata;
  }
}

/** Types what grpc-js has thrown. */
export function typed(error: unknown): unknown {
  return isServiceError(error) ? fromStatus(error) : error;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && typeof (error as Partial<ServiceError>).code === "number";
}

function ignore(): void {
  // The iteration throws it.
}

function onAbort(signal: AbortSignal | undefined, cancel: () => void): () => void {
  signal?.addEventListener("abort", cancel, { once: true });
  return () => signal?.removeEventListener("abort", cancel);
}

function deadline(timeoutMs: number | undefined): { deadline?: number } {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function writer<T extends DescMessage>(schema: T): (message: MessageShape<T>) => Buffer {
  return (message) => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function reader<T extends DescMessage>(schema: T): (bytes: Buffer) => MessageShape<T> {
  return (bytes) => fromBinary(schema, bytes);
}

function credentialsOf(tls: boolean | Tls): ChannelCredentials {
  if (tls === false) return credentials.createInsecure();
  const { ca, key, certificate } = tls === true ? {} : tls;
  return credentials.createSsl(pem(ca), pem(key), pem(certificate));
}

function pem(source: string | Uint8Array | undefined): Buffer | null {
  if (source === undefined) return null;
  return typeof source === "string" ? readFileSync(source) : Buffer.from(source);
}

function serverName(tls: boolean | Tls): ChannelOptions {
  const name = typeof tls === "object" ? tls.serverName : undefined;
  return name === undefined ? {} : { "grpc.ssl_target_name_override": name, "grpc.default_authority": name };
}
