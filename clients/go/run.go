package runwire

import (
	"context"
	"errors"
	"iter"
	"time"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// Status is how a run ended.
type Status string

// The statuses of a run that has ended.
const (
	StatusCompleted        Status = "completed"
	StatusMaxTurnsExceeded Status = "max_turns_exceeded"
	StatusCancelled        Status = "cancelled"
	StatusFailed           Status = "failed"
)

const cancelTimeout = 2 * time.Second

var errLeft = errors.New("runwire: the run's stream was left before its end")

// Result is what a run came to.
type Result struct {
	Status Status
	// Output is the text of the last answer; empty when the run ended without one.
	Output string
	// Conversation is the whole: the input and New. Run again with it to go on.
	Conversation []*Message
	// New is what the run has added to it.
	New []*Message
	// Run is the run at its end: usage, turns, times.
	Run *Run
}

// Run runs an agent to its end. The agent's own tools are called here, several at a time.
//
// A run that used up its turns or was cancelled returns a result whose Status says so. One that failed returns a
// [*RunError], which has the result. When the context ends, the run is asked to stop, unless it was started with
// [Detach].
func (c *Client) Run(
	ctx context.Context, agent Agent, conversation []*Message, options ...RunOption,
) (*Result, error) {
	stream, err := c.stream(agent, conversation, runwirev1.EventDetail_EVENT_DETAIL_DURABLE, options)
	if err != nil {
		return nil, err
	}
	for _, err := range stream.Events(ctx) {
		if err != nil {
			return nil, err
		}
	}
	return stream.Result()
}

// StreamRun runs an agent as [Client.Run] does, and shows what happens: range over [RunStream.Events], then take
// [RunStream.Result].
func (c *Client) StreamRun(agent Agent, conversation []*Message, options ...RunOption) (*RunStream, error) {
	return c.stream(agent, conversation, runwirev1.EventDetail_EVENT_DETAIL_FULL, options)
}

func (c *Client) stream(
	agent Agent, conversation []*Message, detail runwirev1.EventDetail, options []RunOption,
) (*RunStream, error) {
	settings := newRunSettings(options)
	spec, err := agent.spec(conversation, settings)
	if err != nil {
		return nil, err
	}
	tools := agent.own()
	window := settings.window
	if len(tools) == 0 {
		window = 0 // Events only.
	}
	return &RunStream{client: c, tools: tools, conversation: conversation, attachment: &attachment{
		client:    c,
		spec:      spec,
		requestID: settings.requestID,
		settings:  attachSettings{window: window, detail: detail, detach: settings.detach},
	}}, nil
}

// RunStream is a run's events as they happen, and then its result. It is for one goroutine, and for one loop.
type RunStream struct {
	client       *Client
	tools        []*Tool
	conversation []*Message
	attachment   *attachment
	added        []*Message
	last         *Run
}

// RunID is the run's id; empty before its first event.
func (s *RunStream) RunID() string { return s.attachment.runID }

// Events yields the run's events until its end, across lost connections. An error ends it: the run could not be
// created, or the server stayed away for too long. Leaving early asks the run to stop, unless it was started with
// [Detach].
func (s *RunStream) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s.attachment.engine = newEngine(ctx, s.tools, s.client.logger)
		defer s.attachment.engine.abort()
		defer s.stopIfLeft(ctx)
		for raw, err := range s.attachment.events(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			for event := range eventsOf(s.attachment.runID, raw) {
				s.record(event)
				if !yield(event, nil) {
					return
				}
			}
		}
	}
}

// Text yields the text of the model's answers alone, completely: deltas are not sent again after a lost connection, so
// the rest of an answer comes with its message.
func (s *RunStream) Text(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		shown := ""
		for event, err := range s.Events(ctx) {
			if err != nil {
				yield("", err)
				return
			}
			text := ""
			switch event := event.(type) {
			case TextDelta:
				text = event.Text
				shown += text
			case MessageDiscarded:
				shown = ""
			case MessageCompleted:
				if whole := TextOf(event.Message); isAnswer(event.Message) && len(whole) > len(shown) &&
					whole[:len(shown)] == shown {
					text = whole[len(shown):]
				}
				shown = ""
			}
			if text != "" && !yield(text, nil) {
				return
			}
		}
	}
}

// Result returns what the run came to; after the loop over its events. A run that failed returns a [*RunError].
func (s *RunStream) Result() (*Result, error) {
	if s.last == nil || !s.last.Finished() {
		return nil, errLeft
	}
	result := &Result{
		Status:       s.last.Status(),
		Output:       s.last.Output,
		Conversation: append(s.conversation[:len(s.conversation):len(s.conversation)], s.added...),
		New:          s.added,
		Run:          s.last,
	}
	if result.Status == StatusFailed {
		return nil, &RunError{Result: result, Err: s.last.failure()}
	}
	return result, nil
}

func (s *RunStream) record(event Event) {
	switch event := event.(type) {
	case RunUpdated:
		s.last = event.Run
	case Snapshot:
		s.last = event.Run
	case MessageCompleted:
		if isAnswer(event.Message) || event.Message.GetRole() == runwirev1.Role_ROLE_TOOL {
			s.added = append(s.added, event.Message)
		}
	}
}

// stopIfLeft asks the server to stop a run that nobody waits for any more; if that fails, its own grace does.
func (s *RunStream) stopIfLeft(ctx context.Context) {
	if s.attachment.finished || !s.attachment.started || s.attachment.settings.detach {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer cancel()
	if _, err := s.client.CancelRun(ctx, s.attachment.runID, "the client left"); err != nil {
		s.client.logger.Info("run left and not cancelled", "run.id", s.attachment.runID, "error", err)
	}
}

func isAnswer(message *Message) bool { return message.GetRole() == runwirev1.Role_ROLE_ASSISTANT }
