// Package runwire is the Go client of Runwire: one API over all large-language-model providers, agents whose loop
// runs on a server, and tools that are ordinary functions of this process.
//
// A [Client] asks for completions and runs agents:
//
//	client, err := runwire.New("127.0.0.1:50051")
//	...
//	completion, err := client.Complete(ctx, "openai:gpt-5-mini", runwire.Text("Name a river."))
//
// A tool is a function of a context and an argument; its JSON Schema comes from the argument's type:
//
//	type Where struct {
//		City string `json:"city" desc:"The city's name, in English."`
//	}
//
//	weather := runwire.MustTool("get_weather", "Look up the weather in a city.",
//		func(ctx context.Context, in Where) (string, error) { return in.City + ": 21 °C, clear", nil })
//
//	agent := runwire.Agent{Name: "guide", Model: "script:demo", Tools: runwire.Tools(weather)}
//	result, err := client.Run(ctx, agent, runwire.Text("What is the weather in Lisbon?"))
//
// [Client.Run] runs an agent whose tools are called here, on a stream of the run's own. [Client.CreateRun] creates
// one that goes on by itself, and [Client.Watch] follows any. A [ToolHost] serves tools to the runs of everybody.
//
// Every method takes a context. Its end ends a completion, or asks a run to stop; its deadline travels to the server,
// and that of a call arrives in the context of the tool.
//
// Failed calls return an [*Error], found with [errors.As]; a run that failed returns a [*RunError], which holds one.
package runwire
