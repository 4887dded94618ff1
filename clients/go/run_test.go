package runwire_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"runwire.dev/go/runwire"
)

func wantReason(t *testing.T, err error, reason runwire.Reason) {
	t.Helper()
	if !errors.Is(err, &runwire.Error{Reason: reason}) {
		t.Errorf("got %v, want %s", err, reason)
	}
}

func weatherTool(name string) *runwire.Tool {
	return runwire.MustTool(name, "Look up the weather in a city.",
		func(_ context.Context, in where) (string, error) { return in.City + ": sun", nil })
}

func TestTheConversationOfARunCanGoOn(t *testing.T) {
	client := newClient(t)
	agent := runwire.Agent{Name: "guide", Model: "script:demo", Tools: runwire.Tools(weatherTool("weather"))}
	first, err := client.Run(t.Context(), agent, runwire.Text("What is the weather in Rome?"))
	if err != nil {
		t.Fatal(err)
	}
	if len(first.New) != 3 || len(first.Conversation) != 4 || first.Status != runwire.StatusCompleted {
		t.Fatalf("got %+v", first)
	}
	again := append(first.Conversation, runwire.User(runwire.TextPart("And what is it in Oslo?")))
	second, err := client.Run(t.Context(), agent, again)
	if err != nil {
		t.Fatal(err)
	}
	if second.Output != "The answer is: Oslo: sun" || len(second.Conversation) != 8 {
		t.Errorf("got %q after %d messages", second.Output, len(second.Conversation))
	}
}

func TestARunThatFailedIsAnErrorWithItsResult(t *testing.T) {
	agent := runwire.Agent{Name: "guide", Model: "script:error-MODEL_NOT_FOUND"}
	_, err := newClient(t).Run(t.Context(), agent, runwire.Text("Hi"))
	var failed *runwire.RunError
	if !errors.As(err, &failed) || failed.Result.Status != runwire.StatusFailed || failed.Result.Run.ID == "" {
		t.Fatalf("got %v", err)
	}
	wantReason(t, err, runwire.ReasonModelNotFound)
}

