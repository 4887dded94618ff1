package runwire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// engine runs the calls of one host, or of one attached run: calls in, reports out. It knows nothing of gRPC.
//
// A session is one stream: the engine sends reports into the current one and is told the commands that come out of
// it. Calls outlive sessions; a report is kept until its receipt.
//
// The rule that makes "at most once" true stands here and nowhere else: a tool that is neither read-only nor
// idempotent starts only after the receipt of its acceptance.
type engine struct {
	base   context.Context // holds values for the tools, and never ends
	tools  map[string]*Tool
	logger *slog.Logger

	mu       sync.Mutex
	calls    map[callKey]*call
	current  session
	newest   session
	refusing bool
	idle     chan struct{} // closed while there are no calls
}

// session is one stream to the server.
type session interface {
	// report queues a report. It never waits; on a broken stream it does nothing.
	report(*runwirev1.ToolCallReport)
}

type callKey struct {
	id      string
	attempt int32
}

type phase int

const (
	accepting phase = iota // The acceptance has no receipt yet, and the tool has not begun.
	running
	reported // The last report has no receipt yet.
)

type call struct {
	key        callKey
	tool       *Tool
	assignment *runwirev1.ToolCallAssignment
	ctx        context.Context
	cancel     context.CancelCauseFunc
	deadline   time.Time // zero: none
	phase      phase
	accepted   bool
	cancelled  bool
	last       *runwirev1.ToolCallReport
	// Reports sent on the current session and not receipted, in order: a receipt does not say of which.
	unreceipted []*runwirev1.ToolCallReport
}

var (
	errCancelled  = errors.New("the call was cancelled")
	errSuperseded = errors.New("another delivery of the call has taken its place")
	errAborted    = errors.New("the host has ended")
	errCrashed    = errors.New("the tool crashed")
)

func newEngine(ctx context.Context, tools []*Tool, logger *slog.Logger) *engine {
	e := &engine{
		base: context.WithoutCancel(ctx), tools: map[string]*Tool{}, logger: logger,
		calls: map[callKey]*call{}, idle: make(chan struct{}),
	}
	for _, tool := range tools {
		e.tools[tool.Name()] = tool
	}
	close(e.idle)
	return e
}

// --- the session's side ---

// prepare announces a session and lists what runs here or lacks its last receipt, to register with. From now on, what
// older sessions assign is rejected: the list would not have it.
func (e *engine) prepare(s session) []*runwirev1.ToolCallRef {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.newest = s
	inFlight := make([]*runwirev1.ToolCallRef, 0, len(e.calls))
	for key := range e.calls {
		inFlight = append(inFlight, &runwirev1.ToolCallRef{CallId: key.id, Attempt: key.attempt})
	}
	return inFlight
}

// connect makes a session the current one and sends again what has no receipt.
func (e *engine) connect(s session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current = s
	for _, c := range e.calls {
		c.unreceipted = nil
		if c.phase == reported {
			e.send(c, c.last)
		} else if !c.accepted {
			e.accept(c)
		}
	}
}

// disconnect stops sending into a session. Calls go on.
func (e *engine) disconnect(s session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == s {
		e.current = nil
	}
}

// command takes a command. Unknown ones are ignored; go-away and heartbeats are the session's matter.
func (e *engine) command(s session, command *runwirev1.HostCommand) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch command := command.GetCommand().(type) {
	case *runwirev1.HostCommand_Assignment:
		e.assign(s, command.Assignment)
	case *runwirev1.HostCommand_Cancellation:
		e.stop(command.Cancellation)
	case *runwirev1.HostCommand_Receipt:
		// One of an older session that overlaps with this one says nothing: the report went out again here.
		if s == e.current {
			e.receipt(command.Receipt)
		}
	}
}

// --- the host's side ---

// refuse takes no more calls; assignments that are on their way are rejected.
func (e *engine) refuse() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refusing = true
}

// quiet returns a channel that is closed when no call runs and every report has its receipt.
func (e *engine) quiet() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.idle
}

// abort cancels what runs, without reports: the server's grace decides about these calls.
func (e *engine) abort() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.calls {
		c.cancel(errAborted)
		e.forget(c)
	}
}

// --- commands; with the lock held ---

