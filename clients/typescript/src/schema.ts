/**
 * Schemas of tools and of answers: plain JSON Schema, or any schema library that follows the Standard Schema
 * specification and can say its JSON Schema, as zod (4.2 or later), ArkType and Valibot do.
 */

import { parseJson, stringifyJson, type JsonValue } from "./json.js";

/** A JSON Schema (2020-12) of an object. Its key order reaches the model. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A problem that a schema has found. */
export interface SchemaIssue {
  /** What is wrong. */
  readonly message: string;
  /** Where. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A schema of a library: it validates, and it can say its JSON Schema. */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** The specification's own member. */
  readonly "~standard": {
    /** The specification's version. */
    readonly version: 1;
    /** The library. */
    readonly vendor: string;
    /** The types that it stands for; there at compile time only. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    /** Validates and converts. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    /** Says the JSON Schema. */
    readonly jsonSchema: {
      /** Of what goes in. */
      readonly input: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown>;
    };
  };
}

/** What validation gives. */
export type SchemaResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly SchemaIssue[] };

/** A schema in either form. */
export type Schema = StandardSchema | JsonSchema;

/** The type of what a schema has accepted. Plain JSON Schema says nothing of types. */
export type Infer<S> = S extends { readonly "~standard": { readonly types?: infer Types } }
  ? NonNullable<Types> extends { readonly output: infer Output }
    ? Output
    : never
  : JsonArguments;

/** Arguments without a type: what the model has written, integers exact. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the schema is checked elsewhere, the reader knows it
export type JsonArguments = Record<string, any>;

/** Arguments that do not fit, in words for the model. */
export class ArgumentsError extends Error {}

/**
 * The JSON Schema of a schema, as text.
 *
 * @throws TypeError The schema's library cannot say it.
 */
export function schemaText(schema: Schema): string {
  return stringifyJson(isStandard(schema) ? describe(schema) : schema) ?? "{}";
}

/**
 * Parses and validates arguments. With plain JSON Schema the server has validated them.
 *
 * @throws ArgumentsError They do not fit.
 */
export async function parseArguments(schema: Schema, text: string): Promise<unknown> {
  let value: JsonValue;
  try {
    value = parseJson(text || "{}");
  } catch {
    throw new ArgumentsError("they are not JSON");
  }
  if (!isStandard(schema)) return value;
  const result = await schema["~standard"].validate(value);
  if (result.issues) throw new ArgumentsError(result.issues.map(describeIssue).join("; "));
  return result.value;
}

function isStandard(schema: Schema): schema is StandardSchema {
  return "~standard" in schema;
}

function describe(schema: StandardSchema): Record<string, unknown> {
  const { vendor, jsonSchema } = schema["~standard"] as Partial<StandardSchema["~standard"]>;
  if (!jsonSchema) {
    throw new TypeError(`this version of ${vendor} cannot say its JSON Schema: pass the JSON Schema itself`);
  }
  const { $schema, ...described } = jsonSchema.input({ target: "draft-2020-12" });
  return described;
}

function describeIssue({ path, message }: SchemaIssue): string {
  const where = path?.map((step) => String(typeof step === "object" ? step.key : step)).join(".");
  return where ? `${where}: ${message}` : message;
}
