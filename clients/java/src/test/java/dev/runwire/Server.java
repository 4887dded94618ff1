package dev.runwire;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A process of the real server: {@code $RUNWIRE_BIN}, else what cargo has built. */
final class Server implements AutoCloseable {
  private static final String READY = "runwire listening on ";
  private static final String SETTINGS =
      """
      [retry]
      base_delay = "10ms"
      [tools]
      grace = "1s"
      [server]
      drain = "1s"
      """;

  private final Process process;
  private final String address;

  private Server(Process process, String address) {
    this.process = process;
    this.address = address;
  }

  static Server start(Path folder) throws IOException {
    return start(folder, SETTINGS);
  }

  static Server start(Path folder, String settings) throws IOException {
    String binary = System.getenv("RUNWIRE_BIN");
    if (binary == null) {
      binary = Path.of("../../target/debug/runwire").toAbsolutePath().toString();
    }
    Path config = Files.writeString(folder.resolve("runwire.toml"), settings);
    List<String> command = new ArrayList<>(List.of(binary, "serve", "--config", config.toString()));
    command.addAll(List.of("--listen", "127.0.0.1:0"));
    command.addAll(List.of("--data-dir", folder.resolve("data").toString()));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    BufferedReader log =
        new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    StringBuilder heard = new StringBuilder();
    for (String line = log.readLine(); line != null; line = log.readLine()) {
      heard.append(line).append('\n');
      if (line.startsWith(READY)) {
        drain(log);
        return new Server(process, line.substring(READY.length()).strip());
      }
    }
    throw new IOException("the server did not start:\n" + heard);
  }

  String address() {
    return address;
  }

  @Override
  public void close() {
    process.destroy();
    try {
      if (!process.waitFor(10, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Its log must not fill the pipe. */
  private static void drain(BufferedReader log) {
    Thread reader = new Thread(() -> log.lines().forEach(line -> {}), "server-log");
    reader.setDaemon(true);
    reader.start();
  }
}