func (e *engine) assign(s session, assignment *runwirev1.ToolCallAssignment) {
	key := callKey{assignment.GetCall().GetId(), assignment.GetAttempt()}
	if _, ok := e.calls[key]; ok {
		return // Delivered twice: it runs, and its reports go out.
	}
	tool := e.tools[assignment.GetCall().GetName()]
	if tool == nil || tool.definition.GetVersion() != assignment.GetToolVersion() {
		s.report(rejection(key, codes.NotFound, ReasonToolUnknown, "this host does not have the tool"))
		return
	}
	if e.refusing || s != e.newest {
		s.report(rejection(key, codes.Unavailable, ReasonServerDraining, "this stream takes no more calls"))
		return
	}
	for _, older := range e.calls {
		if older.key.id == key.id {
			e.drop(older) // Fenced: its reports are stale.
		}
	}
	c := e.newCall(key, tool, assignment)
	if len(e.calls) == 0 {
		e.idle = make(chan struct{})
	}
	e.calls[key] = c
	e.accept(c)
	if tool.mayRunAgain() {
		e.begin(c)
	}
}

func (e *engine) receipt(receipt *runwirev1.ToolCallReceipt) {
	c := e.calls[callKey{receipt.GetCallId(), receipt.GetAttempt()}]
	if c == nil || len(c.unreceipted) == 0 {
		return
	}
	of := c.unreceipted[0]
	c.unreceipted = c.unreceipted[1:]
	if of.GetAcceptance() == nil {
		e.forget(c)
		return
	}
	switch receipt.GetDisposition() {
	case runwirev1.ToolCallReceipt_DISPOSITION_APPLIED, runwirev1.ToolCallReceipt_DISPOSITION_DUPLICATE:
		c.accepted = true
		if c.phase == accepting && !c.cancelled {
			e.begin(c)
		}
	default:
		e.drop(c) // Stale: another delivery has taken its place.
	}
}

func (e *engine) stop(cancellation *runwirev1.ToolCallCancellation) {
	c := e.calls[callKey{cancellation.GetCallId(), cancellation.GetAttempt()}]
	if c == nil || c.cancelled {
		return
	}
	c.cancelled = true
	c.cancel(errCancelled)
	if c.phase == accepting {
		e.finish(c, stopped())
	}
}

// --- execution ---

func (e *engine) newCall(key callKey, tool *Tool, assignment *runwirev1.ToolCallAssignment) *call {
	c := &call{key: key, tool: tool, assignment: assignment}
	ctx := continued(e.base, assignment)
	ctx, c.cancel = context.WithCancelCause(ctx)
	c.ctx = context.WithValue(ctx, callContextKey{}, callContext{
		call: Call{
			ID:        key.id,
			Attempt:   int(key.attempt),
			RunID:     assignment.GetRunId(),
			AgentName: assignment.GetAgentName(),
			Labels:    assignment.GetLabels(),
			Principal: assignment.GetPrincipal(),
		},
		progress: func(progress *runwirev1.ToolProgress) { e.progress(c, progress) },
	})
	if assignment.GetTimeout() != nil {
		c.deadline = time.Now().Add(assignment.GetTimeout().AsDuration())
	}
	return c
}

// begin starts a call; with the lock held.
func (e *engine) begin(c *call) {
	c.phase = running
	go e.run(c)
}

// run calls the function, and reports what comes of it or that its time is over, whichever is first. A function that
// does not heed its context goes on by itself.
func (e *engine) run(c *call) {
	defer c.cancel(nil)
	ctx, over := c.ctx, (<-chan time.Time)(nil)
	if !c.deadline.IsZero() {
		var release context.CancelFunc
		ctx, release = context.WithDeadline(ctx, c.deadline)
		defer release()
		timer := time.NewTimer(time.Until(c.deadline))
		defer timer.Stop()
		over = timer.C
	}
	done := make(chan *runwirev1.ToolCallReport, 1)
	go func() {
		report := crashed() // Of a function that ends its goroutine.
		defer func() { done <- report }()
		report = e.invoke(ctx, c)
	}()
	select {
	case report := <-done:
		e.finishRun(c, report)
	case <-over:
		e.finishRun(c, failedResult(c.key.id, "the tool did not finish in time; it may still be running"))
	}
}

