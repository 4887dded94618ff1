package dev.runwire;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * A call failed, or data says that something failed: a run, a tool call, a tool that was not taken.
 *
 * <p>Its subclasses are gRPC's codes, for catching by kind.
 */
public class RunwireException extends RuntimeException {
  private static final long serialVersionUID = 1;
  private static final String DOMAIN = "runwire.dev";

  /** Trying again changes nothing about these. */
  private static final Set<Status.Code> PERMANENT =
      Set.of(
          Status.Code.ABORTED,
          Status.Code.FAILED_PRECONDITION,
          Status.Code.INVALID_ARGUMENT,
          Status.Code.NOT_FOUND,
          Status.Code.PERMISSION_DENIED,
          Status.Code.UNAUTHENTICATED,
          Status.Code.UNIMPLEMENTED);

  private final Details details;

  RunwireException(Details details) {
    super(details.describe(), details.cause());
    this.details = details;
  }

  /** The gRPC code. */
  public Status.Code code() {
    return details.code();
  }

  /**
   * The cause, one of {@link Reason}'s or a newer one. Empty when something between here and the
   * server answered.
   */
  public String reason() {
    return details.reason();
  }

  /** What varies in the message, as data. */
  public Map<String, String> metadata() {
    return details.metadata();
  }

  /** How long to wait before trying again. Empty: trying again does not help. */
  public Optional<java.time.Duration> retryDelay() {
    return Optional.ofNullable(details.retryDelay());
  }

  /** The wrong fields of the request. */
  public List<Violation> violations() {
    return details.violations();
  }

  /**
   * A field of a request that is wrong.
   *
   * @param field its path, such as {@code params.tools[3].input_schema_json}
   * @param description what is wrong with it
   */
  public record Violation(String field, String description) implements Serializable {}

  /** Whether a stream that ended so cannot be opened again with another result. */
  boolean isPermanent() {
    return PERMANENT.contains(code());
  }

  Details details() {
    return details;
  }

  static RunwireException of(Status.Code code, String reason, String message) {
    return of(new Details(code, reason, message, Map.of(), null, List.of(), null));
  }

  static RunwireException cancelled(String message) {
    return of(Status.Code.CANCELLED, Reason.CANCELLED, message);
  }

  static RunwireException of(Details details) {
    return switch (details.code()) {
      case CANCELLED -> new CancelledException(details);
      case INVALID_ARGUMENT -> new InvalidArgumentException(details);
      case DEADLINE_EXCEEDED -> new DeadlineExceededException(details);
      case NOT_FOUND -> new NotFoundException(details);
      case PERMISSION_DENIED -> new PermissionDeniedException(details);
      case RESOURCE_EXHAUSTED -> new ResourceExhaustedException(details);
      case FAILED_PRECONDITION -> new FailedPreconditionException(details);
      case ABORTED -> new AbortedException(details);
      case UNIMPLEMENTED -> new UnimplementedException(details);
      case INTERNAL -> new InternalException(details);
      case UNAVAILABLE -> new UnavailableException(details);
      case UNAUTHENTICATED -> new UnauthenticatedException(details);
      case OK, UNKNOWN, ALREADY_EXISTS, OUT_OF_RANGE, DATA_LOSS -> new RunwireException(details);
    };
  }

  /** Types what a call has thrown. */
  static RunwireException from(Throwable thrown) {
    if (thrown instanceof RunwireException known) {
      return known;
    }
    if (thrown instanceof StatusRuntimeException || thrown instanceof StatusException) {
      Status status = Status.fromThrowable(thrown);
      String message = status.getDescription();
      return of(
          detailed(status.getCode(), message == null ? "" : message, statusProto(thrown), thrown));
    }
    Details unknown =
        new Details(
            Status.Code.UNKNOWN,
            "",
            String.valueOf(thrown.getMessage()),
            Map.of(),
            null,
            List.of(),
            thrown);
    return of(unknown);
  }

  /** Turns an error inside data (a failed run, a rejected tool) into an exception. */
  static RunwireException fromData(dev.runwire.v1.Error error) {
    return of(
        new Details(
            Status.fromCodeValue(error.getCode()).getCode(),
            error.getReason(),
            error.getMessage(),
            Map.copyOf(error.getMetadataMap()),
            error.hasRetryDelay() ? toDuration(error.getRetryDelay()) : null,
            List.of(),
            null));
  }

  static java.time.Duration toDuration(Duration duration) {
    return java.time.Duration.ofSeconds(duration.getSeconds(), duration.getNanos());
  }

