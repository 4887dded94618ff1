package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"runwire.dev/go/runwire"
	runwirev1 "runwire.dev/go/runwire/v1"
)

// player is one case: its tools, and what its run shows.
type player struct {
	Case
	client   *runwire.Client
	words    *words
	mu       sync.Mutex
	together int
	gathered chan struct{}
	shown    chan struct{}
	showOnce sync.Once
}

func (p *player) complete(ctx context.Context) (Seen, error) {
	ctx, cancel := p.bounded(ctx)
	defer cancel()
	completion, err := p.client.Complete(ctx, p.Model, runwire.Text(p.Input), p.options(true)...)
	if err != nil {
		return nil, err
	}
	return completionSeen(completion), nil
}

func (p *player) stream(ctx context.Context) (Seen, error) {
	ctx, cancel := p.bounded(ctx)
	defer cancel()
	var deltas strings.Builder
	var whole *runwire.Completion
	for chunk, err := range p.client.Stream(ctx, p.Model, runwire.Text(p.Input), p.options(true)...) {
		if err != nil {
			return nil, err
		}
		deltas.WriteString(chunk.Text)
		whole = chunk.Completion
	}
	seen := completionSeen(whole)
	seen["deltas"] = deltas.String()
	return seen, nil
}

func (p *player) glance(ctx context.Context) (Seen, error) {
	deltas := 0
	for _, err := range p.client.Stream(ctx, p.Model, runwire.Text(p.Input)) {
		if err != nil {
			return nil, err
		}
		if deltas++; deltas == 3 {
			break
		}
	}
	completion, err := p.client.Complete(ctx, "script:echo", runwire.Text(p.Input))
	if err != nil {
		return nil, err
	}
	return completionSeen(completion), nil
}

func (p *player) run(ctx context.Context) (Seen, error) {
	stream, err := p.client.StreamRun(p.agent(runwire.Tools(p.tools()...)), runwire.Text(p.Input), p.runOptions()...)
	if err != nil {
		return nil, err
	}
	waiting, leave := context.WithCancel(ctx)
	defer leave()
	var events []runwire.Event
	started, asked := make(chan string, 1), p.words.ask()
	go func() {
		id := <-started
		switch line := <-asked; {
		case line.Cancel:
			_, _ = p.client.CancelRun(ctx, id, "")
		case line.Leave:
			leave()
		}
	}()
	for event, err := range stream.Events(waiting) {
		if err != nil {
			if errors.Is(err, context.Canceled) && waiting.Err() != nil {
				break
			}
			return nil, err
		}
		if len(events) == 0 {
			started <- stream.RunID()
		}
		events = append(events, event)
		p.see(event)
	}
	if waiting.Err() != nil {
		run, err := p.client.Wait(ctx, stream.RunID())
		return runSeen(run, events), err
	}
	result, err := stream.Result()
	var failed *runwire.RunError
	if errors.As(err, &failed) {
		result = failed.Result
	} else if err != nil {
		return nil, err
	}
	return runSeen(result.Run, events), nil
}

func (p *player) watch(ctx context.Context) (Seen, error) {
	var bindings []runwire.Binding
	for _, name := range p.Hosted {
		bindings = append(bindings, runwire.HostedTool{Name: name})
	}
	if p.Hosted == nil {
		host, err := p.client.NewToolHost(p.tools())
		if err != nil {
			return nil, err
		}
		if err := host.Start(ctx); err != nil {
			return nil, err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(ctx, grace)
			defer cancel()
			_ = host.Shutdown(ctx) // A server that is gone by now has no more receipts to give.
		}()
		bindings = host.Bindings()
	}
	run, err := p.client.CreateRun(ctx, p.agent(bindings), runwire.Text(p.Input), p.runOptions()...)
	if err != nil {
		return nil, err
	}
	var events []runwire.Event
	for event, err := range p.client.Watch(ctx, run.ID) {
		if err != nil {
			return nil, err
		}
		events = append(events, event)
		if updated, ok := event.(runwire.RunUpdated); ok {
			run = updated.Run
		}
	}
	seen := runSeen(run, events)
	seen["events"], seen["replay"] = durable(events), p.replay(ctx, run.ID)
	return seen, nil
}

func (p *player) replay(ctx context.Context, runID string) []int64 {
	var events []runwire.Event
	for event, err := range p.client.Watch(ctx, runID, runwire.Durable()) {
		if err != nil {
			return nil // The server has ended meanwhile.
		}
		events = append(events, event)
	}
	return durable(events)
}

