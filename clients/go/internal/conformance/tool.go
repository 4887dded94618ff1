package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"runwire.dev/go/runwire"
)

const (
	patience   = 10 * time.Second
	grace      = 2 * time.Second
	floodBytes = 2 << 20
	company    = 4
)

type nothing struct{}

type where struct {
	City string `json:"city" desc:"The city's name."`
}

type number struct {
	Value int64 `json:"value"`
}

type anything struct {
	Zulu  float64        `json:"zulu"`
	Alpha map[string]any `json:"alpha"`
	Mike  string         `json:"mike"`
}

// tools returns the case's tools.
func (p *player) tools() []*runwire.Tool {
	tools := make([]*runwire.Tool, len(p.Tools))
	for i, name := range p.Tools {
		tools[i] = p.tool(name)
	}
	return tools
}

func (p *player) tool(name string) *runwire.Tool {
	as := name
	if hosted := p.As[name]; hosted != "" {
		as = hosted
	}
	var options []runwire.ToolOption
	if p.Idempotent {
		options = append(options, runwire.Idempotent())
	}
	if p.ToolTimeout > 0 {
		options = append(options, runwire.Timeout(seconds(p.ToolTimeout)))
	}
	switch name {
	case "get_weather":
		return runwire.MustTool(as, "Say the weather in a city.", weather, options...)
	case "echo":
		return runwire.MustTool(as, "Say it again.", echo, options...)
	case "verbatim":
		return runwire.MustTool(as, "Take what comes.", verbatim, options...)
	case "fail":
		return runwire.MustTool(as, "Fail.", fail, options...)
	case "crash":
		return runwire.MustTool(as, "Crash.", crash, options...)
	case "flood":
		return runwire.MustTool(as, "Say far too much.", flood, options...)
	case "together":
		return runwire.MustTool(as, "Meet the others.", p.meet, options...)
	case "advance":
		return runwire.MustTool(as, "Get on.", p.advance, options...)
	case "gate":
		return runwire.MustTool(as, "Wait until it is opened.", p.gate, options...)
	case "wait":
		return runwire.MustTool(as, "Wait to be told to stop.", p.wait, options...)
	default:
		panic(fmt.Sprintf("no such tool: %q", name))
	}
}

func weather(_ context.Context, in where) (string, error) { return in.City + ": sun", nil }

func echo(_ context.Context, in number) (int64, error) { return in.Value, nil }

func verbatim(_ context.Context, in anything) (string, error) {
	if in.Zulu == 0 || len(in.Alpha) == 0 || in.Mike == "" {
		return "nothing", nil
	}
	return "ok", nil
}

func fail(context.Context, nothing) (string, error) { return "", errors.New("no such file") }

func crash(context.Context, nothing) (string, error) {
	var none []string
	return none[len(none)], nil
}

func flood(context.Context, nothing) (string, error) { return strings.Repeat("x", floodBytes), nil }

func (p *player) meet(ctx context.Context, _ nothing) (string, error) {
	p.mu.Lock()
	p.together++
	if p.together == company {
		close(p.gathered)
	}
	p.mu.Unlock()
	if happens(ctx, p.gathered) {
		return fmt.Sprintf("%d at once", company), nil
	}
	return "alone", nil
}

func (p *player) advance(ctx context.Context, _ nothing) (string, error) {
	runwire.Progress(ctx, 1, 2, "half")
	if happens(ctx, p.shown) {
		return "seen", nil
	}
	return "unseen", nil
}

func (p *player) gate(ctx context.Context, _ nothing) (string, error) {
	released := p.words.release()
	begun(ctx, "gate")
	select {
	case <-released:
		return "opened", nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (p *player) wait(ctx context.Context, _ nothing) (string, error) {
	begun(ctx, "wait")
	<-ctx.Done()
	say(Seen{"stopped": "wait"})
	return "stopped", nil
}

func begun(ctx context.Context, name string) {
	call, _ := runwire.CallFrom(ctx)
	say(Seen{"begun": name, "attempt": call.Attempt})
}

func happens(ctx context.Context, what <-chan struct{}) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-what:
		return true
	case <-ctx.Done():
		return false
	}
}
