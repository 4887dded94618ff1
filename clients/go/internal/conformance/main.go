// Command conformance is the driver of the conformance cases: it plays what clients/conformance/runner says, in lines
// of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"google.golang.org/grpc/codes"

	"runwire.dev/go/runwire"
)

// Case is a case, as clients/conformance/README.md describes it.
type Case struct {
	Do          string            `json:"do"`
	Model       string            `json:"model"`
	Input       string            `json:"input"`
	Tools       []string          `json:"tools"`
	As          map[string]string `json:"as"`
	Hosted      []string          `json:"hosted"`
	Idempotent  bool              `json:"idempotent"`
	MaxTurns    int32             `json:"max_turns"`
	Timeout     float64           `json:"timeout"`
	ToolTimeout float64           `json:"tool_timeout"`
	Count       int               `json:"count"`
	Options     map[string]string `json:"options"`
}

// Line is what the runner says.
type Line struct {
	Case    *Case  `json:"case"`
	Address string `json:"address"`
	Release bool   `json:"release"`
	Cancel  bool   `json:"cancel"`
	Leave   bool   `json:"leave"`
}

// Seen is what is told of a case.
type Seen map[string]any

func main() {
	if err := drive(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func drive(from io.Reader) error {
	lines, cases, words := bufio.NewReader(from), make(chan Line), newWords()
	var failed error
	go func() {
		defer close(cases)
		for {
			text, err := lines.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return
			}
			var line Line
			if failed = errors.Join(err, json.Unmarshal(text, &line)); failed != nil {
				return
			}
			if line.Case == nil {
				words.say(line)
				continue
			}
			words.reset()
			cases <- line
		}
	}()
	for line := range cases {
		seen, err := play(line, words)
		if err != nil {
			seen = errorSeen(err)
		}
		say(Seen{"seen": seen})
		if line.Case.Do == "host" {
			break
		}
	}
	return failed
}

func play(line Line, words *words) (Seen, error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	client, err := runwire.New(line.Address, runwire.WithLogger(logger))
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	p := &player{Case: *line.Case, client: client, words: words, gathered: make(chan struct{}), shown: make(chan struct{})}
	ctx := context.Background()
	switch p.Do {
	case "complete":
		return p.complete(ctx)
	case "stream":
		return p.stream(ctx)
	case "glance":
		return p.glance(ctx)
	case "run":
		return p.run(ctx)
	case "watch":
		return p.watch(ctx)
	case "bare":
		return p.bare(ctx)
	case "many":
		return p.many(ctx)
	case "host":
		return p.host(ctx)
	default:
		return nil, fmt.Errorf("no such thing to do: %q", p.Do)
	}
}

func errorSeen(err error) Seen {
	var failed *runwire.Error
	if !errors.As(err, &failed) {
		return Seen{"code": "NONE", "reason": err.Error()}
	}
	seen := Seen{"code": codeNames[failed.Code], "reason": failed.Reason, "metadata": failed.Metadata}
	seen["retry_delay"] = nil
	if failed.RetryDelay != nil {
		seen["retry_delay"] = failed.RetryDelay.Seconds()
	}
	return seen
}

var codeNames = map[codes.Code]string{
	codes.Canceled:           "CANCELLED",
	codes.Unknown:            "UNKNOWN",
	codes.InvalidArgument:    "INVALID_ARGUMENT",
	codes.DeadlineExceeded:   "DEADLINE_EXCEEDED",
	codes.NotFound:           "NOT_FOUND",
	codes.PermissionDenied:   "PERMISSION_DENIED",
	codes.ResourceExhausted:  "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Aborted:            "ABORTED",
	codes.Unimplemented:      "UNIMPLEMENTED",
	codes.Internal:           "INTERNAL",
	codes.Unavailable:        "UNAVAILABLE",
	codes.Unauthenticated:    "UNAUTHENTICATED",
}

var output sync.Mutex

// say tells the runner.
func say(message Seen) {
	text, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	if _, err := os.Stdout.Write(append(text, '\n')); err != nil {
		panic(err)
	}
}

// words is what the runner says in the middle of a case: each at most once.
type words struct {
	mu       sync.Mutex
	released chan struct{}
	asked    chan Line
}

func newWords() *words {
	w := &words{}
	w.reset()
	return w
}

func (w *words) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.released, w.asked = make(chan struct{}), make(chan Line, 1)
}

func (w *words) say(line Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !line.Release {
		w.asked <- line
		return
	}
	select {
	case <-w.released:
	default:
		close(w.released)
	}
}

func (w *words) release() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.released
}

func (w *words) ask() <-chan Line {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}
