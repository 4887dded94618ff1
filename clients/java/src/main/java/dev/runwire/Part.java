package dev.runwire;

import com.google.protobuf.ByteString;
import java.util.List;

/**
 * One piece of a message.
 *
 * <p>What a provider needs back in later turns travels as {@code providerState}: send the parts of
 * the model's messages back as they came.
 */
public sealed interface Part {

  /** A part of text. */
  static Text text(String text) {
    return new Text(text, ByteString.EMPTY, false);
  }

  /** An image or another medium, of an IANA media type, as bytes. */
  static Media media(String mediaType, byte[] data) {
    return new Media(mediaType, ByteString.copyFrom(data), "", "", ByteString.EMPTY, false);
  }

  /** An image or another medium, at an https URI that the provider can fetch. */
  static Media mediaUri(String mediaType, String uri) {
    return new Media(mediaType, ByteString.EMPTY, uri, "", ByteString.EMPTY, false);
  }

  /** Opaque state of the provider; empty when there is none. */
  ByteString providerState();

  /** Whether the provider is asked to cache the prompt up to and including this part. */
  boolean cacheBreakpoint();

  /** This part, with a request to the provider to cache the prompt up to and including it. */
  Part cached();

  /**
   * Plain text.
   *
   * @param text the text
   * @param providerState see {@link Part#providerState()}
   * @param cacheBreakpoint see {@link Part#cacheBreakpoint()}
   */
  record Text(String text, ByteString providerState, boolean cacheBreakpoint) implements Part {
    @Override
    public Text cached() {
      return new Text(text, providerState, true);
    }
  }

  /**
   * What the model thinks before its answer.
   *
   * @param text the text or a summary; empty when the provider hides it
   * @param providerState see {@link Part#providerState()}
   * @param cacheBreakpoint see {@link Part#cacheBreakpoint()}
   */
  record Reasoning(String text, ByteString providerState, boolean cacheBreakpoint) implements Part {
    @Override
    public Reasoning cached() {
      return new Reasoning(text, providerState, true);
    }
  }

  /**
   * Content that is not text, inline or by reference.
   *
   * @param mediaType the IANA media type
   * @param data the bytes; empty when there is a URI
   * @param uri the https URI; empty when there are bytes
   * @param filename of documents; may be empty
   * @param providerState see {@link Part#providerState()}
   * @param cacheBreakpoint see {@link Part#cacheBreakpoint()}
   */
  record Media(
      String mediaType,
      ByteString data,
      String uri,
      String filename,
      ByteString providerState,
      boolean cacheBreakpoint)
      implements Part {
    /** This medium, as the file of that name. */
    public Media named(String filename) {
      return new Media(mediaType, data, uri, filename, providerState, cacheBreakpoint);
    }

    @Override
    public Media cached() {
      return new Media(mediaType, data, uri, filename, providerState, true);
    }
  }

  /**
   * A call that the model asks for.
   *
   * @param id the call's id, and its idempotency key
   * @param name the tool's name
   * @param argumentsJson the arguments as JSON text, exactly as the model wrote it
   * @param providerState see {@link Part#providerState()}
   * @param cacheBreakpoint see {@link Part#cacheBreakpoint()}
   */
  record ToolCall(
      String id,
      String name,
      String argumentsJson,
      ByteString providerState,
      boolean cacheBreakpoint)
      implements Part {
    @Override
    public ToolCall cached() {
      return new ToolCall(id, name, argumentsJson, providerState, true);
    }
  }

  /**
   * What a call returned.
   *
   * @param callId the call
   * @param parts text and media for the model
   * @param structuredJson structured output as JSON text; may be empty
   * @param isError whether the tool ran and failed
   * @param providerState see {@link Part#providerState()}
   * @param cacheBreakpoint see {@link Part#cacheBreakpoint()}
   */
  record ToolResult(
      String callId,
      List<Part> parts,
      String structuredJson,
      boolean isError,
      ByteString providerState,
      boolean cacheBreakpoint)
      implements Part {
    /** Copies the list. */
    public ToolResult {
      parts = List.copyOf(parts);
    }

    /** The result's text, its parts joined. */
    public String text() {
      return Message.textOf(parts);
    }

    @Override
    public ToolResult cached() {
      return new ToolResult(callId, parts, structuredJson, isError, providerState, true);
    }
  }
}
