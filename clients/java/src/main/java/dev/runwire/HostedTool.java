package dev.runwire;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/**
 * A tool that some tool host has registered.
 *
 * @param name its name
 * @param version the only one that will do; empty: any
 * @param hostId the only host, for functions of one's own process; empty: any
 * @param hostLabels what a host must have
 * @param sticky whether later calls of a run go to the host of its first
 * @param times limits of a call
 */
public record HostedTool(
    String name,
    String version,
    String hostId,
    Map<String, String> hostLabels,
    boolean sticky,
    Times times)
    implements ToolBinding {
  /** Copies the labels. */
  public HostedTool {
    hostLabels = Map.copyOf(hostLabels);
  }

  /** The tool of this name, on any host. */
  public static HostedTool named(String name) {
    return new HostedTool(name, "", "", Map.of(), false, Times.SERVERS);
  }

  /** This tool in this version only. */
  public HostedTool inVersion(String version) {
    return new HostedTool(name, version, hostId, hostLabels, sticky, times);
  }

  /** This tool on this host only. */
  public HostedTool onHost(String hostId) {
    return new HostedTool(name, version, hostId, hostLabels, sticky, times);
  }

  /** This tool on hosts with these labels only. */
  public HostedTool onHosts(Map<String, String> labels) {
    return new HostedTool(name, version, hostId, labels, sticky, times);
  }

  /** This tool, whose later calls in a run go to the host of the first. */
  public HostedTool onOneHost() {
    return new HostedTool(name, version, hostId, hostLabels, true, times);
  }

  /** This tool with these limits. */
  public HostedTool within(Times times) {
    return new HostedTool(name, version, hostId, hostLabels, sticky, times);
  }

  /**
   * Limits of a call; those that are empty are the server's.
   *
   * @param call for one execution
   * @param accept for a host to accept the call; zero fails at once when none is there
   * @param progress the longest silence between two reports of progress
   */
  public record Times(
      Optional<Duration> call, Optional<Duration> accept, Optional<Duration> progress) {
    /** The server's. */
    public static final Times SERVERS =
        new Times(Optional.empty(), Optional.empty(), Optional.empty());
  }
}
