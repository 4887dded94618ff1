import assert from "node:assert/strict";
import { test } from "node:test";

import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { Metadata, status } from "@grpc/grpc-js";

import { InvalidArgumentError, NotFoundError, ResourceExhaustedError, RunwireError } from "../src/index.js";
import { fromData, fromStatus, isWorthRetrying } from "../src/errors.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema, StatusSchema } from "../src/gen/status_pb.js";
import { ErrorSchema } from "../src/v1.js";

function detail<T extends DescMessage>(name: string, schema: T, message: MessageInitShape<T>): object {
  return {
    typeUrl: `type.googleapis.com/google.rpc.${name}`,
    value: toBinary(schema, create(schema, message)),
  };
}

function trailers(bytes: Uint8Array): Metadata {
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(bytes));
  return metadata;
}

test("a status becomes the error of its code, with all its details", () => {
  const details = [
    detail("ErrorInfo", ErrorInfoSchema, {
      reason: "PROVIDER_RATE_LIMITED",
      metadata: { provider: "openai" },
    }),
    detail("RetryInfo", RetryInfoSchema, { retryDelay: { seconds: 2n, nanos: 500_000_000 } }),
    detail("BadRequest", BadRequestSchema, { fieldViolations: [{ field: "a.b[1]", description: "wrong" }] }),
    detail("Help", ErrorInfoSchema, { reason: "NOT_THIS" }),
  ];
  const bytes = toBinary(StatusSchema, create(StatusSchema, { code: 8, details }));
  const error = fromStatus({
    code: status.RESOURCE_EXHAUSTED,
    details: "slow down",
    metadata: trailers(bytes),
  });
  assert.ok(error instanceof ResourceExhaustedError);
  assert.ok(error instanceof RunwireError);
  const { name, message, code, reason, metadata, retryDelayMs, violations } = error;
  assert.deepEqual(
    { name, message, code, reason, metadata, retryDelayMs, violations },
    {
      name: "ResourceExhaustedError",
      message: "slow down",
      code: "RESOURCE_EXHAUSTED",
      reason: "PROVIDER_RATE_LIMITED",
      metadata: { provider: "openai" },
      retryDelayMs: 2500,
      violations: [{ field: "a.b[1]", description: "wrong" }],
    },
  );
});

test("details that cannot be read leave the code and the message", () => {
  const error = fromStatus({
    code: status.NOT_FOUND,
    details: "gone",
    metadata: trailers(new Uint8Array([255, 1])),
  });
  assert.ok(error instanceof NotFoundError);
  assert.deepEqual([error.message, error.reason, error.retryDelayMs], ["gone", "", undefined]);
});

test("an error in data says the same as a status", () => {
  const error = fromData(
    create(ErrorSchema, { code: 3, reason: "JSON_INVALID", message: "no", metadata: { a: "b" } }),
  );
  assert.ok(error instanceof InvalidArgumentError);
  assert.deepEqual([error.reason, error.metadata], ["JSON_INVALID", { a: "b" }]);
});

test("a code that nobody knows is UNKNOWN", () => {
  assert.equal(fromData(create(ErrorSchema, { code: 77 })).code, "UNKNOWN");
});

test("streams are opened again after what may pass, and not after what stays", () => {
  const worth = (code: number): boolean => isWorthRetrying(fromData(create(ErrorSchema, { code })));
  for (const code of [
    status.UNAVAILABLE,
    status.INTERNAL,
    status.CANCELLED,
    status.RESOURCE_EXHAUSTED,
    status.UNKNOWN,
  ]) {
    assert.ok(worth(code), status[code]);
  }
  for (const code of [status.ABORTED, status.NOT_FOUND, status.PERMISSION_DENIED, status.UNAUTHENTICATED]) {
    assert.ok(!worth(code), status[code]);
  }
  assert.ok(!isWorthRetrying(new TypeError()));
});
