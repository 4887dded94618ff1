package dev.runwire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnknownFieldSet;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.runwire.v1.ErrorReason;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class WireTest {
  /** A field that a newer contract has. */
  private static final UnknownFieldSet NEW =
      UnknownFieldSet.newBuilder()
          .addField(
              99, UnknownFieldSet.Field.newBuilder().addLengthDelimited(ByteString.EMPTY).build())
          .build();

  @Test
  void partsEventsAndValuesThatNobodyKnowsAreLeftOut() throws InvalidProtocolBufferException {
    dev.runwire.v1.Message message =
        dev.runwire.v1.Message.newBuilder()
            .setRoleValue(77)
            .addParts(dev.runwire.v1.Part.newBuilder().setUnknownFields(NEW))
            .addParts(dev.runwire.v1.Part.newBuilder().setText("known"))
            .build();
    Message read = FromWire.message(dev.runwire.v1.Message.parseFrom(message.toByteString()));
    assertEquals(Role.UNKNOWN, read.role());
    assertEquals(List.of(Part.text("known")), read.parts());
    dev.runwire.v1.RunEvent event =
        dev.runwire.v1.RunEvent.newBuilder().setSequence(3).setUnknownFields(NEW).build();
    assertEquals(List.of(), FromWire.events("run", event));
    assertEquals(
        RunState.UNKNOWN,
        FromWire.run(dev.runwire.v1.Run.newBuilder().setStateValue(77).build()).state());
  }

  @Test
  void messagesReturnAsTheyCame() {
    dev.runwire.v1.Message message =
        dev.runwire.v1.Message.newBuilder()
            .setId("msg")
            .setRole(dev.runwire.v1.Role.ROLE_ASSISTANT)
            .addParts(
                dev.runwire.v1.Part.newBuilder()
                    .setReasoning(dev.runwire.v1.Reasoning.newBuilder().setText("hm"))
                    .setProviderState(ByteString.copyFromUtf8("signed")))
            .addParts(
                dev.runwire.v1.Part.newBuilder()
                    .setToolCall(
                        dev.runwire.v1.ToolCall.newBuilder()
                            .setId("call")
                            .setName("t")
                            .setArgumentsJson("{\"z\": 1.0, \"a\": 9223372036854775807}")))
            .addParts(
                dev.runwire.v1.Part.newBuilder()
                    .setMedia(
                        dev.runwire.v1.Media.newBuilder()
                            .setMediaType("image/png")
                            .setUri("https://example.com/a.png")))
            .build();
    assertEquals(message, ToWire.message(FromWire.message(message)));
  }

  @Test
  void aStatusGivesItsReasonMetadataDelayAndViolations() {
    com.google.rpc.Status status =
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
            .setMessage("slowly")
            .addDetails(
                Any.pack(
                    ErrorInfo.newBuilder()
                        .setDomain("runwire.dev")
                        .setReason(Reason.PROVIDER_RATE_LIMITED)
                        .putMetadata("provider", "openai")
                        .build()))
            .addDetails(
                Any.pack(
                    RetryInfo.newBuilder()
                        .setRetryDelay(ToWire.duration(Duration.ofMillis(1500)))
                        .build()))
            .addDetails(
                Any.pack(
                    BadRequest.newBuilder()
                        .addFieldViolations(
                            BadRequest.FieldViolation.newBuilder()
                                .setField("params.model")
                                .setDescription("missing"))
                        .build()))
            .build();
    RunwireException thrown = RunwireException.from(StatusProto.toStatusRuntimeException(status));
    assertInstanceOf(RunwireException.ResourceExhaustedException.class, thrown);
    assertEquals(Reason.PROVIDER_RATE_LIMITED, thrown.reason());
    assertEquals(Map.of("provider", "openai"), thrown.metadata());
    assertEquals(Duration.ofMillis(1500), thrown.retryDelay().orElseThrow());
    assertEquals("params.model", thrown.violations().get(0).field());
  }

  @Test
  void whatAProxySaysHasNoReason() {
    RunwireException thrown =
        RunwireException.from(
            Status.UNAVAILABLE.withDescription("no upstream").asRuntimeException());
    assertEquals("", thrown.reason());
    assertTrue(thrown.retryDelay().isEmpty());
    assertEquals("UNAVAILABLE: no upstream", thrown.getMessage());
  }

  @Test
  void theReasonsAreThoseOfTheContract() {
    Set<String> contract =
        Arrays.stream(ErrorReason.values())
            .filter(reason -> reason != ErrorReason.UNRECOGNIZED)
            .map(reason -> reason.name().replace("ERROR_REASON_", ""))
            .filter(name -> !name.equals("UNSPECIFIED"))
            .collect(Collectors.toSet());
    Set<String> here =
        Arrays.stream(Reason.class.getFields())
            .map(java.lang.reflect.Field::getName)
            .collect(Collectors.toSet());
    assertEquals(contract, here);
  }
}
