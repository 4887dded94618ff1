package dev.runwire;

/** A tool of an {@link Agent}: of this process, or of whichever host has registered it. */
public sealed interface ToolBinding permits FunctionTool, HostedTool {
  /** The tool's name. */
  String name();
}
