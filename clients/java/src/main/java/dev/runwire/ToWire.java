package dev.runwire;

import com.google.protobuf.Duration;
import com.google.protobuf.Timestamp;
import dev.runwire.v1.HostAffinity;
import dev.runwire.v1.ToolBinding;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Turns values into messages of the contract. */
final class ToWire {
  private ToWire() {}

  static Duration duration(java.time.Duration duration) {
    return Duration.newBuilder()
        .setSeconds(duration.getSeconds())
        .setNanos(duration.getNano())
        .build();
  }

  static Timestamp timestamp(Instant time) {
    return Timestamp.newBuilder()
        .setSeconds(time.getEpochSecond())
        .setNanos(time.getNano())
        .build();
  }

  static dev.runwire.v1.Message message(Message message) {
    return dev.runwire.v1.Message.newBuilder()
        .setId(message.id())
        .setRole(role(message.role()))
        .addAllParts(parts(message.parts()))
        .setName(message.name())
        .build();
  }

  static List<dev.runwire.v1.Part> parts(List<Part> parts) {
    return parts.stream().map(ToWire::part).toList();
  }

  static dev.runwire.v1.Agent agent(Agent agent, GenerationOptions options) {
    return dev.runwire.v1.Agent.newBuilder()
        .setName(agent.name())
        .setModel(agent.model())
        .addAllFallbackModels(options.fallbackModels())
        .setInstructions(agent.instructions())
        .addAllTools(agent.tools().stream().map(ToWire::binding).toList())
        .setOptions(options.wire())
        .build();
  }

  static dev.runwire.v1.Run.State state(RunState state) {
    return switch (state) {
      case UNKNOWN -> dev.runwire.v1.Run.State.STATE_UNSPECIFIED;
      case QUEUED -> dev.runwire.v1.Run.State.STATE_QUEUED;
      case RUNNING -> dev.runwire.v1.Run.State.STATE_RUNNING;
      case INPUT_REQUIRED -> dev.runwire.v1.Run.State.STATE_INPUT_REQUIRED;
      case CANCELLING -> dev.runwire.v1.Run.State.STATE_CANCELLING;
      case SUCCEEDED -> dev.runwire.v1.Run.State.STATE_SUCCEEDED;
      case FAILED -> dev.runwire.v1.Run.State.STATE_FAILED;
      case CANCELLED -> dev.runwire.v1.Run.State.STATE_CANCELLED;
    };
  }

  private static ToolBinding binding(dev.runwire.ToolBinding tool) {
    if (tool instanceof FunctionTool function) {
      ToolBinding.Builder binding = ToolBinding.newBuilder().setAttached(function.definition());
      return bounded(binding, function.times());
    }
    HostedTool hosted = (HostedTool) tool;
    dev.runwire.v1.HostedTool.Builder wire =
        dev.runwire.v1.HostedTool.newBuilder()
            .setName(hosted.name())
            .setVersion(hosted.version())
            .setHostId(hosted.hostId())
            .putAllHostLabels(hosted.hostLabels())
            .setAffinity(
                hosted.sticky() ? HostAffinity.HOST_AFFINITY_RUN : HostAffinity.HOST_AFFINITY_ANY);
    return bounded(ToolBinding.newBuilder().setHosted(wire), hosted.times());
  }

  private static ToolBinding bounded(ToolBinding.Builder binding, HostedTool.Times times) {
    times.call().map(ToWire::duration).ifPresent(binding::setTimeout);
    times.accept().map(ToWire::duration).ifPresent(binding::setAcceptTimeout);
    times.progress().map(ToWire::duration).ifPresent(binding::setProgressTimeout);
    return binding.build();
  }

  private static dev.runwire.v1.Role role(Role role) {
    return switch (role) {
      case UNKNOWN -> dev.runwire.v1.Role.ROLE_UNSPECIFIED;
      case SYSTEM -> dev.runwire.v1.Role.ROLE_SYSTEM;
      case USER -> dev.runwire.v1.Role.ROLE_USER;
      case ASSISTANT -> dev.runwire.v1.Role.ROLE_ASSISTANT;
      case TOOL -> dev.runwire.v1.Role.ROLE_TOOL;
    };
  }

  private static dev.runwire.v1.Part part(Part part) {
    dev.runwire.v1.Part.Builder wire =
        dev.runwire.v1.Part.newBuilder()
            .setProviderState(part.providerState())
            .setCacheBreakpoint(part.cacheBreakpoint());
    if (part instanceof Part.Text text) {
      wire.setText(text.text());
    } else if (part instanceof Part.Reasoning reasoning) {
      wire.setReasoning(dev.runwire.v1.Reasoning.newBuilder().setText(reasoning.text()));
    } else if (part instanceof Part.Media media) {
      wire.setMedia(media(media));
    } else if (part instanceof Part.ToolCall call) {
      wire.setToolCall(
          dev.runwire.v1.ToolCall.newBuilder()
              .setId(call.id())
              .setName(call.name())
              .setArgumentsJson(call.argumentsJson()));
    } else if (part instanceof Part.ToolResult result) {
      wire.setToolResult(
          dev.runwire.v1.ToolResult.newBuilder()
              .setCallId(result.callId())
              .addAllParts(parts(result.parts()))
              .setStructuredJson(result.structuredJson())
              .setIsError(result.isError()));
    }
    return wire.build();
  }

  private static dev.runwire.v1.Media media(Part.Media media) {
    dev.runwire.v1.Media.Builder wire =
        dev.runwire.v1.Media.newBuilder()
            .setMediaType(media.mediaType())
            .setFilename(media.filename());
    return Optional.of(media.uri())
        .filter(uri -> !uri.isEmpty())
        .map(wire::setUri)
        .orElseGet(() -> wire.setData(media.data()))
        .build();
  }
}
