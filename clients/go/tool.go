package runwire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// Tool is a function that a model may call.
type Tool struct {
	definition *runwirev1.Tool
	invoke     func(ctx context.Context, arguments string) ([]*Part, error)
	times      times
}

// times bound a call; those that are nil are the server's.
type times struct {
	timeout, accept, progress *time.Duration
}

// Binding is a tool in [Agent.Tools]: a [*Tool] of this process, or a [HostedTool] of whichever has registered it.
type Binding interface {
	binding() *runwirev1.ToolBinding
	toolName() string
}

// Tools makes bindings of tools.
func Tools(tools ...*Tool) []Binding {
	bindings := make([]Binding, len(tools))
	for i, tool := range tools {
		bindings[i] = tool
	}
	return bindings
}

// ToolOption says something about a [Tool].
type ToolOption func(*Tool)

// ReadOnly says that the tool changes nothing: a call may be delivered again when its host was lost. Without ReadOnly
// or [Idempotent], a call runs at most once.
func ReadOnly() ToolOption { return func(t *Tool) { t.definition.Annotations.ReadOnly = true } }

// Idempotent says that calling twice with one call id has the effect of calling once: a call may be delivered again,
// under the same id, when its host was lost.
func Idempotent() ToolOption { return func(t *Tool) { t.definition.Annotations.Idempotent = true } }

// Destructive says that the tool may destroy things.
func Destructive() ToolOption { return func(t *Tool) { t.definition.Annotations.Destructive = true } }

// Version names the definition. Definitions of one name and version must be equal.
func Version(version string) ToolOption { return func(t *Tool) { t.definition.Version = version } }

// Timeout bounds one call. It reaches the function as its context's deadline.
func Timeout(timeout time.Duration) ToolOption { return func(t *Tool) { t.times.timeout = &timeout } }

// AcceptTimeout bounds the wait for a host; 0 fails at once when none is there.
func AcceptTimeout(timeout time.Duration) ToolOption {
	return func(t *Tool) { t.times.accept = &timeout }
}

// ProgressTimeout bounds the silence between two calls of [Progress].
func ProgressTimeout(timeout time.Duration) ToolOption {
	return func(t *Tool) { t.times.progress = &timeout }
}

// NewTool makes a tool of a function. It fails when In has no JSON Schema.
//
// In is a struct, or a map with string keys. A field's name is that of its json tag; its tag desc says to the model
// what it is; enum (values separated by commas), pattern, min and max constrain it. A field is required unless it is a
// pointer, or its json tag has omitempty or omitzero. Types that implement [Schemer] speak for themselves.
//
// The result is told to the model: a string as it is, a [*Part] or []*Part as such, everything else as JSON. An error
// is told by its text, and the run goes on. A panic is not told: the call has failed, and its place is logged.
//
// The context ends when the call is cancelled or its time is over. It carries the call ([CallFrom]), its progress
// ([Progress]), and the trace of its run.
func NewTool[In, Out any](
	name, description string, function func(context.Context, In) (Out, error), options ...ToolOption,
) (*Tool, error) {
	schema, err := schemaFor[In]()
	if err != nil {
		return nil, fmt.Errorf("tool %s: %w", name, err)
	}
	invoke := func(ctx context.Context, arguments string) ([]*Part, error) {
		var in In
		if err := decode(arguments, &in); err != nil {
			return nil, fmt.Errorf("invalid arguments for tool %s: %w", name, err)
		}
		out, err := function(ctx, in)
		if err != nil {
			return nil, err
		}
		return toParts(out)
	}
	return newTool(name, description, schema, invoke, options), nil
}

// MustTool is [NewTool] for types that are known to have a schema. It panics otherwise.
func MustTool[In, Out any](
	name, description string, function func(context.Context, In) (Out, error), options ...ToolOption,
) *Tool {
	tool, err := NewTool(name, description, function, options...)
	if err != nil {
		panic(err)
	}
	return tool
}

