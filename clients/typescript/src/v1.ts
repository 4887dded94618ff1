/** The contract's own messages and services, as protobuf-es generates them: for what the client does not cover. */

export * from "./gen/runwire/v1/completion_service_pb.js";
export * from "./gen/runwire/v1/error_reason_pb.js";
export * from "./gen/runwire/v1/generation_pb.js";
export * from "./gen/runwire/v1/message_pb.js";
export * from "./gen/runwire/v1/model_service_pb.js";
export * from "./gen/runwire/v1/run_pb.js";
export * from "./gen/runwire/v1/run_service_pb.js";
export * from "./gen/runwire/v1/tool_service_pb.js";
