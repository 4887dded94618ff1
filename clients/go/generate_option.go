package runwire

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// GenerateOption says how to generate: for a completion, or for all turns of an [Agent]. What is not said is the
// provider's default.
type GenerateOption func(*generation) error

type generation struct {
	options   *runwirev1.GenerationOptions
	tools     []*Tool
	fallbacks []string
}

func newGeneration(options []GenerateOption) (*generation, error) {
	g := &generation{options: &runwirev1.GenerationOptions{}}
	for _, option := range options {
		if err := option(g); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func set(change func(*runwirev1.GenerationOptions)) GenerateOption {
	return func(g *generation) error {
		change(g.options)
		return nil
	}
}

// MaxOutputTokens bounds the answer.
func MaxOutputTokens(tokens int64) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) { o.MaxOutputTokens = proto.Int64(tokens) })
}

// Temperature is the sampling temperature.
func Temperature(temperature float32) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) { o.Temperature = proto.Float32(temperature) })
}

// TopP is for nucleus sampling.
func TopP(p float32) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) { o.TopP = proto.Float32(p) })
}

// TopK is for top-k sampling.
func TopK(k int32) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) { o.TopK = proto.Int32(k) })
}

// Seed asks for the same answer again, as far as the provider can.
func Seed(seed int64) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) { o.Seed = proto.Int64(seed) })
}

// Stop ends the answer where one of these texts would begin.
func Stop(sequences ...string) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) { o.StopSequences = sequences })
}

// Effort is how hard a model thinks.
type Effort = runwirev1.ReasoningEffort

// The efforts. Providers that take a budget of tokens get one that fits.
const (
	EffortNone    = runwirev1.ReasoningEffort_REASONING_EFFORT_NONE
	EffortMinimal = runwirev1.ReasoningEffort_REASONING_EFFORT_MINIMAL
	EffortLow     = runwirev1.ReasoningEffort_REASONING_EFFORT_LOW
	EffortMedium  = runwirev1.ReasoningEffort_REASONING_EFFORT_MEDIUM
	EffortHigh    = runwirev1.ReasoningEffort_REASONING_EFFORT_HIGH
	EffortMax     = runwirev1.ReasoningEffort_REASONING_EFFORT_MAX
)

// Reasoning says how hard to think.
func Reasoning(effort Effort) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) { o.ReasoningEffort = effort })
}

// MaxReasoningTokens is a budget for thinking, for providers that take one.
func MaxReasoningTokens(tokens int64) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) { o.MaxReasoningTokens = proto.Int64(tokens) })
}

// ToolChoice says whether tools are used. In a run, ChoiceRequired and [ChooseTool] hold until the first call.
type ToolChoice = runwirev1.ToolChoice_Mode

// The choices.
const (
	ChoiceAuto     = runwirev1.ToolChoice_MODE_AUTO
	ChoiceNone     = runwirev1.ToolChoice_MODE_NONE
	ChoiceRequired = runwirev1.ToolChoice_MODE_REQUIRED
)

// Choose says whether tools are used.
func Choose(choice ToolChoice) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) {
		o.ToolChoice = &runwirev1.ToolChoice{Choice: &runwirev1.ToolChoice_Mode_{Mode: choice}}
	})
}

// ChooseTool makes the model call this tool.
func ChooseTool(name string) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) {
		o.ToolChoice = &runwirev1.ToolChoice{Choice: &runwirev1.ToolChoice_ToolName{ToolName: name}}
	})
}

// ParallelToolCalls says whether a turn may have more than one call; it may by default.
func ParallelToolCalls(allowed bool) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) { o.ParallelToolCalls = proto.Bool(allowed) })
}

// OutputAs makes the answer's text JSON of the type T: decode it with [json.Unmarshal]. T follows the rules of a
// tool's argument; see [NewTool].
func OutputAs[T any]() GenerateOption {
	return func(g *generation) error {
		schema, err := schemaFor[T]()
		g.options.OutputSchemaJson = string(schema)
		return err
	}
}

// OutputSchema makes the answer's text JSON of this JSON Schema.
func OutputSchema(schema json.RawMessage) GenerateOption {
	return set(func(o *runwirev1.GenerationOptions) { o.OutputSchemaJson = string(schema) })
}

// ProviderOptions are merged into the request to the provider of this name, last: what has no common name. They are
// anything that becomes a JSON object.
func ProviderOptions(provider string, options any) GenerateOption {
	return func(g *generation) error {
		text, err := json.Marshal(options)
		if err != nil {
			return fmt.Errorf("runwire: options of %s: %w", provider, err)
		}
		if g.options.ProviderOptions == nil {
			g.options.ProviderOptions = map[string]string{}
		}
		g.options.ProviderOptions[provider] = string(text)
		return nil
	}
}

// Fallbacks are models that are tried in order when the first one fails in a way that another may not.
func Fallbacks(models ...string) GenerateOption {
	return func(g *generation) error {
		g.fallbacks = models
		return nil
	}
}

// Offer offers tools to the model of a completion: their calls come back in it and are not run. An agent's tools are
// its own field.
func Offer(tools ...*Tool) GenerateOption {
	return func(g *generation) error {
		g.tools = tools
		return nil
	}
}
