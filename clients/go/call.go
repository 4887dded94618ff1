package runwire

import (
	"context"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// Call is what a running tool knows of its call.
type Call struct {
	// ID is the call's, and its idempotency key: every delivery of one call has the same.
	ID string
	// Attempt is which delivery this is, from 1.
	Attempt int
	// RunID and AgentName say who calls.
	RunID, AgentName string
	// Labels are the run's.
	Labels map[string]string
	// Principal has created the run, as the server has authenticated it: what to authorise by.
	Principal string
}

type callContextKey struct{}

type callContext struct {
	call     Call
	progress func(*runwirev1.ToolProgress)
}

// CallFrom returns the call that a tool's context belongs to; false outside of tools.
func CallFrom(ctx context.Context) (Call, bool) {
	of, ok := ctx.Value(callContextKey{}).(callContext)
	return of.call, ok
}

// Progress tells whoever watches the run how far the call of a tool's context is, and keeps its progress time-out
// from firing. It never waits; outside of tools it does nothing. The total is 0 when it is not known.
func Progress(ctx context.Context, progress, total float64, message string) {
	if of, ok := ctx.Value(callContextKey{}).(callContext); ok && of.progress != nil {
		of.progress(&runwirev1.ToolProgress{Progress: progress, Total: total, Message: message})
	}
}
