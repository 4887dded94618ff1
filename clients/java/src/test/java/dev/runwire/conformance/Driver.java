package dev.runwire.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.runwire.RunwireException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The driver of the conformance cases: plays what the runner says, in lines of JSON. */
public final class Driver {
  private static final Logger LOGGER = LoggerFactory.getLogger(Driver.class);
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private final PrintStream output = new PrintStream(System.out, false, StandardCharsets.UTF_8);
  private final BlockingQueue<Optional<JsonNode>> cases = new LinkedBlockingQueue<>();
  private final Words words = new Words();

  private Driver() {}

  /** Plays one case after the other, until the input ends. */
  public static void main(String[] arguments) throws InterruptedException {
    Driver driver = new Driver();
    Thread reader = new Thread(driver::read, "runner");
    reader.setDaemon(true);
    reader.start();
    driver.drive();
  }

  private void drive() throws InterruptedException {
    for (Optional<JsonNode> next = cases.take(); next.isPresent(); next = cases.take()) {
      JsonNode line = next.get();
      Map<String, Object> seen;
      try {
        seen = new Player(line, words, this::say).play();
      } catch (RunwireException e) {
        seen = Sights.of(e);
      } catch (RuntimeException e) {
        LOGGER.error("not played", e);
        seen = Map.of("code", "NONE", "reason", String.valueOf(e));
      }
      say(Map.of("seen", seen));
      if (line.path("case").path("do").asText().equals("host")) {
        return;
      }
    }
  }

  private void read() {
    try (BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      for (String text = lines.readLine(); text != null; text = lines.readLine()) {
        JsonNode line = MAPPER.readTree(text);
        if (line.has("case")) {
          words.reset();
          cases.add(Optional.of(line));
        } else {
          words.hear(line);
        }
      }
    } catch (IOException e) {
      LOGGER.error("the runner is gone", e);
    }
    cases.add(Optional.empty());
  }

  private void say(Map<String, ?> message) {
    try {
      String text = MAPPER.writeValueAsString(new HashMap<>(message));
      synchronized (output) {
        output.println(text);
        output.flush();
      }
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  static List<String> texts(JsonNode list) {
    return MAPPER.convertValue(
        list, MAPPER.getTypeFactory().constructCollectionType(List.class, String.class));
  }
}
