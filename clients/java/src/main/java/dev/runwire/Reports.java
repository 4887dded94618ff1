package dev.runwire;

import dev.runwire.v1.Error;
import dev.runwire.v1.ToolCallRef;
import dev.runwire.v1.ToolCallReport;
import dev.runwire.v1.ToolCallStopped;
import dev.runwire.v1.ToolProgress;
import dev.runwire.v1.ToolResult;
import io.grpc.Status;
import java.util.List;

/** What a host says about a call. */
final class Reports {
  /**
   * A larger report would end the stream, and every other call's with it. The server's is lower.
   */
  private static final int MAX_RESULT_BYTES = 3 << 20;

  private static final int MAX_ERROR_CHARS = 16 << 10;

  private Reports() {}

  static ToolCallReport of(ToolCallRef ref, ToolCallReport.Builder report) {
    return report.setCallId(ref.getCallId()).setAttempt(ref.getAttempt()).build();
  }

  static ToolCallReport unknownTool(ToolCallRef ref) {
    return rejection(
        ref, Status.Code.NOT_FOUND, Reason.TOOL_UNKNOWN, "this host does not have the tool");
  }

  static ToolCallReport draining(ToolCallRef ref) {
    return rejection(
        ref, Status.Code.UNAVAILABLE, Reason.SERVER_DRAINING, "this stream takes no more calls");
  }

  static ToolCallReport.Builder progress(RunEvent.Progress progress) {
    return ToolCallReport.newBuilder()
        .setProgress(
            ToolProgress.newBuilder()
                .setProgress(progress.progress())
                .setTotal(progress.total())
                .setMessage(progress.message()));
  }

  static ToolCallReport.Builder stopped() {
    return ToolCallReport.newBuilder().setStopped(ToolCallStopped.getDefaultInstance());
  }

  /** The host could not do it; the model is told no more than that. */
  static ToolCallReport.Builder crashed() {
    return ToolCallReport.newBuilder()
        .setFailure(error(Status.Code.INTERNAL, Reason.TOOL_FAILED, "the tool crashed"));
  }

  /** An error for the model. */
  static ToolCallReport.Builder failed(ToolCallRef ref, String text) {
    String told = text.length() > MAX_ERROR_CHARS ? text.substring(0, MAX_ERROR_CHARS) : text;
    return result(ref, List.of(Part.text(told)), true);
  }

  /**
   * What a function returned.
   *
   * @throws IllegalArgumentException it has no JSON
   */
  static ToolCallReport.Builder result(ToolCallRef ref, Object returned) {
    ToolCallReport.Builder report = result(ref, partsOf(returned), false);
    int bytes = report.getResult().getSerializedSize();
    return bytes > MAX_RESULT_BYTES
        ? failed(ref, "the tool's result is too large: " + bytes + " bytes")
        : report;
  }

  private static List<Part> partsOf(Object returned) {
    if (returned instanceof String text) {
      return List.of(Part.text(text));
    } else if (returned instanceof Part part) {
      return List.of(part);
    } else if (returned instanceof List<?> list
        && !list.isEmpty()
        && list.stream().allMatch(Part.class::isInstance)) {
      return list.stream().map(Part.class::cast).toList();
    }
    return List.of(Part.text(Json.write(returned)));
  }

  private static ToolCallReport.Builder result(ToolCallRef ref, List<Part> parts, boolean isError) {
    return ToolCallReport.newBuilder()
        .setResult(
            ToolResult.newBuilder()
                .setCallId(ref.getCallId())
                .addAllParts(ToWire.parts(parts))
                .setIsError(isError));
  }

  private static ToolCallReport rejection(
      ToolCallRef ref, Status.Code code, String reason, String message) {
    return of(ref, ToolCallReport.newBuilder().setRejection(error(code, reason, message)));
  }

  private static Error.Builder error(Status.Code code, String reason, String message) {
    return Error.newBuilder().setCode(code.value()).setReason(reason).setMessage(message);
  }
}