  private static com.google.rpc.Status statusProto(Throwable thrown) {
    try {
      com.google.rpc.Status status = StatusProto.fromThrowable(thrown);
      return status == null ? com.google.rpc.Status.getDefaultInstance() : status;
    } catch (RuntimeException e) {
      // A proxy's, or cut: the code and message stand on their own.
      return com.google.rpc.Status.getDefaultInstance();
    }
  }

  private static Details detailed(
      Status.Code code, String message, com.google.rpc.Status status, Throwable cause) {
    ErrorInfo info =
        find(status, ErrorInfo.class)
            .filter(found -> found.getDomain().equals(DOMAIN))
            .orElse(ErrorInfo.getDefaultInstance());
    List<Violation> violations = new ArrayList<>();
    find(status, BadRequest.class)
        .map(BadRequest::getFieldViolationsList)
        .orElse(List.of())
        .forEach(wrong -> violations.add(new Violation(wrong.getField(), wrong.getDescription())));
    return new Details(
        code,
        info.getReason(),
        message,
        Map.copyOf(info.getMetadataMap()),
        find(status, RetryInfo.class).map(retry -> toDuration(retry.getRetryDelay())).orElse(null),
        List.copyOf(violations),
        cause);
  }

  /** A detail of this kind; one that cannot be read is as none: the others stand. */
  private static <T extends com.google.protobuf.Message> Optional<T> find(
      com.google.rpc.Status status, Class<T> kind) {
    for (Any detail : status.getDetailsList()) {
      try {
        if (detail.is(kind)) {
          return Optional.of(detail.unpack(kind));
        }
      } catch (InvalidProtocolBufferException e) {
        return Optional.empty();
      }
    }
    return Optional.empty();
  }

  /** What an exception carries. */
  record Details(
      Status.Code code,
      String reason,
      String message,
      Map<String, String> metadata,
      java.time.Duration retryDelay,
      List<Violation> violations,
      Throwable cause)
      implements Serializable {
    private String describe() {
      return (reason.isEmpty() ? code.name() : reason) + ": " + message;
    }
  }

  /** It was cancelled. */
  public static final class CancelledException extends RunwireException {
    private static final long serialVersionUID = 1;

    CancelledException(Details details) {
      super(details);
    }
  }

  /** The request is wrong, whatever the state of the system. */
  public static final class InvalidArgumentException extends RunwireException {
    private static final long serialVersionUID = 1;

    InvalidArgumentException(Details details) {
      super(details);
    }
  }

  /** Time ran out. */
  public static final class DeadlineExceededException extends RunwireException {
    private static final long serialVersionUID = 1;

    DeadlineExceededException(Details details) {
      super(details);
    }
  }

  /** No such thing, or none that the caller may know of. */
  public static final class NotFoundException extends RunwireException {
    private static final long serialVersionUID = 1;

    NotFoundException(Details details) {
      super(details);
    }
  }

  /** The caller is known and may not do this. */
  public static final class PermissionDeniedException extends RunwireException {
    private static final long serialVersionUID = 1;

    PermissionDeniedException(Details details) {
      super(details);
    }
  }

  /** A quota or limit is used up. */
  public static final class ResourceExhaustedException extends RunwireException {
    private static final long serialVersionUID = 1;

    ResourceExhaustedException(Details details) {
      super(details);
    }
  }

  /** The system is not in a state for it; somebody must act first. */
  public static final class FailedPreconditionException extends RunwireException {
    private static final long serialVersionUID = 1;

    FailedPreconditionException(Details details) {
      super(details);
    }
  }

  /** A concurrent change won. */
  public static final class AbortedException extends RunwireException {
    private static final long serialVersionUID = 1;

    AbortedException(Details details) {
      super(details);
    }
  }

  /** The server does not know this call. */
  public static final class UnimplementedException extends RunwireException {
    private static final long serialVersionUID = 1;

    UnimplementedException(Details details) {
      super(details);
    }
  }

  /** A defect of the server. */
  public static final class InternalException extends RunwireException {
    private static final long serialVersionUID = 1;

    InternalException(Details details) {
      super(details);
    }
  }

  /** It may work in a moment. */
  public static final class UnavailableException extends RunwireException {
    private static final long serialVersionUID = 1;

    UnavailableException(Details details) {
      super(details);
    }
  }

  /** The caller is not known. */
  public static final class UnauthenticatedException extends RunwireException {
    private static final long serialVersionUID = 1;

    UnauthenticatedException(Details details) {
      super(details);
    }
  }
}
