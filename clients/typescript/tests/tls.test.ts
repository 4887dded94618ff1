/** TLS, mutual TLS and bearer tokens, with the real server. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Client, UnavailableError } from "../src/index.js";
import { Server } from "./harness.js";

let folder: string;
const file = (name: string): string => join(folder, name);

function openssl(...options: string[]): void {
  execFileSync("openssl", options, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
}

/** Makes a key and a certificate that the authority has signed. */
function certify(name: string, alternative: string): void {
  const key = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-keyout",
    `${name}.key`,
  ];
  openssl("req", ...key, "-subj", `/CN=${name}`, "-out", `${name}.csr`);
  writeFileSync(file(`${name}.ext`), `subjectAltName=${alternative}\n`);
  const signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1"];
  openssl("x509", "-req", "-in", `${name}.csr`, ...signer, "-extfile", `${name}.ext`, "-out", `${name}.pem`);
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), "runwire-tls-"));
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key"];
  openssl("req", "-x509", ...key, "-subj", "/CN=authority", "-days", "1", "-out", "ca.pem");
  certify("server", "DNS:runwire.test");
  certify("client", "DNS:billing.acme");
});

after(() => rmSync(folder, { recursive: true, force: true }));

const serverTls = (): string => `
[server.tls]
cert = "${file("server.pem")}"
key = "${file("server.key")}"
`;

test("a server is known by its certificate and the name in it", async () => {
  const server = await Server.start(serverTls());
  const tls = { ca: file("ca.pem"), serverName: "runwire.test" };
  using known = new Client(server.address, { tls });
  assert.match((await known.complete("script:echo", "hello")).text, /hello/);
  using unnamed = new Client(`https://${server.address}`, { tls: { ca: readFileSync(file("ca.pem")) } });
  await assert.rejects(unnamed.complete("script:echo", "hello"), UnavailableError);
  using untrusting = new Client(server.address, { tls: true });
  await assert.rejects(untrusting.complete("script:echo", "hello"), UnavailableError);
  assert.equal(await server.stop(), 0);
});

test("a client is known by its own certificate", async () => {
  const server = await Server.start(`${serverTls()}client_ca = "${file("ca.pem")}"
[auth]
mode = "mtls"
[auth.principals."billing.acme"]
scopes = ["completions"]
`);
  const tls = { ca: file("ca.pem"), serverName: "runwire.test" };
  const own = { certificate: file("client.pem"), key: file("client.key") };
  using known = new Client(server.address, { tls: { ...tls, ...own } });
  assert.match((await known.complete("script:echo", "hello")).text, /hello/);
  await assert.rejects(known.runs.get("run_01a2070a6ad772559940ead9015b8fba"), {
    reason: "PERMISSION_DENIED",
  });
  using unknown = new Client(server.address, { tls });
  await assert.rejects(unknown.complete("script:echo", "hello"), UnavailableError);
  assert.equal(await server.stop(), 0);
});