// NewRawTool makes a tool of a JSON Schema and a function that takes the arguments as the JSON text that the model
// wrote.
func NewRawTool(
	name, description string, schema json.RawMessage,
	function func(ctx context.Context, arguments json.RawMessage) (any, error), options ...ToolOption,
) *Tool {
	invoke := func(ctx context.Context, arguments string) ([]*Part, error) {
		out, err := function(ctx, json.RawMessage(arguments))
		if err != nil {
			return nil, err
		}
		return toParts(out)
	}
	return newTool(name, description, schema, invoke, options)
}

func newTool(
	name, description string, schema json.RawMessage,
	invoke func(context.Context, string) ([]*Part, error), options []ToolOption,
) *Tool {
	tool := &Tool{
		definition: &runwirev1.Tool{
			Name:            name,
			Description:     description,
			InputSchemaJson: string(schema),
			Annotations:     &runwirev1.ToolAnnotations{},
		},
		invoke: invoke,
	}
	for _, option := range options {
		option(tool)
	}
	return tool
}

// Name is the tool's name.
func (t *Tool) Name() string { return t.definition.GetName() }

// Schema is the JSON Schema of the arguments.
func (t *Tool) Schema() json.RawMessage { return json.RawMessage(t.definition.GetInputSchemaJson()) }

func (t *Tool) toolName() string { return t.Name() }

func (t *Tool) binding() *runwirev1.ToolBinding {
	attached := &runwirev1.ToolBinding_Attached{Attached: t.definition}
	return t.times.bind(&runwirev1.ToolBinding{Binding: attached})
}

// mayRunAgain says whether a call may be delivered again after its host was lost.
func (t *Tool) mayRunAgain() bool {
	annotations := t.definition.GetAnnotations()
	return annotations.GetReadOnly() || annotations.GetIdempotent()
}

func (t times) bind(binding *runwirev1.ToolBinding) *runwirev1.ToolBinding {
	binding.Timeout = duration(t.timeout)
	binding.AcceptTimeout = duration(t.accept)
	binding.ProgressTimeout = duration(t.progress)
	return binding
}

func duration(d *time.Duration) *durationpb.Duration {
	if d == nil {
		return nil
	}
	return durationpb.New(*d)
}

// HostedTool is a tool that some tool host has registered.
type HostedTool struct {
	Name string
	// Version, when set, is the only one that will do.
	Version string
	// HostID, when set, is the only host: for functions of one's own process. See [ToolHost.Bindings].
	HostID string
	// HostLabels are what a host must have.
	HostLabels map[string]string
	// Sticky sends later calls of a run to the host of its first.
	Sticky bool
	// Timeout bounds one call; AcceptTimeout the wait for a host; ProgressTimeout the silence between two reports.
	// Those that are nil are the server's.
	Timeout, AcceptTimeout, ProgressTimeout *time.Duration
}

func (t HostedTool) toolName() string { return t.Name }

func (t HostedTool) binding() *runwirev1.ToolBinding {
	hosted := &runwirev1.HostedTool{
		Name:       t.Name,
		Version:    t.Version,
		HostId:     t.HostID,
		HostLabels: t.HostLabels,
		Affinity:   runwirev1.HostAffinity_HOST_AFFINITY_ANY,
	}
	if t.Sticky {
		hosted.Affinity = runwirev1.HostAffinity_HOST_AFFINITY_RUN
	}
	binding := &runwirev1.ToolBinding{Binding: &runwirev1.ToolBinding_Hosted{Hosted: hosted}}
	return times{t.Timeout, t.AcceptTimeout, t.ProgressTimeout}.bind(binding)
}

// decode reads arguments. Numbers that go into an any are a [json.Number]: a float64 would round large ones.
func decode(arguments string, into any) error {
	if arguments == "" {
		arguments = "{}"
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(arguments)))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one value")
	}
	return nil
}

func toParts(out any) ([]*Part, error) {
	switch out := out.(type) {
	case string:
		return []*Part{TextPart(out)}, nil
	case *Part:
		return []*Part{out}, nil
	case []*Part:
		return out, nil
	case struct{}:
		return []*Part{TextPart("ok")}, nil
	}
	text, err := encode(out)
	if err != nil {
		return nil, fmt.Errorf("the tool's result is not JSON: %w", err)
	}
	return []*Part{TextPart(string(text))}, nil
}
