package dev.runwire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** TLS and mutual TLS, with the real server. */
@Timeout(60)
class SecurityTest {
  @TempDir static Path folder;

  @BeforeAll
  static void certify() throws IOException, InterruptedException {
    openssl("req -x509 " + newKey("ca") + " -subj /CN=authority -days 1 -out ca.pem");
    certify("server", "DNS:runwire.test");
    certify("client", "DNS:billing.acme");
  }

  private static String newKey(String name) {
    return "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout " + name + ".key";
  }

  private static void certify(String name, String alternative)
      throws IOException, InterruptedException {
    openssl("req " + newKey(name) + " -subj /CN=" + name + " -out " + name + ".csr");
    Files.writeString(file(name + ".ext"), "subjectAltName=" + alternative + "\n");
    openssl(
        ("x509 -req -in NAME.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1"
                + " -extfile NAME.ext -out NAME.pem")
            .replace("NAME", name));
  }

  private static void openssl(String arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of("openssl"));
    command.addAll(List.of(arguments.split(" ")));
    Process process =
        new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), said);
  }

  private static Path file(String name) {
    return folder.resolve(name);
  }

  private static String settings() {
    return """
    [server.tls]
    cert = "CERT"
    key = "KEY"
    """
        .replace("CERT", file("server.pem").toString())
        .replace("KEY", file("server.key").toString());
  }

  private static Server server(String settings) throws IOException {
    return Server.start(Files.createTempDirectory(folder, "server"), settings);
  }

  private static Runwire.Builder client(Server server) {
    return Runwire.builder().target(server.address()).serverName("runwire.test");
  }

  private static void refused(Runwire.Builder builder) {
    try (Runwire client = builder.build()) {
      assertThrows(
          RunwireException.UnavailableException.class, () -> client.complete("script:echo", "go"));
    }
  }

  @Test
  void aServerIsKnownByItsCertificateAndTheNameInIt() throws IOException {
    try (Server server = server(settings());
        Runwire known = client(server).tls(file("ca.pem")).build()) {
      assertTrue(known.complete("script:echo", "hello").text().contains("hello"));
      refused(Runwire.builder().target(server.address()).tls(file("ca.pem")));
      refused(client(server).target("https://" + server.address()));
    }
  }

  @Test
  void aClientIsKnownByItsOwnCertificate() throws IOException {
    String mutual =
        settings()
            + """
            client_ca = "CA"
            [auth]
            mode = "mtls"
            [auth.principals."billing.acme"]
            scopes = ["completions"]
            """
                .replace("CA", file("ca.pem").toString());
    try (Server server = server(mutual);
        Runwire known =
            client(server)
                .mutualTls(file("ca.pem"), file("client.pem"), file("client.key"))
                .build()) {
      assertTrue(known.complete("script:echo", "hello").text().contains("hello"));
      assertThrows(
          RunwireException.PermissionDeniedException.class,
          () -> known.runs().get("run_01a2070a6ad772559940ead9015b8fba"));
      refused(client(server).tls(file("ca.pem")));
    }
  }
}
