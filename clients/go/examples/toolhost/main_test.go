package main

import (
	"context"
	"fmt"
	"os"
	"testing"

	"runwire.dev/go/runwire"
	"runwire.dev/go/runwire/internal/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

func TestTheHostServesARunOfAnybody(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- serve(ctx) }()
	client, err := runwire.New("")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	agent := runwire.Agent{
		Name: "till", Model: "script:tools-1", Tools: []runwire.Binding{runwire.HostedTool{Name: "billing.refund"}},
	}
	// It waits for the host to come.
	result, err := client.Run(t.Context(), agent, runwire.Text("Refund 7 cents of invoice 12."))
	if err != nil {
		t.Fatal(err)
	}
	var invoice string
	var cents int64
	if _, err := fmt.Sscanf(result.Output, `{"invoice":%q,"refunded":%d}`, &invoice, &cents); err != nil || cents < 1 {
		t.Errorf("got %q: %v", result.Output, err)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