func TestTheTextOfARunIsWhole(t *testing.T) {
	stream, err := newClient(t).StreamRun(runwire.Agent{Name: "guide", Model: "script:stream-50"}, runwire.Text("Hi"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for piece, err := range stream.Text(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(piece)
	}
	if text.String() != strings.Repeat("word ", 50) {
		t.Errorf("got %q", text.String())
	}
}

func TestLeavingTheLoopStopsTheRun(t *testing.T) {
	client := newClient(t)
	stream, err := client.StreamRun(runwire.Agent{Name: "guide", Model: "script:hang"}, runwire.Text("Hi"))
	if err != nil {
		t.Fatal(err)
	}
	for range stream.Events(t.Context()) {
		break
	}
	if _, err := stream.Result(); err == nil {
		t.Error("a result without an end")
	}
	run, err := client.Wait(t.Context(), stream.RunID())
	if err != nil || run.State != runwire.RunCancelled {
		t.Errorf("the run is %v, %v", run, err)
	}
}

func TestADetachedRunGoesOnWithoutItsCaller(t *testing.T) {
	client := newClient(t)
	stream, err := client.StreamRun(
		runwire.Agent{Name: "guide", Model: "script:slow-20"}, runwire.Text("Hi"), runwire.Detach())
	if err != nil {
		t.Fatal(err)
	}
	for range stream.Events(t.Context()) {
		break
	}
	run, err := client.Wait(t.Context(), stream.RunID())
	if err != nil || run.State != runwire.RunSucceeded {
		t.Errorf("the run is %v, %v", run, err)
	}
}

func TestWhatIsWrongWithARunIsSaidBeforeItIsSent(t *testing.T) {
	client, ctx := newClient(t), t.Context()
	twice := runwire.Agent{Name: "a", Model: "script:echo", Tools: runwire.Tools(weatherTool("x"), weatherTool("x"))}
	own := runwire.Agent{Name: "a", Model: "script:echo", Tools: runwire.Tools(weatherTool("x"))}
	offers := runwire.Agent{Name: "a", Model: "script:echo", Options: []runwire.GenerateOption{runwire.Offer(weatherTool("x"))}}
	for what, err := range map[string]error{
		"two tools are named":    second(client.Run(ctx, twice, runwire.Text("Hi"))),
		"needs hosted tools":     second(client.CreateRun(ctx, own, runwire.Text("Hi"))),
		"Offer is for":           second(client.Run(ctx, offers, runwire.Text("Hi"))),
		"two tools are named \"": second(client.NewToolHost([]*runwire.Tool{weatherTool("x"), weatherTool("x")})),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want it to say %q", err, what)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestTheSameRequestIDGivesTheSameRun(t *testing.T) {
	client, agent := newClient(t), runwire.Agent{Name: "a", Model: "script:echo"}
	id := runwire.RequestID("5c1b5d3e-8a55-4d57-9d3f-6f0f5f3f1a01")
	first, err := client.CreateRun(t.Context(), agent, runwire.Text("Hi"), id)
	if err != nil {
		t.Fatal(err)
	}
	again, err := client.CreateRun(t.Context(), agent, runwire.Text("Hi"), id)
	if err != nil || again.ID != first.ID {
		t.Errorf("got %v, %v", again, err)
	}
	_, err = client.CreateRun(t.Context(), agent, runwire.Text("Something else"), id)
	wantReason(t, err, runwire.ReasonRequestIDReused)
}

func TestRunsAreListedAndWatchedByTheirLabels(t *testing.T) {
	client, labels := newClient(t), map[string]string{"test": "listed"}
	var created []string
	for range 5 {
		run, err := client.CreateRun(t.Context(),
			runwire.Agent{Name: "a", Model: "script:echo"}, runwire.Text("Hi"), runwire.Labels(labels))
		if err != nil {
			t.Fatal(err)
		}
		created = append(created, run.ID)
	}
	filter, ended := runwire.RunFilter{Labels: labels}, map[string]bool{}
	for event, err := range client.WatchAll(t.Context(), filter, runwire.IncludeFinished()) {
		if err != nil {
			t.Fatal(err)
		}
		switch event := event.(type) {
		case runwire.RunUpdated:
			ended[event.RunID] = event.Run.Finished()
		case runwire.Snapshot:
			ended[event.RunID] = event.Run.Finished()
		}
		if len(ended) == 5 && !slices.Contains(values(ended), false) {
			break
		}
	}
	filter.States = []runwire.RunState{runwire.RunSucceeded}
	var listed []string
	for run, err := range client.ListRuns(t.Context(), filter) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, run.ID)
	}
	slices.Reverse(created)
	if !slices.Equal(listed, created) {
		t.Errorf("listed %v, want %v", listed, created)
	}
}

func values(m map[string]bool) []bool {
	var all []bool
	for _, value := range m {
		all = append(all, value)
	}
	return all
}

func TestAWatchGoesOnAfterAnEvent(t *testing.T) {
	client := newClient(t)
	run, err := client.CreateRun(t.Context(), runwire.Agent{Name: "a", Model: "script:echo"}, runwire.Text("Hi"))
	if err != nil {
		t.Fatal(err)
	}
	sequences := func(options ...runwire.WatchOption) []int64 {
		var seen []int64
		for event, err := range client.Watch(t.Context(), run.ID, append(options, runwire.Durable())...) {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, event.At().Sequence)
		}
		return seen
	}
	all := sequences()
	if rest := sequences(runwire.After(all[1])); !slices.Equal(rest, all[2:]) {
		t.Errorf("after %d: %v, want %v", all[1], rest, all[2:])
	}
	for _, err := range client.Watch(t.Context(), "run_018f0000000070008000000000000000") {
		wantReason(t, err, runwire.ReasonRunNotFound)
	}
}

func TestACompletionTakesItsOptions(t *testing.T) {
	type answer struct {
		City string `json:"city"`
		Days int    `json:"days"`
	}
	client := newClient(t)
	completion, err := client.Complete(t.Context(), "script:echo", runwire.Text("Paris for 3 days"),
		runwire.OutputAs[answer](), runwire.Temperature(0), runwire.MaxOutputTokens(100), runwire.Seed(1),
		runwire.Stop("END"), runwire.Reasoning(runwire.EffortLow), runwire.TopP(0.5), runwire.TopK(5),
		runwire.ProviderOptions("script", map[string]any{"x": 1}), runwire.Fallbacks("script:echo"))
	if err != nil {
		t.Fatal(err)
	}
	var got answer
	if err := json.Unmarshal([]byte(completion.Text()), &got); err != nil {
		t.Errorf("%q: %v", completion.Text(), err)
	}
	completion, err = client.Complete(t.Context(), "script:echo", runwire.Text("Hi"),
		runwire.Offer(weatherTool("weather")), runwire.ChooseTool("weather"))
	if err != nil || len(completion.ToolCalls()) != 1 || completion.ToolCalls()[0].GetName() != "weather" {
		t.Errorf("got %v, %v", completion, err)
	}
}

func TestTheEndOfTheContextEndsACompletion(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for chunk, err := range newClient(t).Stream(ctx, "script:slow-100000", runwire.Text("Hi")) {
		if chunk.Text != "" {
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("got %v", last)
	}
}

func TestModelsAreListed(t *testing.T) {
	var ids []string
	for model, err := range newClient(t).Models(t.Context(), "script") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, model.GetId())
	}
	if !slices.Contains(ids, "script:echo") {
		t.Errorf("got %v", ids)
	}
}

