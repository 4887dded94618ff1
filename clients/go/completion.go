package runwire

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc/codes"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// FinishReason is why a model stopped.
type FinishReason string

// The finish reasons; one that this version does not know is FinishUnknown.
const (
	FinishUnknown       FinishReason = "unknown"
	FinishStop          FinishReason = "stop"
	FinishLength        FinishReason = "length"
	FinishToolCalls     FinishReason = "tool_calls"
	FinishContentFilter FinishReason = "content_filter"
	FinishOther         FinishReason = "other"
)

var finishReasons = map[runwirev1.FinishReason]FinishReason{
	runwirev1.FinishReason_FINISH_REASON_STOP:           FinishStop,
	runwirev1.FinishReason_FINISH_REASON_LENGTH:         FinishLength,
	runwirev1.FinishReason_FINISH_REASON_TOOL_CALLS:     FinishToolCalls,
	runwirev1.FinishReason_FINISH_REASON_CONTENT_FILTER: FinishContentFilter,
	runwirev1.FinishReason_FINISH_REASON_OTHER:          FinishOther,
}

func finishReason(reason runwirev1.FinishReason) FinishReason {
	if known, ok := finishReasons[reason]; ok {
		return known
	}
	return FinishUnknown
}

// Usage counts tokens. Totals include their parts: Input the cached, Output the reasoning.
type Usage struct {
	Input, Output         int64
	CacheRead, CacheWrite int64
	Reasoning             int64
}

// Total is input and output.
func (u Usage) Total() int64 { return u.Input + u.Output }

func usageOf(usage *runwirev1.Usage) Usage {
	return Usage{
		Input:      usage.GetInputTokens(),
		Output:     usage.GetOutputTokens(),
		CacheRead:  usage.GetCacheReadTokens(),
		CacheWrite: usage.GetCacheWriteTokens(),
		Reasoning:  usage.GetReasoningTokens(),
	}
}

// Completion is the result of one model turn.
type Completion struct {
	ID string
	// Model is the one that answered; it may be a fallback.
	Model string
	// Message is the answer, to be appended to the conversation.
	Message      *Message
	FinishReason FinishReason
	// ProviderFinishReason is the provider's own word for it.
	ProviderFinishReason string
	Usage                Usage
	// ProviderMetadata are the provider's extra response fields, a JSON object; may be empty.
	ProviderMetadata json.RawMessage
}

// Text is the answer's text.
func (c *Completion) Text() string { return TextOf(c.Message) }

// ToolCalls are the calls that the model asks for.
func (c *Completion) ToolCalls() []*ToolCall { return ToolCallsOf(c.Message) }

// Chunk is a piece of a completion as it is made. One of its fields is set, the last chunk's Completion.
type Chunk struct {
	// Text is appended to the answer.
	Text string
	// Reasoning is appended to what the model thinks.
	Reasoning string
	// ToolCall is a piece of a tool call.
	ToolCall *ToolCallChunk
	// Completion is the whole.
	Completion *Completion
}

// ToolCallChunk is a piece of a tool call. ID and Name come with the first piece of a part.
type ToolCallChunk struct {
	PartIndex int
	ID, Name  string
	// Arguments is a piece of JSON text.
	Arguments string
}

// Complete answers once. The context's deadline is the whole budget, the server's retries and fallbacks included.
//
// It is never tried again by itself: the server has done that.
func (c *Client) Complete(
	ctx context.Context, model string, conversation []*Message, options ...GenerateOption,
) (*Completion, error) {
	params, err := completionParams(model, conversation, options)
	if err != nil {
		return nil, err
	}
	response, err := c.completions.GenerateCompletion(ctx, &runwirev1.GenerateCompletionRequest{Params: params})
	if err != nil {
		return nil, fromRPC(err)
	}
	return completionOf(response.GetCompletion()), nil
}

// Stream answers as [Client.Complete] does, in chunks as they are made; the last one holds the whole. Leaving the
// loop early cancels the completion.
func (c *Client) Stream(
	ctx context.Context, model string, conversation []*Message, options ...GenerateOption,
) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		params, err := completionParams(model, conversation, options)
		if err != nil {
			yield(Chunk{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.completions.StreamCompletion(ctx, &runwirev1.StreamCompletionRequest{Params: params})
		whole := false
		for err == nil {
			var response *runwirev1.StreamCompletionResponse
			if response, err = stream.Recv(); err != nil {
				break
			}
			chunk, ok := chunkOf(response)
			whole = whole || chunk.Completion != nil
			if ok && !yield(chunk, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(Chunk{}, fromRPC(err))
		} else if !whole {
			yield(Chunk{}, &Error{Code: codes.Internal, Message: "the stream ended before the completion"})
		}
	}
}

func completionParams(
	model string, conversation []*Message, options []GenerateOption,
) (*runwirev1.CompletionParams, error) {
	g, err := newGeneration(options)
	if err != nil {
		return nil, err
	}
	params := &runwirev1.CompletionParams{
		Model:          model,
		FallbackModels: g.fallbacks,
		Messages:       conversation,
		Options:        g.options,
	}
	for _, tool := range g.tools {
		params.Tools = append(params.Tools, tool.definition)
	}
	return params, nil
}

func completionOf(completion *runwirev1.Completion) *Completion {
	return &Completion{
		ID:                   completion.GetId(),
		Model:                completion.GetModel(),
		Message:              completion.GetMessage(),
		FinishReason:         finishReason(completion.GetFinishReason()),
		ProviderFinishReason: completion.GetProviderFinishReason(),
		Usage:                usageOf(completion.GetUsage()),
		ProviderMetadata:     json.RawMessage(completion.GetProviderMetadataJson()),
	}
}

// chunkOf converts an event; false for one that has nothing to say to this version.
func chunkOf(response *runwirev1.StreamCompletionResponse) (Chunk, bool) {
	if completion := response.GetCompletion(); completion != nil {
		return Chunk{Completion: completionOf(completion)}, true
	}
	switch delta := response.GetDelta().GetDelta().(type) {
	case *runwirev1.MessageDelta_Text:
		return Chunk{Text: delta.Text}, true
	case *runwirev1.MessageDelta_Reasoning:
		return Chunk{Reasoning: delta.Reasoning}, true
	case *runwirev1.MessageDelta_ToolCall:
		return Chunk{ToolCall: &ToolCallChunk{
			PartIndex: int(response.GetDelta().GetPartIndex()),
			ID:        delta.ToolCall.GetId(),
			Name:      delta.ToolCall.GetName(),
			Arguments: delta.ToolCall.GetArgumentsJson(),
		}}, true
	default:
		return Chunk{}, false
	}
}
