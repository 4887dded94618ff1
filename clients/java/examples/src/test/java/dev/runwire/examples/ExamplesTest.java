package dev.runwire.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.runwire.Agent;
import dev.runwire.HostedTool;
import dev.runwire.RunResult;
import dev.runwire.Runwire;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Every program, in a process of its own, with the client's package and the real server. */
@Timeout(120)
class ExamplesTest {
  private static final Pattern PROGRAM =
      Pattern.compile("```java\n(.*?class (\\w+) \\{.*?void main.*?)```", Pattern.DOTALL);
  private static final int SIGTERM_CODE = 128 + 15;

  @TempDir static Path folder;
  private static Process server;
  private static String address;

  @BeforeAll
  static void start() throws IOException {
    String named = System.getenv("RUNWIRE_BIN");
    String binary =
        named == null
            ? Path.of("../../../target/debug/runwire").toAbsolutePath().toString()
            : named;
    server =
        new ProcessBuilder(
                binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", folder.toString())
            .redirectErrorStream(true)
            .start();
    address = line(lines(server), "runwire listening on ");
  }

  @AfterAll
  static void stop() throws InterruptedException {
    server.destroyForcibly().waitFor();
  }

  private static BufferedReader lines(Process process) {
    return new BufferedReader(
        new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
  }

  /** What follows this on the first line that has it. */
  private static String line(BufferedReader lines, String mark) throws IOException {
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      if (line.contains(mark)) {
        return line.substring(line.indexOf(mark) + mark.length()).strip();
      }
    }
    throw new IOException("nothing said: " + mark);
  }

  private static Process java(String... arguments) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-Xmx128m", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8"));
    command.addAll(List.of("-cp", System.getProperty("java.class.path")));
    command.addAll(List.of(arguments));
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.environment().put("RUNWIRE_SERVER", address);
    return builder.redirectErrorStream(true).start();
  }

  private static String output(Process process) throws IOException, InterruptedException {
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), said);
    return said;
  }

  @Test
  void theWeatherShowsWhatHappens() throws IOException, InterruptedException {
    assertEquals(
        """
        tool    get_weather pending
        tool    get_weather running
        tool    get_weather succeeded
        answer  The answer is: Lisbon: 21 °C, clear
        turns   2
        """,
        output(java("dev.runwire.examples.Weather")));
  }

  @Test
  void theHostServesARunOfAnybodyAndDrainsOnSigterm() throws IOException, InterruptedException {
    Process host = java("dev.runwire.examples.RefundHost");
    try (Runwire client = Runwire.connect(address)) {
      // It waits for the host to come.
      RunResult result =
          client.run(
              Agent.of("till", "script:tools-1").tools(HostedTool.named("billing.refund")),
              "Refund 7 cents of invoice 12.");
      assertTrue(result.output().contains("\"refunded\":"), result.output());
    }
    host.destroy();
    assertTrue(host.waitFor(20, TimeUnit.SECONDS));
    assertEquals(SIGTERM_CODE, host.exitValue());
  }

  @Test
  void theProgramsOfTheReadmeRun() throws IOException, InterruptedException {
    Matcher programs = PROGRAM.matcher(Files.readString(Path.of("../README.md")));
    List<String> outputs = new ArrayList<>();
    while (programs.find()) {
      Path file = folder.resolve(programs.group(2) + ".java");
      Files.writeString(file, programs.group(1));
      outputs.add(output(java(file.toString())));
    }
    assertEquals(List.of("The answer is: Lisbon: 21 °C, clear\n"), outputs);
  }
}