func (e *engine) invoke(ctx context.Context, c *call) *runwirev1.ToolCallReport {
	parts, err := e.contained(ctx, c)
	switch {
	case err == nil:
		result := &runwirev1.ToolResult{CallId: c.key.id, Parts: parts}
		return &runwirev1.ToolCallReport{Report: &runwirev1.ToolCallReport_Result{Result: result}}
	case errors.Is(context.Cause(c.ctx), errCancelled):
		return stopped()
	case errors.Is(err, errCrashed):
		return crashed()
	default:
		return failedResult(c.key.id, err.Error())
	}
}

// contained calls the function and survives its panics. What a panic says may hold arguments: of it only the runtime's
// own words are logged.
func (e *engine) contained(ctx context.Context, c *call) (parts []*Part, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		cause := "the function ended its goroutine"
		switch value := recover().(type) {
		case nil:
		case runtime.Error:
			cause = value.Error()
		default:
			cause = fmt.Sprintf("panic with a %T", value)
		}
		e.logger.Error("tool crashed",
			"tool.name", c.tool.Name(), "call.id", c.key.id, "cause", cause, "stack", string(debug.Stack()))
		parts, err = nil, errCrashed
	}()
	parts, err = c.tool.invoke(ctx, c.assignment.GetCall().GetArgumentsJson())
	returned = true
	return parts, err
}

// --- reports ---

func (e *engine) progress(c *call, progress *runwirev1.ToolProgress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.calls[c.key] == c && c.phase == running && e.current != nil {
		e.current.report(&runwirev1.ToolCallReport{
			CallId: c.key.id, Attempt: c.key.attempt, Report: &runwirev1.ToolCallReport_Progress{Progress: progress},
		})
	}
}

func (e *engine) finishRun(c *call, report *runwirev1.ToolCallReport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.finish(c, report)
}

// finish makes a report the call's last; with the lock held, as all below.
func (e *engine) finish(c *call, report *runwirev1.ToolCallReport) {
	if e.calls[c.key] != c {
		return // Superseded meanwhile.
	}
	c.phase, c.last = reported, report
	e.send(c, report)
}

func (e *engine) accept(c *call) {
	acceptance := &runwirev1.ToolCallReport_Acceptance{Acceptance: &runwirev1.ToolCallAcceptance{}}
	e.send(c, &runwirev1.ToolCallReport{Report: acceptance})
}

func (e *engine) send(c *call, report *runwirev1.ToolCallReport) {
	report.CallId, report.Attempt = c.key.id, c.key.attempt
	if e.current != nil {
		c.unreceipted = append(c.unreceipted, report)
		e.current.report(report)
	}
}

func (e *engine) drop(c *call) {
	c.cancelled = true
	c.cancel(errSuperseded)
	e.forget(c)
}

func (e *engine) forget(c *call) {
	if e.calls[c.key] != c {
		return
	}
	delete(e.calls, c.key)
	if len(e.calls) == 0 {
		close(e.idle)
	}
}

func stopped() *runwirev1.ToolCallReport {
	report := &runwirev1.ToolCallReport_Stopped{Stopped: &runwirev1.ToolCallStopped{}}
	return &runwirev1.ToolCallReport{Report: report}
}

func crashed() *runwirev1.ToolCallReport {
	failure := &runwirev1.Error{
		Code: int32(codes.Internal), Reason: string(ReasonToolFailed), Message: errCrashed.Error(),
	}
	return &runwirev1.ToolCallReport{Report: &runwirev1.ToolCallReport_Failure{Failure: failure}}
}

func failedResult(callID, text string) *runwirev1.ToolCallReport {
	result := &runwirev1.ToolResult{CallId: callID, Parts: []*Part{TextPart(text)}, IsError: true}
	return &runwirev1.ToolCallReport{Report: &runwirev1.ToolCallReport_Result{Result: result}}
}

func rejection(key callKey, code codes.Code, reason Reason, message string) *runwirev1.ToolCallReport {
	err := &runwirev1.Error{Code: int32(code), Reason: string(reason), Message: message}
	return &runwirev1.ToolCallReport{
		CallId: key.id, Attempt: key.attempt, Report: &runwirev1.ToolCallReport_Rejection{Rejection: err},
	}
}
