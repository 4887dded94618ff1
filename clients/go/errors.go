package runwire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runwirev1 "runwire.dev/go/runwire/v1"
)

const errorDomain = "runwire.dev"

// Error is why a call failed, or why something in data failed: a run, a tool call, a tool that was not taken.
//
// Find it with [errors.As]. An error that stands for the end of the caller's context also is [context.Canceled] or
// [context.DeadlineExceeded].
type Error struct {
	// Code is the gRPC code.
	Code codes.Code
	// Reason is the cause. It is empty when something between here and the server answered.
	Reason Reason
	// Message is for developers, in English.
	Message string
	// Metadata has as data what varies in Message.
	Metadata map[string]string
	// RetryDelay is how long to wait before trying again; nil: trying again does not help.
	RetryDelay *time.Duration
	// Violations are the wrong fields of the request.
	Violations []Violation
}

// Violation is a field of a request that is wrong.
type Violation struct {
	// Field is its path, such as params.tools[3].input_schema_json.
	Field string
	// Description says what is wrong with it.
	Description string
}

// Error says why, in one line.
func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("runwire: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("runwire: %s: %s", e.Reason, e.Message)
}

// Is makes [errors.Is] find the end of a context, and any Error that has the code and reason which target has set.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == codes.Canceled
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	}
	wanted, ok := target.(*Error)
	if !ok {
		return false
	}
	return (wanted.Code == codes.OK || wanted.Code == e.Code) && (wanted.Reason == "" || wanted.Reason == e.Reason)
}

// GRPCStatus makes [status.FromError] work.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// RunError says that a run failed. Its Err says why.
type RunError struct {
	// Result is what the run came to.
	Result *Result
	// Err is why it failed.
	Err *Error
}

// Error says why.
func (e *RunError) Error() string { return "the run failed: " + e.Err.Error() }

// Unwrap returns the reason, for [errors.As].
func (e *RunError) Unwrap() error { return e.Err }

// fromRPC turns the error of an RPC into an Error; nil stays nil.
func fromRPC(err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &Error{Code: status.FromContextError(err).Code(), Message: err.Error()}
	}
	from, ok := status.FromError(err)
	if !ok {
		return err
	}
	failed := &Error{Code: from.Code(), Message: from.Message()}
	for _, detail := range from.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == errorDomain {
				failed.Reason, failed.Metadata = Reason(detail.GetReason()), maps.Clone(detail.GetMetadata())
			}
		case *errdetails.RetryInfo:
			delay := detail.GetRetryDelay().AsDuration()
			failed.RetryDelay = &delay
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				failed.Violations = append(failed.Violations, Violation{violation.GetField(), violation.GetDescription()})
			}
		}
	}
	return failed
}

// fromData turns an error inside data into an Error.
func fromData(err *runwirev1.Error) *Error {
	if err == nil {
		return nil
	}
	failed := &Error{
		Code:     codes.Code(err.GetCode()),
		Reason:   Reason(err.GetReason()),
		Message:  err.GetMessage(),
		Metadata: maps.Clone(err.GetMetadata()),
	}
	if err.GetRetryDelay() != nil {
		delay := err.GetRetryDelay().AsDuration()
		failed.RetryDelay = &delay
	}
	return failed
}

// permanent says of the error that ended a stream whether opening it again changes nothing.
func permanent(err error) bool {
	var failed *Error
	if !errors.As(err, &failed) {
		return true
	}
	switch failed.Code {
	case codes.Aborted, codes.FailedPrecondition, codes.InvalidArgument, codes.NotFound, codes.PermissionDenied,
		codes.Unauthenticated, codes.Unimplemented:
		return true
	default:
		return false
	}
}

func retryDelay(err error) time.Duration {
	var failed *Error
	if errors.As(err, &failed) && failed.RetryDelay != nil {
		return *failed.RetryDelay
	}
	return 0
}