func TestToolsThatAreNotTakenAreNamed(t *testing.T) {
	client := newClient(t)
	bad := runwire.NewRawTool("rejected.bad", "Has no schema.", json.RawMessage(`{"type": 7}`),
		func(context.Context, json.RawMessage) (any, error) { return nil, nil })
	host, err := client.NewToolHost([]*runwire.Tool{bad, weatherTool("rejected.good")})
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rejected := host.Rejected(); len(rejected) != 1 || rejected["rejected.bad"].Reason != runwire.ReasonSchemaInvalid {
		t.Errorf("got %v", rejected)
	}
	if err := host.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	alone, err := client.NewToolHost([]*runwire.Tool{bad})
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, alone.Serve(t.Context()), runwire.ReasonSchemaInvalid)
}

func TestAHostThatIsServedEndsWithItsContext(t *testing.T) {
	host, err := newClient(t).NewToolHost([]*runwire.Tool{weatherTool("served")}, runwire.HostGrace(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- host.Serve(ctx) }()
	if err := host.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestACallThatOutlivesTheDrainIsCancelled(t *testing.T) {
	client := newClient(t)
	begun, stopped := make(chan struct{}), make(chan struct{})
	tool := runwire.MustTool("stubborn", "Wait.", func(ctx context.Context, _ struct{}) (string, error) {
		close(begun)
		<-ctx.Done()
		close(stopped)
		return "", context.Cause(ctx)
	})
	host, err := client.NewToolHost([]*runwire.Tool{tool})
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	run, err := client.CreateRun(t.Context(),
		runwire.Agent{Name: "a", Model: "script:tools-1", Tools: host.Bindings()}, runwire.Text("Hi"))
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := host.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-stopped
	var outcome *runwire.Error
	for event, err := range client.Watch(t.Context(), run.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if updated, ok := event.(runwire.ToolCallUpdated); ok {
			outcome = updated.Err
		}
	}
	wantReason(t, outcome, runwire.ReasonOutcomeUnknown)
}

func TestTheWindowBoundsTheCallsOfARun(t *testing.T) {
	var now, most atomic.Int32
	full := make(chan struct{})
	var once sync.Once
	tool := runwire.MustTool("busy", "Be busy.", func(context.Context, struct{}) (string, error) {
		count := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); count > seen && !most.CompareAndSwap(seen, count); {
			seen = most.Load()
		}
		if count == 2 {
			once.Do(func() { close(full) })
		}
		<-full
		return "done", nil
	})
	agent := runwire.Agent{Name: "a", Model: "script:tools-6", Tools: runwire.Tools(tool)}
	result, err := newClient(t).Run(t.Context(), agent, runwire.Text("Hi"), runwire.Window(2))
	if err != nil || result.Status != runwire.StatusCompleted || most.Load() != 2 {
		t.Errorf("%d at once, %v, %v", most.Load(), result, err)
	}
}

func TestTheTraceOfTheCallerIsSent(t *testing.T) {
	before := otel.GetTextMapPropagator()
	otel.SetTextMapPropagator(propagation.TraceContext{})
	t.Cleanup(func() { otel.SetTextMapPropagator(before) })
	var sent []string
	client := newClient(t, runwire.WithDialOptions(grpc.WithChainUnaryInterceptor(func(
		ctx context.Context, method string, request, reply any,
		conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		outgoing, _ := metadata.FromOutgoingContext(ctx)
		sent = outgoing.Get("traceparent")
		return invoke(ctx, method, request, reply, conn, options...)
	})))
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(t.Context(), span)
	if _, err := client.Complete(ctx, "script:echo", runwire.Text("Hi")); err != nil {
		t.Fatal(err)
	}
	if want := "00-01000000000000000000000000000000-0200000000000000-00"; len(sent) != 1 || sent[0] != want {
		t.Errorf("sent %q", sent)
	}
}

func TestPartsAreToldToTheModelAsTheyAre(t *testing.T) {
	tool := runwire.MustTool("draw", "Draw.", func(context.Context, struct{}) ([]*runwire.Part, error) {
		return []*runwire.Part{runwire.TextPart("a dot"), runwire.MediaPart("image/png", []byte{1})}, nil
	})
	agent := runwire.Agent{Name: "a", Model: "script:tools-1", Tools: runwire.Tools(tool)}
	result, err := newClient(t).Run(t.Context(), agent, runwire.Text("Hi"))
	if err != nil {
		t.Fatal(err)
	}
	parts := result.New[1].GetParts()[0].GetToolResult().GetParts()
	if len(parts) != 2 || parts[0].GetText() != "a dot" || parts[1].GetMedia().GetMediaType() != "image/png" {
		t.Errorf("got %v", parts)
	}
}
