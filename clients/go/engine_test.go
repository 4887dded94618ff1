package runwire

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// recorder is a session that keeps what it is told.
type recorder struct {
	mu      sync.Mutex
	reports []*runwirev1.ToolCallReport
}

func (r *recorder) report(report *runwirev1.ToolCallReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, report)
}

// kinds names the reports since the last time it was asked.
func (r *recorder) kinds() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, report := range r.reports {
		name := "?"
		switch report.GetReport().(type) {
		case *runwirev1.ToolCallReport_Acceptance:
			name = "acceptance"
		case *runwirev1.ToolCallReport_Rejection:
			name = "rejection " + report.GetRejection().GetReason()
		case *runwirev1.ToolCallReport_Progress:
			name = "progress"
		case *runwirev1.ToolCallReport_Result:
			name = "result"
			if report.GetResult().GetIsError() {
				name = "error"
			}
			name += " " + textOf(report.GetResult().GetParts())
		case *runwirev1.ToolCallReport_Failure:
			name = "failure " + report.GetFailure().GetMessage()
		case *runwirev1.ToolCallReport_Stopped:
			name = "stopped"
		}
		names = append(names, name)
	}
	r.reports = nil
	return strings.Join(names, ", ")
}

// stage is an engine with one tool and one session. Its tests run in a bubble of their own time.
type stage struct {
	*testing.T
	*engine
	session *recorder
	begun   int
}

func play(t *testing.T, test func(*stage), function func(context.Context, *stage) (string, error), options ...ToolOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{T: t, session: &recorder{}}
		tool := MustTool("act", "Act.", func(ctx context.Context, _ struct{}) (string, error) {
			s.begun++
			return function(ctx, s)
		}, options...)
		s.engine = newEngine(t.Context(), []*Tool{tool}, slog.New(slog.DiscardHandler))
		s.prepare(s.session)
		s.connect(s.session)
		test(s)
		s.abort()
	})
}

func done(context.Context, *stage) (string, error) { return "done", nil }

func untilStopped(ctx context.Context, _ *stage) (string, error) {
	<-ctx.Done()
	return "", context.Cause(ctx)
}

func (s *stage) assign(attempt int32, in session) {
	s.engine.command(in, &runwirev1.HostCommand{Command: &runwirev1.HostCommand_Assignment{
		Assignment: &runwirev1.ToolCallAssignment{
			Call:    &ToolCall{Id: "call", Name: "act", ArgumentsJson: "{}"},
			Attempt: attempt,
			Timeout: durationpb.New(time.Minute),
		},
	}})
	synctest.Wait()
}

func (s *stage) receipt(attempt int32, disposition runwirev1.ToolCallReceipt_Disposition) {
	s.engine.command(s.session, &runwirev1.HostCommand{Command: &runwirev1.HostCommand_Receipt{
		Receipt: &runwirev1.ToolCallReceipt{CallId: "call", Attempt: attempt, Disposition: disposition},
	}})
	synctest.Wait()
}

func (s *stage) applied() { s.receipt(1, runwirev1.ToolCallReceipt_DISPOSITION_APPLIED) }

func (s *stage) cancelCall() {
	s.engine.command(s.session, &runwirev1.HostCommand{Command: &runwirev1.HostCommand_Cancellation{
		Cancellation: &runwirev1.ToolCallCancellation{CallId: "call", Attempt: 1},
	}})
	synctest.Wait()
}

func (s *stage) want(reports string) {
	s.Helper()
	if got := s.session.kinds(); got != reports {
		s.Errorf("reports: %q, want %q", got, reports)
	}
}

func (s *stage) wantBegun(times int) {
	s.Helper()
	if s.begun != times {
		s.Errorf("begun %d times, want %d", s.begun, times)
	}
}

func (s *stage) wantIdle(idle bool) {
	s.Helper()
	select {
	case <-s.quiet():
		if !idle {
			s.Error("idle, and should not be")
		}
	default:
		if idle {
			s.Error("not idle")
		}
	}
}

func TestAToolThatRunsAtMostOnceBeginsOnlyAfterTheReceiptOfItsAcceptance(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.want("acceptance")
		s.wantBegun(0)
		s.applied()
		s.want("result done")
		s.wantBegun(1)
		s.wantIdle(false)
		s.applied()
		s.wantIdle(true)
	}, done)
}

func TestAnIdempotentToolBeginsAtOnce(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.want("acceptance, result done")
		s.applied()
		s.wantIdle(false)
		s.applied()
		s.wantIdle(true)
	}, done, Idempotent())
}

func TestACallThatIsAssignedTwiceRunsOnce(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.assign(1, s.session)
		s.applied()
		s.want("acceptance, result done")
		s.wantBegun(1)
	}, done)
}

func TestACallWhoseAcceptanceIsStaleNeverBegins(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.receipt(1, runwirev1.ToolCallReceipt_DISPOSITION_STALE)
		s.want("acceptance")
		s.wantBegun(0)
		s.wantIdle(true)
	}, done)
}

