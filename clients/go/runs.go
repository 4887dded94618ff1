package runwire

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	runwirev1 "runwire.dev/go/runwire/v1"
)

const maxPage = 200

// RunState is the state of a run.
type RunState string

// The states of a run; one that this version does not know is RunUnknown.
const (
	RunUnknown RunState = "unknown"
	RunQueued  RunState = "queued"
	RunRunning RunState = "running"
	// RunInputRequired waits for people: an approval, or the answer to a question.
	RunInputRequired RunState = "input_required"
	RunCancelling    RunState = "cancelling"
	RunSucceeded     RunState = "succeeded"
	RunFailed        RunState = "failed"
	RunCancelled     RunState = "cancelled"
)

var runStates = map[RunState]runwirev1.Run_State{
	RunQueued:        runwirev1.Run_STATE_QUEUED,
	RunRunning:       runwirev1.Run_STATE_RUNNING,
	RunInputRequired: runwirev1.Run_STATE_INPUT_REQUIRED,
	RunCancelling:    runwirev1.Run_STATE_CANCELLING,
	RunSucceeded:     runwirev1.Run_STATE_SUCCEEDED,
	RunFailed:        runwirev1.Run_STATE_FAILED,
	RunCancelled:     runwirev1.Run_STATE_CANCELLED,
}

// Run is a run as it stands.
type Run struct {
	ID        string
	AgentName string
	State     RunState
	// Model is the one that answers now.
	Model string
	// Output is the text of the final answer, and Answer its whole message; of a run that succeeded.
	Output string
	Answer *Message
	// Err is why it failed.
	Err          *Error
	FinishReason FinishReason
	Usage        Usage
	UsageByModel map[string]Usage
	Turns        int
	// LastSequence is the newest event of its log.
	LastSequence int64
	Labels       map[string]string
	Creator      string
	CancelReason string
	// Times are zero when they have not come yet.
	CreateTime, StartTime, EndTime time.Time
}

// Finished says whether the run has ended.
func (r *Run) Finished() bool {
	return r.State == RunSucceeded || r.State == RunFailed || r.State == RunCancelled
}

// Status is how the run ended; empty before.
func (r *Run) Status() Status {
	switch {
	case r.State == RunSucceeded:
		return StatusCompleted
	case r.State == RunCancelled:
		return StatusCancelled
	case r.State == RunFailed && r.Err != nil && r.Err.Reason == ReasonMaxTurnsExceeded:
		return StatusMaxTurnsExceeded
	case r.State == RunFailed:
		return StatusFailed
	default:
		return ""
	}
}

func (r *Run) failure() *Error {
	if r.Err != nil {
		return r.Err
	}
	return &Error{Code: codes.Unknown, Message: "the run failed"}
}

func runOf(run *runwirev1.Run) *Run {
	converted := &Run{
		ID:           run.GetId(),
		AgentName:    run.GetAgentName(),
		State:        RunUnknown,
		Model:        run.GetModel(),
		Output:       TextOf(run.GetOutput()),
		Answer:       run.GetOutput(),
		Err:          fromData(run.GetError()),
		FinishReason: finishReason(run.GetFinishReason()),
		Usage:        usageOf(run.GetUsage()),
		UsageByModel: map[string]Usage{},
		Turns:        int(run.GetTurnCount()),
		LastSequence: run.GetLastSequence(),
		Labels:       run.GetLabels(),
		Creator:      run.GetCreator(),
		CancelReason: run.GetCancelReason(),
		CreateTime:   timeOf(run.GetCreateTime()),
		StartTime:    timeOf(run.GetStartTime()),
		EndTime:      timeOf(run.GetEndTime()),
	}
	for state, number := range runStates {
		if number == run.GetState() {
			converted.State = state
		}
	}
	for model, usage := range run.GetUsageByModel() {
		converted.UsageByModel[model] = usageOf(usage)
	}
	return converted
}

func timeOf(stamp *timestamppb.Timestamp) time.Time {
	if stamp == nil {
		return time.Time{}
	}
	return stamp.AsTime()
}

