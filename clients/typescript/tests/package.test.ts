/** The package as its registry gets it: packed, installed elsewhere, used by the example and the README's samples. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Client } from "../src/index.js";
import { Server } from "./harness.js";

const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

const CONFIG = {
  compilerOptions: {
    target: "es2022",
    lib: ["es2023", "esnext.disposable"],
    module: "nodenext",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
  },
  include: ["*.ts"],
};

let server: Server;
let folder: string;
const samples: string[] = [];

before(async () => {
  server = await Server.start();
  folder = mkdtempSync(join(tmpdir(), "runwire-package-"));
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: PACKAGE });
  const manifest = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  const wanted = ["zod", "@types/node"].map((name) => `${name}@${manifest.devDependencies[name] ?? ""}`);
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(CONFIG));
  const tarball = join(folder, stdout.trim());
  const quiet = ["--no-audit", "--no-fund", "--prefer-offline", "--silent"];
  await run("npm", ["install", ...quiet, tarball, ...wanted], { cwd: folder });
  copyFileSync(join(PACKAGE, "examples/weather.ts"), join(folder, "weather.ts"));
  const readme = readFileSync(join(PACKAGE, "README.md"), "utf8");
  for (const [index, [, sample = ""]] of [...readme.matchAll(/```ts\n(.*?)```/gs)].entries()) {
    writeFileSync(join(folder, `sample${index}.ts`), sample);
    samples.push(`sample${index}.js`);
  }
  await run(process.execPath, [join(PACKAGE, "node_modules/typescript/bin/tsc"), "-p", folder]);
});

after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await server.stop();
});

async function play(script: string): Promise<string> {
  const env = { ...process.env, RUNWIRE_SERVER: server.address };
  return (await run(process.execPath, [script], { cwd: folder, env, timeout: 30_000 })).stdout;
}

test("the package has its types, its licence and nothing of the tests", () => {
  const file = (name: string): string => join(folder, "node_modules/runwire", name);
  for (const name of ["README.md", "LICENSE", "dist/index.d.ts", "dist/v1.js"])
    assert.ok(existsSync(file(name)), name);
  for (const name of ["tests", "build", "conformance"]) assert.ok(!existsSync(file(name)), name);
});

test("the example runs from the installed package", async () => {
  assert.match(
    await play("weather.js"),
    /tool {4}get_weather .* -> Lisbon: 21 °C, clear\n.*Lisbon: 21 °C, clear\n/,
  );
});

test("the README's ten lines run from the installed package", async () => {
  assert.match(await play(samples[0] ?? ""), /Lisbon: 21 °C, clear/);
});

test("the README's completions run from the installed package", async () => {
  assert.match(await play(samples[2] ?? ""), /Name a river\..*assistant\n$/s);
});

test("the README's tool host serves until it is told to end", async () => {
  const child = spawn(process.execPath, [samples[1] ?? ""], {
    cwd: folder,
    env: { ...process.env, RUNWIRE_SERVER: server.address },
    stdio: "inherit",
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  using client = new Client(server.address);
  const agent = { name: "clerk", model: "script:tools-1", tools: [{ hosted: "billing.refund" }] };
  const { id } = await client.runs.create(agent, "Refund it");
  assert.equal((await client.runs.wait(id)).state, "succeeded");
  child.kill("SIGTERM");
  assert.equal(await exited, 0);
});
