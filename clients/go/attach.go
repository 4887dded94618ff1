package runwire

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"

	runwirev1 "runwire.dev/go/runwire/v1"
)

const (
	closeTimeout     = 5 * time.Second
	reconnectTimeout = 2 * time.Minute
	firstAttempts    = 4
	// Batches of events between the stream and a consumer that is busy; beyond, the stream waits for it.
	eventBatches = 256
)

var errLoopLeft = errors.New("the consumer has left the loop")

// processID is this process, to the server: the only one that can say of a call of its own that it was never begun.
var processID = "go-" + newUUID()

type attachSession = duplex[runwirev1.AttachRunRequest, runwirev1.AttachRunResponse]

var attachMessages = wrapper[runwirev1.AttachRunRequest]{
	report: func(report *runwirev1.ToolCallReport) *runwirev1.AttachRunRequest {
		return &runwirev1.AttachRunRequest{Message: &runwirev1.AttachRunRequest_Report{Report: report}}
	},
	heartbeat: func() *runwirev1.AttachRunRequest {
		heartbeat := &runwirev1.AttachRunRequest_Heartbeat{Heartbeat: &runwirev1.Heartbeat{}}
		return &runwirev1.AttachRunRequest{Message: heartbeat}
	},
}

// attachment is one run on a stream of its own, followed across any number of streams.
type attachment struct {
	client    *Client
	engine    *engine
	spec      *runwirev1.RunSpec // nil when attaching to a run that is there
	requestID string
	settings  attachSettings

	started  bool // the server has answered: the run is known
	runID    string
	after    *int64
	finished bool
}

type attachSettings struct {
	window int32
	detail runwirev1.EventDetail
	detach bool
}

// events yields the run's events until its last one. An error says that the run could not be created or found, that
// another attachment took over, or that the server stayed away for too long; the run itself may go on.
func (a *attachment) events(ctx context.Context) iter.Seq2[*runwirev1.RunEvent, error] {
	return func(yield func(*runwirev1.RunEvent, error) bool) {
		var backoff waits
		lostAt := time.Now()
		for attempt := 1; ; attempt++ {
			heard, err := a.follow(ctx, yield)
			if a.finished || errors.Is(err, errLoopLeft) {
				return // How its stream ends changes nothing.
			}
			if ctx.Err() != nil {
				yield(nil, fromRPC(context.Cause(ctx)))
				return
			}
			if heard {
				backoff.reset()
				lostAt = time.Now()
			}
			if !a.worthRetrying(err, attempt, time.Since(lostAt)) {
				yield(nil, err)
				return
			}
			if backoff.wait(ctx, retryDelay(err)) != nil {
				yield(nil, fromRPC(context.Cause(ctx)))
				return
			}
		}
	}
}

// follow yields what one stream says. It returns whether the stream said anything, and why it ended.
func (a *attachment) follow(
	ctx context.Context, yield func(*runwirev1.RunEvent, error) bool,
) (heard bool, err error) {
	session, err := a.open(ctx)
	if err != nil {
		return false, err
	}
	defer session.close()
	defer a.engine.disconnect(session)
	batches := make(chan batch, eventBatches)
	go a.pump(session, batches)
	for batch := range batches {
		if batch.err != nil {
			return heard, batch.err
		}
		heard = true
		if run := batch.started; run != nil {
			a.started, a.runID = true, run.GetId()
			if a.after == nil && a.spec != nil {
				a.after = new(int64) // From the beginning: what we miss, we want to hear.
			}
		}
		for _, event := range batch.events {
			if a.isNews(event) && !yield(event, nil) {
				return heard, errLoopLeft
			}
		}
		if a.finished {
			session.finish(closeTimeout)
		}
	}
	return heard, nil
}

// batch is what a stream has said: that it has started, events, or why it has ended.
type batch struct {
	started *runwirev1.Run
	events  []*runwirev1.RunEvent
	err     error
}

// pump reads a stream to its end. Commands are taken at once, however busy the consumer of the events is.
func (a *attachment) pump(session *attachSession, batches chan<- batch) {
	defer close(batches)
	for {
		response, err := session.read()
		next := batch{err: err}
		switch {
		case errors.Is(err, io.EOF):
			next.err = &Error{Code: codes.Unavailable, Message: "the stream ended before the run did"}
		case err != nil:
			next.err = fromRPC(err)
		case response.GetStarted() != nil:
			session.agree(response.GetStarted().GetSession())
			a.engine.connect(session)
			next.started = response.GetStarted().GetRun()
		case response.GetCommand() != nil:
			a.engine.command(session, response.GetCommand())
			continue
		default:
			next.events = response.GetEvents().GetEvents()
		}
		select {
		case batches <- next:
		case <-session.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (a *attachment) open(ctx context.Context) (*attachSession, error) {
	session, err := newDuplex(ctx, attachMessages, a.client.runStreams.AttachRun)
	if err != nil {
		return nil, err
	}
	start := &runwirev1.AttachRunStart{
		MaxConcurrentCalls: &a.settings.window,
		Detail:             a.settings.detail,
		HostId:             processID,
		OnDisconnect:       runwirev1.AttachRunStart_DISCONNECT_POLICY_CANCEL,
		InFlight:           a.engine.prepare(session),
	}
	if a.settings.detach {
		start.OnDisconnect = runwirev1.AttachRunStart_DISCONNECT_POLICY_DETACH
	}
	if a.started {
		start.Target = &runwirev1.AttachRunStart_RunId{RunId: a.runID}
		start.AfterSequence = a.after
	} else {
		start.Target = &runwirev1.AttachRunStart_Create{Create: a.spec}
		start.RequestId = a.requestID
	}
	session.start(&runwirev1.AttachRunRequest{Message: &runwirev1.AttachRunRequest_Start{Start: start}})
	return session, nil
}

// isNews remembers an event's place, and says whether the consumer shall see it.
func (a *attachment) isNews(event *runwirev1.RunEvent) bool {
	if a.after == nil || event.GetSequence() > *a.after {
		sequence := event.GetSequence()
		a.after = &sequence
	}
	switch event := event.GetEvent().(type) {
	case *runwirev1.RunEvent_RunUpdated:
		if event.RunUpdated.GetId() == a.runID {
			a.finished = terminal(event.RunUpdated.GetState())
		}
	case *runwirev1.RunEvent_Snapshot:
		for _, run := range event.Snapshot.GetRuns() {
			a.finished = a.finished || (run.GetId() == a.runID && terminal(run.GetState()))
		}
	case nil, *runwirev1.RunEvent_Heartbeat:
		return false
	}
	return true
}

func (a *attachment) worthRetrying(err error, attempt int, lostFor time.Duration) bool {
	if permanent(err) {
		return false
	}
	if a.started {
		return lostFor < reconnectTimeout
	}
	var failed *Error
	busy := errors.As(err, &failed) && failed.Code == codes.ResourceExhausted && failed.RetryDelay == nil
	return attempt < firstAttempts && !busy
}

func terminal(state runwirev1.Run_State) bool {
	switch state {
	case runwirev1.Run_STATE_SUCCEEDED, runwirev1.Run_STATE_FAILED, runwirev1.Run_STATE_CANCELLED:
		return true
	default:
		return false
	}
}
