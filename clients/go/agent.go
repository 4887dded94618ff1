package runwire

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// Agent is a value that says what a run runs: model, instructions and tools of one loop.
type Agent struct {
	// Name is the agent's name in events.
	Name string
	// Model is "provider:model", or an alias that the server knows.
	Model string
	// Instructions are for the model.
	Instructions string
	// Tools are what it may call: tools of this process for [Client.Run], hosted ones for both kinds of runs.
	Tools []Binding
	// Options say how to generate.
	Options []GenerateOption
}

// RunOption says something about one run.
type RunOption func(*runSettings)

type runSettings struct {
	limits    *runwirev1.RunLimits
	labels    map[string]string
	options   []GenerateOption
	requestID string
	window    int32
	detach    bool
}

const defaultWindow = 16

func newRunSettings(options []RunOption) *runSettings {
	settings := &runSettings{
		limits: &runwirev1.RunLimits{}, labels: map[string]string{}, requestID: newUUID(), window: defaultWindow,
	}
	for _, option := range options {
		option(settings)
	}
	return settings
}

// MaxTurns bounds the model's turns. A run that uses them up ends with [StatusMaxTurnsExceeded].
func MaxTurns(turns int32) RunOption {
	return func(s *runSettings) { s.limits.MaxTurns = proto.Int32(turns) }
}

// MaxToolCalls bounds the tool calls.
func MaxToolCalls(calls int32) RunOption {
	return func(s *runSettings) { s.limits.MaxToolCalls = proto.Int32(calls) }
}

// MaxTokens bounds the tokens, input and output.
func MaxTokens(tokens int64) RunOption {
	return func(s *runSettings) { s.limits.MaxTokens = proto.Int64(tokens) }
}

// MaxParallelToolCalls bounds the tool calls in flight.
func MaxParallelToolCalls(calls int32) RunOption {
	return func(s *runSettings) { s.limits.MaxParallelToolCalls = proto.Int32(calls) }
}

// RunTimeout bounds the run's time. The context's deadline bounds how long the caller waits.
func RunTimeout(timeout time.Duration) RunOption {
	return func(s *runSettings) { s.limits.Timeout = durationpb.New(timeout) }
}

// Labels are kept with the run, for listing, watching and routing.
func Labels(labels map[string]string) RunOption {
	return func(s *runSettings) { maps.Copy(s.labels, labels) }
}

// Generate overrides the agent's options in this run.
func Generate(options ...GenerateOption) RunOption {
	return func(s *runSettings) { s.options = append(s.options, options...) }
}

// RequestID makes the creation of a run idempotent: the same UUID returns the same run for a day. Without it each run
// gets one of its own, which its retries share.
func RequestID(id string) RunOption {
	return func(s *runSettings) { s.requestID = id }
}

// Window bounds how many tools of one run [Client.Run] runs at once; the default is 16.
func Window(calls int32) RunOption {
	return func(s *runSettings) { s.window = calls }
}

// Detach lets the run go on when its caller stops waiting or is lost. Else it is cancelled.
func Detach() RunOption {
	return func(s *runSettings) { s.detach = true }
}

func (a Agent) spec(conversation []*Message, settings *runSettings) (*runwirev1.RunSpec, error) {
	generation, err := newGeneration(slices.Concat(a.Options, settings.options))
	if err != nil {
		return nil, err
	}
	if len(generation.tools) > 0 {
		return nil, errors.New("runwire: Offer is for completions; an agent's tools are in Agent.Tools")
	}
	agent := &runwirev1.Agent{
		Name:           a.Name,
		Model:          a.Model,
		FallbackModels: generation.fallbacks,
		Instructions:   a.Instructions,
		Options:        generation.options,
	}
	names := map[string]bool{}
	for _, tool := range a.Tools {
		if names[tool.toolName()] {
			return nil, fmt.Errorf("runwire: two tools are named %q", tool.toolName())
		}
		names[tool.toolName()] = true
		agent.Tools = append(agent.Tools, tool.binding())
	}
	return &runwirev1.RunSpec{
		Agent: agent, Input: conversation, Limits: settings.limits, Labels: settings.labels,
	}, nil
}

// own returns the tools that are functions of this process.
func (a Agent) own() []*Tool {
	var tools []*Tool
	for _, binding := range a.Tools {
		if tool, ok := binding.(*Tool); ok {
			tools = append(tools, tool)
		}
	}
	return tools
}
