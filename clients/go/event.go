package runwire

import (
	"encoding/json"
	"iter"
	"time"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// Event is something that happened in a run: one of [TextDelta], [ReasoningDelta], [ToolCallDelta],
// [MessageCompleted], [MessageDiscarded], [ToolCallUpdated], [RunUpdated] and [Snapshot].
//
// Deltas and progress are for display, and may be merged or missed; the others are facts in the run's log.
type Event interface {
	// At is the event's place.
	At() Position
}

// Position is an event's place in the log of a run.
type Position struct {
	// RunID is the run whose log it is.
	RunID string
	// Sequence is strictly increasing, with gaps. Watch again from the last one seen.
	Sequence int64
	// Time is when it happened; zero for what is only for display.
	Time time.Time
}

// At is the event's place.
func (p Position) At() Position { return p }

// TextDelta is a piece of an answer.
type TextDelta struct {
	Position
	MessageID string
	Text      string
}

// ReasoningDelta is a piece of what the model thinks.
type ReasoningDelta struct {
	Position
	MessageID string
	Text      string
}

// ToolCallDelta is a piece of a tool call that is being written.
type ToolCallDelta struct {
	Position
	MessageID string
	ToolCallChunk
}

// MessageCompleted is a message that is complete, and part of the conversation.
type MessageCompleted struct {
	Position
	Message *Message
	// The rest is of messages by the model.
	FinishReason         FinishReason
	ProviderFinishReason string
	Usage                Usage
	Model                string
	ProviderMetadata     json.RawMessage
}

// MessageDiscarded withdraws a message that had begun: drop what was shown of it.
type MessageDiscarded struct {
	Position
	MessageID string
	Err       *Error
}

// ToolCallUpdated is a tool call that changed.
type ToolCallUpdated struct {
	Position
	Call  *ToolCall
	State CallState
	// Attempt is which delivery, from 1; 0 when it was never delivered.
	Attempt int
	HostID  string
	// Progress is the latest, nil if there is none.
	Progress *runwirev1.ToolProgress
	// Result is what the model is told, nil before the end.
	Result *runwirev1.ToolResult
	// Err is why the call failed or was cancelled.
	Err *Error
}

// CallState is the state of a tool call.
type CallState string

// The states of a tool call; one that this version does not know is CallUnknown.
const (
	CallUnknown CallState = "unknown"
	CallPending CallState = "pending"
	CallRunning CallState = "running"
	// CallInputRequired waits for the answer to a question that its tool has asked.
	CallInputRequired CallState = "input_required"
	CallSucceeded     CallState = "succeeded"
	CallFailed        CallState = "failed"
	CallCancelled     CallState = "cancelled"
)

var callStates = map[runwirev1.ToolCallUpdate_State]CallState{
	runwirev1.ToolCallUpdate_STATE_PENDING:        CallPending,
	runwirev1.ToolCallUpdate_STATE_RUNNING:        CallRunning,
	runwirev1.ToolCallUpdate_STATE_INPUT_REQUIRED: CallInputRequired,
	runwirev1.ToolCallUpdate_STATE_SUCCEEDED:      CallSucceeded,
	runwirev1.ToolCallUpdate_STATE_FAILED:         CallFailed,
	runwirev1.ToolCallUpdate_STATE_CANCELLED:      CallCancelled,
}

// RunUpdated is a run that changed; the last one has a terminal state.
type RunUpdated struct {
	Position
	Run *Run
}

// Snapshot is how things stand: forget what you have, and begin here.
type Snapshot struct {
	Position
	Run *Run
	// Partial are messages in progress, as far as they have come.
	Partial []MessageCompleted
	// Calls are those that are not done.
	Calls []ToolCallUpdated
}

// eventsOf converts an event of the log. What this version does not know, and heartbeats, give nothing.
func eventsOf(runID string, event *runwirev1.RunEvent) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		at := Position{RunID: runID, Sequence: event.GetSequence()}
		if event.GetEventTime() != nil {
			at.Time = event.GetEventTime().AsTime()
		}
		switch event := event.GetEvent().(type) {
		case *runwirev1.RunEvent_MessageDelta:
			for _, delta := range event.MessageDelta.GetDeltas() {
				if known := deltaOf(at, event.MessageDelta.GetMessageId(), delta); known != nil && !yield(known) {
					return
				}
			}
		case *runwirev1.RunEvent_MessageCompleted:
			yield(completedOf(at, event.MessageCompleted))
		case *runwirev1.RunEvent_MessageDiscarded:
			discarded := event.MessageDiscarded
			yield(MessageDiscarded{at, discarded.GetMessageId(), fromData(discarded.GetError())})
		case *runwirev1.RunEvent_ToolCallUpdated:
			yield(callOf(at, event.ToolCallUpdated))
		case *runwirev1.RunEvent_RunUpdated:
			yield(RunUpdated{at, runOf(event.RunUpdated)})
		case *runwirev1.RunEvent_Snapshot:
			if len(event.Snapshot.GetRuns()) > 0 {
				yield(snapshotOf(at, event.Snapshot))
			}
		}
	}
}

func deltaOf(at Position, messageID string, delta *runwirev1.MessageDelta) Event {
	switch content := delta.GetDelta().(type) {
	case *runwirev1.MessageDelta_Text:
		return TextDelta{at, messageID, content.Text}
	case *runwirev1.MessageDelta_Reasoning:
		return ReasoningDelta{at, messageID, content.Reasoning}
	case *runwirev1.MessageDelta_ToolCall:
		return ToolCallDelta{at, messageID, ToolCallChunk{
			PartIndex: int(delta.GetPartIndex()),
			ID:        content.ToolCall.GetId(),
			Name:      content.ToolCall.GetName(),
			Arguments: content.ToolCall.GetArgumentsJson(),
		}}
	default:
		return nil
	}
}

func completedOf(at Position, completed *runwirev1.RunMessage) MessageCompleted {
	return MessageCompleted{
		Position:             at,
		Message:              completed.GetMessage(),
		FinishReason:         finishReason(completed.GetFinishReason()),
		ProviderFinishReason: completed.GetProviderFinishReason(),
		Usage:                usageOf(completed.GetUsage()),
		Model:                completed.GetModel(),
		ProviderMetadata:     json.RawMessage(completed.GetProviderMetadataJson()),
	}
}

func callOf(at Position, update *runwirev1.ToolCallUpdate) ToolCallUpdated {
	state, ok := callStates[update.GetState()]
	if !ok {
		state = CallUnknown
	}
	return ToolCallUpdated{
		Position: at,
		Call:     update.GetCall(),
		State:    state,
		Attempt:  int(update.GetAttempt()),
		HostID:   update.GetHostId(),
		Progress: update.GetProgress(),
		Result:   update.GetResult(),
		Err:      fromData(update.GetError()),
	}
}

func snapshotOf(at Position, snapshot *runwirev1.RunSnapshot) Snapshot {
	converted := Snapshot{Position: at, Run: runOf(snapshot.GetRuns()[0])}
	at.Time = time.Time{}
	for _, partial := range snapshot.GetPartialMessages() {
		converted.Partial = append(converted.Partial, completedOf(at, partial))
	}
	for _, call := range snapshot.GetToolCalls() {
		converted.Calls = append(converted.Calls, callOf(at, call))
	}
	return converted
}
