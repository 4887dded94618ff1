package dev.runwire.examples;

import dev.runwire.Agent;
import dev.runwire.FunctionTool;
import dev.runwire.Param;
import dev.runwire.RunEvent;
import dev.runwire.RunRequest;
import dev.runwire.RunResult;
import dev.runwire.RunStream;
import dev.runwire.Runwire;
import dev.runwire.Tool;
import dev.runwire.ToolException;
import java.util.Locale;
import java.util.Map;

/** Runs an agent whose tool is a method of this process, and shows what happens. */
public final class Weather {
  private static final Map<String, String> SKY =
      Map.of("Lisbon", "21 °C, clear", "Oslo", "4 °C, snow", "Nairobi", "24 °C, light rain");

  private Weather() {}

  /** Asks the question that is given. */
  public static void main(String[] arguments) {
    String question = arguments.length > 0 ? arguments[0] : "What is the weather in Lisbon?";
    Agent agent =
        Agent.of("weather", "script:demo")
            .instructions("Answer in one sentence. Look the weather up; never guess it.")
            .tools(FunctionTool.of(new Weather()));
    try (Runwire client = Runwire.connect();
        RunStream stream = client.runStream(RunRequest.of(agent, question))) {
      for (RunEvent event : stream) {
        if (event instanceof RunEvent.ToolCallUpdated updated) {
          String state = updated.state().name().toLowerCase(Locale.ROOT);
          System.out.println("tool    " + updated.call().name() + " " + state);
        }
      }
      RunResult result = stream.result();
      System.out.println("answer  " + result.output());
      System.out.println("turns   " + result.run().turns());
    }
  }

  @Tool(name = "get_weather", value = "Look up the weather in a city.", readOnly = true)
  String getWeather(@Param("The city's name, in English.") String city) throws ToolException {
    String found = SKY.get(city);
    if (found == null) {
      throw new ToolException("there is no weather station in " + city);
    }
    return city + ": " + found;
  }
}
