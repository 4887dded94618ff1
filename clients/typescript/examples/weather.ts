/**
 * An agent whose tool is a function of this process.
 *
 * Takes a question; `$RUNWIRE_SERVER` names the server and `$RUNWIRE_MODEL` the model.
 */

import { Client, tool } from "runwire";
import { z } from "zod";

const SKY: Readonly<Record<string, string>> = {
  lisbon: "21 °C, clear",
  oslo: "4 °C, snow",
  nairobi: "24 °C, light rain",
};

const getWeather = tool({
  name: "get_weather",
  description: "Look up the weather in a city.",
  input: z.object({ city: z.string().describe("The city's name, in English.") }),
  readOnly: true,
  run: ({ city }) => `${city}: ${SKY[city.toLowerCase()] ?? "18 °C, a light breeze"}`,
});

using client = new Client();
const run = client.streamRun(
  {
    name: "weather",
    model: process.env["RUNWIRE_MODEL"] ?? "script:demo",
    instructions: "Answer in one sentence. Look the weather up; never guess it.",
    tools: [getWeather],
  },
  process.argv.slice(2).join(" ") || "What is the weather in Lisbon?",
);

for await (const event of run) {
  if (event.type === "tool_call_updated" && event.state === "succeeded") {
    console.log(`tool    ${event.name} ${event.argumentsJson} -> ${event.result}`);
  } else if (event.type === "message_completed" && event.message.role === "assistant" && event.text) {
    console.log(`answer  ${event.text}`);
  }
}

const { runId, usage, run: last } = await run.result();
console.log(`run     ${runId}, ${last.turnCount} turns, ${usage.totalTokens} tokens`);
