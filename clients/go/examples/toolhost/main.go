// Command toolhost serves a tool to the runs of anybody, until SIGTERM; then it finishes its calls and leaves.
//
//	RUNWIRE_SERVER=127.0.0.1:50051 go run ./examples/toolhost
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"runwire.dev/go/runwire"
)

type invoice struct {
	ID    string `json:"id" desc:"The invoice's number."`
	Cents int64  `json:"cents" min:"1" desc:"How much to give back."`
}

type receipt struct {
	Invoice  string `json:"invoice"`
	Refunded int64  `json:"refunded"`
}

func refund(ctx context.Context, in invoice) (receipt, error) {
	call, _ := runwire.CallFrom(ctx)
	// The call's id is its idempotency key: give it to whatever moves the money.
	slog.Info("refund", "call.id", call.ID, "principal", call.Principal)
	return receipt{Invoice: in.ID, Refunded: in.Cents}, nil
}

func main() {
	if err := serve(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context) error {
	tool, err := runwire.NewTool("billing.refund", "Refund an invoice.", refund, runwire.Timeout(30*time.Second))
	if err != nil {
		return err
	}
	client, err := runwire.New("", runwire.WithLogger(slog.Default()))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	host, err := client.NewToolHost([]*runwire.Tool{tool}, runwire.HostWindow(32))
	if err != nil {
		return err
	}
	return host.ServeUntilSignal(ctx)
}