// CreateRun creates a run that goes on by itself. Its tools must be hosted: see [ToolHost].
func (c *Client) CreateRun(
	ctx context.Context, agent Agent, conversation []*Message, options ...RunOption,
) (*Run, error) {
	if len(agent.own()) > 0 {
		return nil, errors.New("runwire: a run that goes on by itself needs hosted tools: use ToolHost.Bindings")
	}
	settings := newRunSettings(options)
	spec, err := agent.spec(conversation, settings)
	if err != nil {
		return nil, err
	}
	request := &runwirev1.CreateRunRequest{RequestId: settings.requestID, Spec: spec}
	response, err := c.runs.CreateRun(ctx, request)
	if err != nil {
		return nil, fromRPC(err)
	}
	return runOf(response.GetRun()), nil
}

// GetRun returns a run.
func (c *Client) GetRun(ctx context.Context, runID string) (*Run, error) {
	response, err := c.runs.GetRun(ctx, &runwirev1.GetRunRequest{RunId: runID})
	if err != nil {
		return nil, fromRPC(err)
	}
	return runOf(response.GetRun()), nil
}

// CancelRun asks a run to stop, and returns it as it is then. It is harmless twice, and after the end. The reason,
// which may be empty, is kept with the run. Watch for the end.
func (c *Client) CancelRun(ctx context.Context, runID, reason string) (*Run, error) {
	response, err := c.runs.CancelRun(ctx, &runwirev1.CancelRunRequest{RunId: runID, Reason: reason})
	if err != nil {
		return nil, fromRPC(err)
	}
	return runOf(response.GetRun()), nil
}

// RunFilter selects runs. All set fields must match.
type RunFilter struct {
	// States are those of which a run must have one.
	States []RunState
	// Labels are those that a run must all have.
	Labels    map[string]string
	AgentName string
	// CreatedFrom is inclusive, CreatedBefore is not.
	CreatedFrom, CreatedBefore time.Time
}

func (f RunFilter) selection() *runwirev1.RunFilter {
	selection := &runwirev1.RunFilter{Labels: f.Labels, AgentName: f.AgentName}
	for _, state := range f.States {
		selection.States = append(selection.States, runStates[state])
	}
	if !f.CreatedFrom.IsZero() {
		selection.MinCreateTime = timestamppb.New(f.CreatedFrom)
	}
	if !f.CreatedBefore.IsZero() {
		selection.MaxCreateTime = timestamppb.New(f.CreatedBefore)
	}
	return selection
}

// ListRuns yields runs, newest first. An error ends it.
func (c *Client) ListRuns(ctx context.Context, filter RunFilter) iter.Seq2[*Run, error] {
	return func(yield func(*Run, error) bool) {
		request := &runwirev1.ListRunsRequest{Filter: filter.selection(), PageSize: maxPage}
		for {
			response, err := c.runs.ListRuns(ctx, request)
			if err != nil {
				yield(nil, fromRPC(err))
				return
			}
			for _, run := range response.GetRuns() {
				if !yield(runOf(run), nil) {
					return
				}
			}
			request.PageToken = response.GetNextPageToken()
			if request.PageToken == "" {
				return
			}
		}
	}
}

// WatchOption says how to watch.
type WatchOption func(*watchSettings)

type watchSettings struct {
	after    *int64
	detail   runwirev1.EventDetail
	finished bool
}

// After watches from an event on, which is not seen again. Without it, [Client.Watch] begins at the beginning.
func After(sequence int64) WatchOption {
	return func(s *watchSettings) { s.after = &sequence }
}

// FromNow begins with a [Snapshot] of how things stand.
func FromNow() WatchOption {
	return func(s *watchSettings) { s.after = nil }
}

// Durable leaves out deltas and progress. It is the default of [Client.WatchAll].
func Durable() WatchOption {
	return func(s *watchSettings) { s.detail = runwirev1.EventDetail_EVENT_DETAIL_DURABLE }
}

// Full shows deltas and progress, too. It is the default of [Client.Watch].
func Full() WatchOption {
	return func(s *watchSettings) { s.detail = runwirev1.EventDetail_EVENT_DETAIL_FULL }
}

// IncludeFinished has [Client.WatchAll] begin with snapshots of finished runs, too.
func IncludeFinished() WatchOption {
	return func(s *watchSettings) { s.finished = true }
}

