package runwire

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	runwirev1 "runwire.dev/go/runwire/v1"
)

func TestTheReasonsAreThoseOfTheContract(t *testing.T) {
	source, err := os.ReadFile("reason.go")
	if err != nil {
		t.Fatal(err)
	}
	here := map[string]bool{}
	for _, found := range regexp.MustCompile(`Reason = "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		here[found[1]] = true
	}
	for number, name := range runwirev1.ErrorReason_name {
		name = strings.TrimPrefix(name, "ERROR_REASON_")
		if number != 0 && !here[name] {
			t.Errorf("reason.go lacks %s", name)
		}
		delete(here, name)
	}
	for name := range here {
		t.Errorf("the contract has no %s", name)
	}
}

func TestTheDetailsOfAStatusAreTheFieldsOfTheError(t *testing.T) {
	from, err := status.New(codes.InvalidArgument, "wrong").WithDetails(
		&errdetails.ErrorInfo{Reason: "INVALID_REQUEST", Domain: "runwire.dev", Metadata: map[string]string{"tool": "a"}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "f", Description: "d"}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	var failed *Error
	if !errors.As(fromRPC(from.Err()), &failed) {
		t.Fatal("no Error")
	}
	if failed.Code != codes.InvalidArgument || failed.Reason != ReasonInvalidRequest || failed.Message != "wrong" ||
		failed.Metadata["tool"] != "a" || *failed.RetryDelay != time.Second || failed.Violations[0] != (Violation{"f", "d"}) {
		t.Errorf("got %+v", failed)
	}
	if got := status.Code(failed); got != codes.InvalidArgument {
		t.Errorf("as a status it is %s", got)
	}
}

func TestAReasonOfAnotherDomainIsNotOurs(t *testing.T) {
	from, err := status.New(codes.Unavailable, "down").WithDetails(
		&errdetails.ErrorInfo{Reason: "UPSTREAM_RESET", Domain: "proxy.example"})
	if err != nil {
		t.Fatal(err)
	}
	var failed *Error
	if !errors.As(fromRPC(from.Err()), &failed) || failed.Reason != "" || failed.RetryDelay != nil {
		t.Errorf("got %+v", failed)
	}
}

func TestErrorsAreFoundByWhatTheyAre(t *testing.T) {
	limited := &Error{Code: codes.ResourceExhausted, Reason: ReasonProviderRateLimited}
	for name, check := range map[string]struct {
		err, target error
		want        bool
	}{
		"the end of a context":       {fromRPC(context.Canceled), context.Canceled, true},
		"its deadline":               {fromRPC(context.DeadlineExceeded), context.DeadlineExceeded, true},
		"the server's deadline":      {&Error{Code: codes.DeadlineExceeded}, context.DeadlineExceeded, true},
		"another code":               {limited, context.Canceled, false},
		"a reason":                   {limited, &Error{Reason: ReasonProviderRateLimited}, true},
		"another reason":             {limited, &Error{Reason: ReasonNoHost}, false},
		"a code":                     {limited, &Error{Code: codes.ResourceExhausted}, true},
		"another code, set":          {limited, &Error{Code: codes.NotFound}, false},
		"the reason of a failed run": {&RunError{Err: limited}, &Error{Reason: ReasonProviderRateLimited}, true},
	} {
		if got := errors.Is(check.err, check.target); got != check.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOnlyWhatMayChangeIsTriedAgain(t *testing.T) {
	for code, want := range map[codes.Code]bool{
		codes.Unavailable: false, codes.ResourceExhausted: false, codes.Internal: false, codes.DeadlineExceeded: false,
		codes.Aborted: true, codes.NotFound: true, codes.InvalidArgument: true, codes.PermissionDenied: true,
		codes.Unauthenticated: true, codes.Unimplemented: true, codes.FailedPrecondition: true,
	} {
		if got := permanent(&Error{Code: code}); got != want {
			t.Errorf("%s: %v", code, got)
		}
	}
	if !permanent(errors.New("not of an RPC")) {
		t.Error("an error that is not of an RPC is tried again")
	}
}