func TestANewerDeliveryFencesTheOlder(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.applied()
		s.assign(2, s.session)
		s.want("acceptance, acceptance")
		s.receipt(2, runwirev1.ToolCallReceipt_DISPOSITION_APPLIED)
		s.wantBegun(2)
		if len(s.calls) != 1 {
			s.Errorf("%d calls, want the newer one alone", len(s.calls))
		}
	}, untilStopped)
}

func TestWhatHasNoReceiptIsSentAgainOnTheNextSession(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.want("acceptance")
		s.disconnect(s.session)
		next := &recorder{}
		inFlight := s.prepare(next)
		if len(inFlight) != 1 || inFlight[0].GetCallId() != "call" || inFlight[0].GetAttempt() != 1 {
			s.Errorf("in flight: %v", inFlight)
		}
		older := s.session
		s.session = next
		s.connect(next)
		s.want("acceptance")
		s.applied()
		s.want("result done")

		s.prepare(s.session)
		s.connect(s.session)
		s.want("result done")
		s.wantBegun(1)
		s.applied()
		s.wantIdle(true)
		if got := older.kinds(); got != "" {
			s.Errorf("the lost session was told %q", got)
		}
	}, done)
}

func TestACallGoesOnWhileThereIsNoSession(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.disconnect(s.session)
		s.want("acceptance")
		time.Sleep(2 * time.Second) // The bubble's.
		next := &recorder{}
		s.prepare(next)
		s.session = next
		s.connect(next)
		s.want("result done")
	}, func(context.Context, *stage) (string, error) {
		time.Sleep(time.Second)
		return "done", nil
	}, ReadOnly())
}

func TestAReceiptOfAnOlderSessionSaysNothing(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		older, next := s.session, &recorder{}
		s.prepare(next)
		s.connect(next)
		s.session = older
		s.applied()
		s.wantBegun(0)
	}, done)
}

func TestWhatCannotBeTakenIsRejected(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, &recorder{})
		s.want("")
		s.refuse()
		s.assign(1, s.session)
		s.want("rejection SERVER_DRAINING")
		delete(s.tools, "act")
		s.assign(1, s.session)
		s.want("rejection TOOL_UNKNOWN")
		s.wantIdle(true)
	}, done)
}

func TestACallThatIsCancelledBeforeItBeginsIsStopped(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.cancelCall()
		s.want("acceptance, stopped")
		s.applied()
		s.wantBegun(0)
		s.applied()
		s.wantIdle(true)
	}, done)
}

func TestACallThatIsCancelledEndsItsContext(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.applied()
		s.cancelCall()
		s.want("acceptance, stopped")
	}, untilStopped)
}

func TestAResultThatIsFasterThanItsCancellationIsReported(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.applied()
		s.cancelCall()
		s.want("acceptance, result done anyway")
	}, func(ctx context.Context, _ *stage) (string, error) {
		<-ctx.Done()
		return "done anyway", nil
	})
}

func TestTheDeadlineReachesTheFunctionAndTheModelHearsOfIt(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.applied()
		time.Sleep(59 * time.Second) // The bubble's.
		s.want("acceptance")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s.want("error the tool did not finish in time; it may still be running")
	}, func(ctx context.Context, _ *stage) (string, error) {
		<-ctx.Done()
		time.Sleep(time.Second) // Does not heed it at once.
		return "too late", nil
	})
}

func TestWhatAToolDoesWrongIsToldWithoutATrace(t *testing.T) {
	for name, wrong := range map[string]struct {
		function func(context.Context, *stage) (string, error)
		report   string
	}{
		"an error": {
			func(context.Context, *stage) (string, error) { return "", errors.New("no such file") },
			"error no such file",
		},
		"a panic": {
			func(context.Context, *stage) (string, error) { panic("the secret") },
			"failure the tool crashed",
		},
		"an end of its goroutine": {
			func(context.Context, *stage) (string, error) { runtime.Goexit(); return "", nil },
			"failure the tool crashed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.assign(1, s.session)
				s.applied()
				s.want("acceptance, " + wrong.report)
			}, wrong.function)
		})
	}
}

func TestProgressIsReportedWhileTheCallRuns(t *testing.T) {
	play(t, func(s *stage) {
		s.assign(1, s.session)
		s.applied()
		s.want("acceptance, progress, result call 1 true")
	}, func(ctx context.Context, _ *stage) (string, error) {
		Progress(ctx, 1, 2, "half")
		call, ok := CallFrom(ctx)
		if !ok || call.Attempt != 1 {
			return "", errors.New("no call")
		}
		_, bounded := ctx.Deadline()
		return map[bool]string{true: call.ID + " 1 true", false: "no deadline"}[bounded], nil
	})
}

func TestOutsideOfToolsThereIsNoCall(t *testing.T) {
	Progress(t.Context(), 1, 2, "half")
	if call, ok := CallFrom(t.Context()); ok {
		t.Errorf("a call: %v", call)
	}
}