// Watch yields a run's events until its last one, across lost connections, without gap or repeat: from the beginning,
// or as an option says. An error ends it. Watching changes nothing of a run, nor does leaving.
func (c *Client) Watch(ctx context.Context, runID string, options ...WatchOption) iter.Seq2[Event, error] {
	settings := watchSettings{after: new(int64), detail: runwirev1.EventDetail_EVENT_DETAIL_FULL}
	for _, option := range options {
		option(&settings)
	}
	return func(yield func(Event, error) bool) {
		request := &runwirev1.WatchRunRequest{
			RunId: runID, AfterSequence: settings.after, Detail: settings.detail,
		}
		var patience patience
		for {
			err := c.watchOnce(ctx, request, &patience, yield)
			if errors.Is(err, errLoopLeft) || errors.Is(err, io.EOF) {
				return
			}
			if err := patience.again(ctx, fromRPC(err)); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

func (c *Client) watchOnce(
	ctx context.Context, request *runwirev1.WatchRunRequest, patience *patience, yield func(Event, error) bool,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.runStreams.WatchRun(ctx, request)
	if err != nil {
		return err
	}
	return receive(stream, patience, func(response *runwirev1.WatchRunResponse) error {
		for _, raw := range response.GetEvents() {
			sequence := raw.GetSequence()
			request.AfterSequence = &sequence
			if err := show(request.GetRunId(), raw, yield); err != nil {
				return err
			}
		}
		return nil
	})
}

// WatchAll yields the events of all runs that match, on one stream; [Position.RunID] says whose they are. Runs that
// come to match are added, and stay until their end. It never ends by itself; an error ends it.
func (c *Client) WatchAll(ctx context.Context, filter RunFilter, options ...WatchOption) iter.Seq2[Event, error] {
	settings := watchSettings{detail: runwirev1.EventDetail_EVENT_DETAIL_DURABLE}
	for _, option := range options {
		option(&settings)
	}
	return func(yield func(Event, error) bool) {
		request := &runwirev1.WatchRunsRequest{
			Filter: filter.selection(), Detail: settings.detail, IncludeFinished: settings.finished,
		}
		var patience patience
		for {
			err := c.watchAllOnce(ctx, request, &patience, yield)
			if errors.Is(err, errLoopLeft) {
				return
			}
			if errors.Is(err, io.EOF) {
				err = &Error{Code: codes.Unavailable, Message: "the stream ended"}
			}
			if err := patience.again(ctx, fromRPC(err)); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

func (c *Client) watchAllOnce(
	ctx context.Context, request *runwirev1.WatchRunsRequest, patience *patience, yield func(Event, error) bool,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.runStreams.WatchRuns(ctx, request)
	if err != nil {
		return err
	}
	return receive(stream, patience, func(response *runwirev1.WatchRunsResponse) error {
		for _, raw := range response.GetEvents() {
			if err := show(response.GetRootRunId(), raw, yield); err != nil {
				return err
			}
		}
		request.Cursor, request.IncludeFinished = response.GetCursor(), false
		return nil
	})
}

// receive takes all responses of a stream, until it ends or take says so. Whatever is heard restores patience.
func receive[Response any](
	stream grpc.ServerStreamingClient[Response], patience *patience, take func(*Response) error,
) error {
	if header, err := stream.Header(); err == nil && header != nil {
		patience.heard()
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		patience.heard()
		if err := take(response); err != nil {
			return err
		}
	}
}

// show yields what the client makes of an event.
func show(rootRunID string, raw *runwirev1.RunEvent, yield func(Event, error) bool) error {
	for event := range eventsOf(rootRunID, raw) {
		if !yield(event, nil) {
			return errLoopLeft
		}
	}
	return nil
}

// Wait waits for the end of a run.
func (c *Client) Wait(ctx context.Context, runID string) (*Run, error) {
	for event, err := range c.Watch(ctx, runID, FromNow(), Durable()) {
		if err != nil {
			return nil, err
		}
		switch event := event.(type) {
		case RunUpdated:
			if event.Run.Finished() {
				return event.Run, nil
			}
		case Snapshot:
			if event.Run.Finished() {
				return event.Run, nil
			}
		}
	}
	return c.GetRun(ctx, runID)
}

// patience is how long to keep trying to get back to a stream that the server has once begun to answer.
type patience struct {
	backoff waits
	heardAt time.Time
}

func (p *patience) heard() {
	p.heardAt = time.Now()
	p.backoff.reset()
}

// again waits for the next attempt; it returns an error when there is to be none.
func (p *patience) again(ctx context.Context, err error) error {
	if permanent(err) || p.heardAt.IsZero() || time.Since(p.heardAt) >= reconnectTimeout {
		return err
	}
	if ctx.Err() != nil || p.backoff.wait(ctx, retryDelay(err)) != nil {
		return fromRPC(ctx.Err())
	}
	return nil
}
