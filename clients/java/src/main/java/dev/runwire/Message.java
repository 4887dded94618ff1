package dev.runwire;

import com.google.protobuf.ByteString;
import java.util.List;
import java.util.stream.Collectors;

/**
 * One entry of a conversation: ordered parts by one author.
 *
 * @param role the author
 * @param parts the content; parts of kinds that this version does not know are left out
 * @param id made by the server; may be empty
 * @param name the author's name, in conversations with several users; may be empty
 */
public record Message(Role role, List<Part> parts, String id, String name) {
  /** Copies the list. */
  public Message {
    parts = List.copyOf(parts);
  }

  /** A message by the user. */
  public static Message user(String text) {
    return user(Part.text(text));
  }

  /** A message by the user. */
  public static Message user(Part... parts) {
    return new Message(Role.USER, List.of(parts), "", "");
  }

  /** Instructions. */
  public static Message system(String text) {
    return new Message(Role.SYSTEM, List.of(Part.text(text)), "", "");
  }

  /** A message by the model, for conversations that began elsewhere. */
  public static Message assistant(String text) {
    return new Message(Role.ASSISTANT, List.of(Part.text(text)), "", "");
  }

  /** The result of a call that a completion has asked for, for the next completion. */
  public static Message toolResult(String callId, String text, boolean isError) {
    Part result =
        new Part.ToolResult(callId, List.of(Part.text(text)), "", isError, ByteString.EMPTY, false);
    return new Message(Role.TOOL, List.of(result), "", "");
  }

  /** The message's text, its parts joined. */
  public String text() {
    return textOf(parts);
  }

  /** The message's reasoning, its parts joined. */
  public String reasoning() {
    return partsOf(Part.Reasoning.class).stream()
        .map(Part.Reasoning::text)
        .collect(Collectors.joining());
  }

  /** The calls that the model asks for, in order. */
  public List<Part.ToolCall> toolCalls() {
    return partsOf(Part.ToolCall.class);
  }

  /** The results of tool calls, in order. */
  public List<Part.ToolResult> toolResults() {
    return partsOf(Part.ToolResult.class);
  }

  static String textOf(List<Part> parts) {
    return parts.stream()
        .filter(Part.Text.class::isInstance)
        .map(part -> ((Part.Text) part).text())
        .collect(Collectors.joining());
  }

  private <T extends Part> List<T> partsOf(Class<T> kind) {
    return parts.stream().filter(kind::isInstance).map(kind::cast).toList();
  }
}
