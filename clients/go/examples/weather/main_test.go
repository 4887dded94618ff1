package main

import (
	"context"
	"os"
	"testing"

	"runwire.dev/go/runwire/internal/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

func Example() {
	if err := ask(context.Background(), os.Stdout, "", "What is the weather in Lisbon?"); err != nil {
		panic(err)
	}
	// Output:
	// tool    get_weather pending
	// tool    get_weather running
	// tool    get_weather succeeded
	// answer  The answer is: Lisbon: 21 °C, clear
	// turns   2
}