func (p *player) bare(ctx context.Context) (Seen, error) {
	stream, err := runwirev1.NewRunServiceClient(p.client.StreamConn()).AttachRun(ctx)
	if err != nil {
		return nil, err
	}
	start := &runwirev1.AttachRunStart{
		MaxConcurrentCalls: new(int32),
		Target: &runwirev1.AttachRunStart_Create{Create: &runwirev1.RunSpec{
			Agent: &runwirev1.Agent{Name: "bare", Model: p.Model},
			Input: runwire.Text(p.Input),
		}},
	}
	request := &runwirev1.AttachRunRequest{Message: &runwirev1.AttachRunRequest_Start{Start: start}}
	if err := errors.Join(stream.Send(request), stream.CloseSend()); err != nil {
		return nil, err
	}
	last := &runwirev1.Run{}
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, event := range response.GetEvents().GetEvents() {
			if run := event.GetRunUpdated(); run != nil {
				last = run
			}
		}
	}
	status := last.GetState().String()
	if last.GetState() == runwirev1.Run_STATE_SUCCEEDED {
		status = string(runwire.StatusCompleted)
	}
	return Seen{"status": status, "text": runwire.TextOf(last.GetOutput())}, nil
}

func (p *player) many(ctx context.Context) (Seen, error) {
	var tasks sync.WaitGroup
	results, failures := make([]*runwire.Result, p.Count), make([]error, p.Count)
	for i := range p.Count {
		tasks.Go(func() {
			agent := p.agent(runwire.Tools(p.tools()...))
			results[i], failures[i] = p.client.Run(ctx, agent, runwire.Text(p.Input))
		})
	}
	tasks.Wait()
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	completed, ids := 0, map[string]bool{}
	for _, result := range results {
		if result.Status == runwire.StatusCompleted {
			completed++
		}
		ids[result.Run.ID] = true
	}
	return Seen{"completed": completed, "distinct": len(ids)}, nil
}

func (p *player) host(ctx context.Context) (Seen, error) {
	host, err := p.client.NewToolHost(p.tools())
	if err != nil {
		return nil, err
	}
	go func() {
		if host.Ready(ctx) == nil {
			say(Seen{"ready": true})
		}
	}()
	return Seen{}, host.ServeUntilSignal(ctx)
}

func (p *player) see(event runwire.Event) {
	if updated, ok := event.(runwire.ToolCallUpdated); ok && updated.Progress != nil {
		p.showOnce.Do(func() { close(p.shown) })
	}
}

func (p *player) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.Timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, seconds(p.Timeout))
}

func (p *player) options(offer bool) []runwire.GenerateOption {
	var options []runwire.GenerateOption
	if p.Options["tool_choice"] == "required" {
		options = append(options, runwire.Choose(runwire.ChoiceRequired))
	}
	if offer {
		options = append(options, runwire.Offer(p.tools()...))
	}
	return options
}

func (p *player) runOptions() []runwire.RunOption {
	options := []runwire.RunOption{runwire.Generate(p.options(false)...)}
	if p.MaxTurns > 0 {
		options = append(options, runwire.MaxTurns(p.MaxTurns))
	}
	if p.Timeout > 0 {
		options = append(options, runwire.RunTimeout(seconds(p.Timeout)))
	}
	return options
}

func (p *player) agent(tools []runwire.Binding) runwire.Agent {
	return runwire.Agent{Name: "case", Model: p.Model, Tools: tools}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func completionSeen(completion *runwire.Completion) Seen {
	seen := Seen{"text": completion.Text(), "finish_reason": completion.FinishReason}
	return callsSeen(seen, completion.ToolCalls())
}

func callsSeen(seen Seen, calls []*runwire.ToolCall) Seen {
	names, arguments := []string{}, []string{}
	for _, call := range calls {
		names, arguments = append(names, call.GetName()), append(arguments, call.GetArgumentsJson())
	}
	seen["calls"], seen["arguments"] = names, arguments
	return seen
}

func runSeen(run *runwire.Run, events []runwire.Event) Seen {
	if run == nil {
		return nil
	}
	var calls []*runwire.ToolCall
	results, failed, progress := []string{}, []bool{}, [][]any{}
	for _, event := range events {
		switch event := event.(type) {
		case runwire.MessageCompleted:
			calls = append(calls, runwire.ToolCallsOf(event.Message)...)
			for _, part := range event.Message.GetParts() {
				if result := part.GetToolResult(); result != nil {
					results = append(results, runwire.TextOf(&runwire.Message{Parts: result.GetParts()}))
					failed = append(failed, result.GetIsError())
				}
			}
		case runwire.ToolCallUpdated:
			if p := event.Progress; p != nil {
				progress = append(progress, []any{p.GetProgress(), p.GetTotal(), p.GetMessage()})
			}
		}
	}
	seen := Seen{
		"text": run.Output, "status": run.Status(), "turns": run.Turns, "finish_reason": run.FinishReason,
		"results": results, "errors": failed, "progress": progress,
	}
	if run.Err != nil {
		maps.Copy(seen, errorSeen(run.Err))
	}
	return callsSeen(seen, calls)
}

func durable(events []runwire.Event) []int64 {
	var sequences []int64
	for _, event := range events {
		if !event.At().Time.IsZero() {
			sequences = append(sequences, event.At().Sequence)
		}
	}
	return slices.Clip(sequences)
}
