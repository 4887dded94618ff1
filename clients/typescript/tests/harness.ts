/** What the tests talk to: the real server, a wire to it that can be cut, and a server that they play themselves. */

import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import {
  fromBinary,
  toBinary,
  type DescMessage,
  type DescService,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  Server as GrpcServer,
  ServerCredentials,
  type ChannelOptions,
  type MethodDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const BINARY = process.env["RUNWIRE_BIN"] ?? join(ROOT, "target/debug/runwire");
const READY = "runwire listening on ";

const CONFIG = `
[retry]
base_delay = "10ms"
[tools]
grace = "1s"
[server]
drain = "2s"
`;

/** A process of the real server. */
export class Server {
  readonly address: string;
  readonly #process: ChildProcess;
  readonly #folder: string;

  private constructor(process: ChildProcess, folder: string, address: string) {
    this.#process = process;
    this.#folder = folder;
    this.address = address;
  }

  static async start(config = "", listen = "127.0.0.1:0"): Promise<Server> {
    const folder = mkdtempSync(join(tmpdir(), "runwire-ts-"));
    const file = join(folder, "runwire.toml");
    writeFileSync(file, CONFIG + config);
    const options = ["--config", file, "--listen", listen, "--data-dir", join(folder, "data")];
    const child = spawn(BINARY, ["serve", ...options], { stdio: ["ignore", "ignore", "pipe"] });
    const log: string[] = [];
    const lines = createInterface({ input: child.stderr });
    const address = await new Promise<string>((resolve, reject) => {
      lines.on("line", (line) => {
        log.push(line);
        if (line.includes(READY)) resolve(line.slice(line.indexOf(READY) + READY.length).trim());
      });
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`the server did not start:\n${log.join("\n")}`)));
    });
    return new Server(child, folder, address);
  }

  /** Ends it; the exit code. */
  async stop(): Promise<number | null> {
    const exited = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    const [code] = (await exited) as [number | null];
    rmSync(this.#folder, { recursive: true, force: true });
    return code;
  }
}

/** A wire that can be cut: forwards bytes between clients and a server. */
export class Wire {
  readonly #server = createServer();
  readonly #sockets = new Set<Socket>();
  /** How many connections were made. */
  connections = 0;

  static async to(target: string): Promise<Wire> {
    const wire = new Wire();
    const { hostname, port } = new URL(`tcp://${target}`);
    wire.#server.on("connection", (here) => {
      wire.connections += 1;
      const there = connect(Number(port), hostname);
      for (const [from, to] of [
        [here, there],
        [there, here],
      ] as const) {
        wire.#sockets.add(from);
        from.pipe(to);
        from.on("error", () => to.destroy());
        from.on("close", () => {
          to.destroy();
          wire.#sockets.delete(from);
        });
      }
    });
    wire.#server.listen(0, "127.0.0.1");
    await once(wire.#server, "listening");
    return wire;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts every connection; new ones are taken. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.#server.close();
    this.cut();
  }
}

/** Serves a service of the contract as the tests say; returns the address. */
export async function serve(
  service: DescService,
  methods: UntypedServiceImplementation,
  options: ChannelOptions = {},
): Promise<{ readonly address: string; readonly stop: () => void }> {
  const server = new GrpcServer(options);
  const definitions = service.methods.filter(({ localName }) => localName in methods).map(definitionOf);
  server.addService(Object.fromEntries(definitions), methods);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { address: `127.0.0.1:${port}`, stop: () => server.forceShutdown() };
}

function definitionOf(method: DescService["methods"][number]): [string, MethodDefinition<unknown, unknown>] {
  const { methodKind: kind, input, output } = method;
  return [
    method.localName,
    {
      path: `/${method.parent.typeName}/${method.name}`,
      requestStream: kind === "bidi_streaming" || kind === "client_streaming",
      responseStream: kind === "bidi_streaming" || kind === "server_streaming",
      requestSerialize: writer(input),
      requestDeserialize: (bytes) => fromBinary(input, bytes),
      responseSerialize: writer(output),
      responseDeserialize: (bytes) => fromBinary(output, bytes),
    },
  ];
}

function writer(schema: DescMessage): (message: unknown) => Buffer {
  return (message) => Buffer.from(toBinary(schema, message as MessageShape<DescMessage>));
}

/** A name that no other test has. */
export function unique(prefix: string): string {
  return `${prefix}.${randomUUID().slice(0, 8)}`;
}

/** Something that happens once, and that a test waits for. */
export class Happening<T = void> {
  readonly wait: Promise<T>;
  happen!: (value: T) => void;

  constructor() {
    this.wait = new Promise((resolve) => (this.happen = resolve));
  }
}
