package runwire_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"runwire.dev/go/runwire"
)

type where struct {
	City string `json:"city" desc:"The city's name, in English."`
}

func Example() {
	weather := runwire.MustTool("get_weather", "Look up the weather in a city.",
		func(_ context.Context, in where) (string, error) { return in.City + ": 21 °C, clear", nil })

	client, err := runwire.New("") // $RUNWIRE_SERVER
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	agent := runwire.Agent{Name: "guide", Model: "script:demo", Tools: runwire.Tools(weather)}
	result, err := client.Run(context.Background(), agent, runwire.Text("What is the weather in Lisbon?"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Output)
	// Output: The answer is: Lisbon: 21 °C, clear
}

func ExampleClient_Stream() {
	client, err := runwire.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	for chunk, err := range client.Stream(context.Background(), "script:echo", runwire.Text("Hello there")) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(chunk.Text)
		if chunk.Completion != nil {
			fmt.Println("\n" + chunk.Completion.FinishReason)
		}
	}
	// Output:
	// Hello there
	// stop
}

func ExampleToolHost() {
	ctx := context.Background()
	client, err := runwire.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	weather := runwire.MustTool("example.weather", "Look up the weather in a city.",
		func(_ context.Context, in where) (string, error) { return in.City + ": 4 °C, snow", nil },
		runwire.ReadOnly())
	host, err := client.NewToolHost([]*runwire.Tool{weather})
	if err != nil {
		log.Fatal(err)
	}
	if err := host.Start(ctx); err != nil {
		log.Fatal(err)
	}

	agent := runwire.Agent{Name: "guide", Model: "script:demo", Tools: host.Bindings()}
	run, err := client.CreateRun(ctx, agent, runwire.Text("What is the weather in Oslo?"))
	if err != nil {
		log.Fatal(err)
	}
	if run, err = client.Wait(ctx, run.ID); err != nil {
		log.Fatal(err)
	}
	fmt.Println(run.State, "-", run.Output)
	fmt.Println(host.Shutdown(ctx))
	// Output:
	// succeeded - The answer is: Oslo: 4 °C, snow
	// <nil>
}

func ExampleError() {
	client, err := runwire.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	_, err = client.Complete(context.Background(), "nobody:x", runwire.Text("Hello"))
	var failed *runwire.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Code, failed.Reason, failed.Metadata["provider"], failed.RetryDelay == nil)
	}
	// Output: NotFound PROVIDER_NOT_FOUND nobody true
}
