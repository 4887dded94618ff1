// Command weather runs an agent whose tool is a function of this process, and shows what happens.
//
//	RUNWIRE_SERVER=127.0.0.1:50051 go run ./examples/weather ["a question"]
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"runwire.dev/go/runwire"
)

type where struct {
	City string `json:"city" desc:"The city's name, in English."`
}

var sky = map[string]string{"Lisbon": "21 °C, clear", "Oslo": "4 °C, snow", "Nairobi": "24 °C, light rain"}

var weather = runwire.MustTool("get_weather", "Look up the weather in a city.",
	func(_ context.Context, in where) (string, error) {
		found, ok := sky[in.City]
		if !ok {
			return "", errors.New("there is no weather station in " + in.City)
		}
		return in.City + ": " + found, nil
	},
	runwire.ReadOnly())

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	question := "What is the weather in Lisbon?"
	if len(os.Args) > 1 {
		question = os.Args[1]
	}
	if err := ask(ctx, os.Stdout, "", question); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask(ctx context.Context, out io.Writer, server, question string) error {
	client, err := runwire.New(server)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	agent := runwire.Agent{
		Name:         "weather",
		Model:        "script:demo",
		Instructions: "Answer in one sentence. Look the weather up; never guess it.",
		Tools:        runwire.Tools(weather),
	}
	stream, err := client.StreamRun(agent, runwire.Text(question))
	if err != nil {
		return err
	}
	for event, err := range stream.Events(ctx) {
		if err != nil {
			return err
		}
		if call, ok := event.(runwire.ToolCallUpdated); ok {
			fmt.Fprintf(out, "tool    %s %s\n", call.Call.GetName(), call.State)
		}
	}
	result, err := stream.Result()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "answer  %s\nturns   %d\n", result.Output, result.Run.Turns)
	return nil
}
