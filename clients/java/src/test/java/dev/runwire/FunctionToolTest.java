package dev.runwire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.math.BigInteger;
import java.time.LocalDate;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;

class FunctionToolTest {
  enum Unit {
    CELSIUS,
    @JsonProperty("kelvin")
    KELVIN
  }

  record Place(
      @Param(value = "The city's name.", min = "1", max = "80") String city, Optional<Unit> unit) {}

  record Trip(
      List<Place> stops,
      @JsonProperty("leave_on") LocalDate leaveOn,
      @Param(min = "1", max = "9007199254740993") long cents,
      Set<String> tags,
      @Param(optional = true, pattern = "[a-z]+") String note,
      Map<String, Object> extra) {}

  record Node(Node next) {}

  record Wide(BigInteger number, Map<String, Object> rest) {}

  static class Billing {
    @Tool(value = "Refund an invoice.", name = "billing.refund", idempotent = true)
    String refund(@Param("The invoice's number.") String id, long cents, CallContext call) {
      return id + " " + cents + " " + call.attempt();
    }

    @Tool(value = "Look an invoice up.", readOnly = true, timeoutMillis = 500)
    Map<String, Object> find(Place place) {
      return Map.of("at", place.city());
    }

    @Tool("Guess.")
    String guess(@Param(optional = true) String hint, Optional<Integer> count)
        throws ToolException {
      throw new ToolException(hint + " " + count);
    }

    void notATool() {}
  }

  private static final CallContext CALL =
      new CallContext(
          new CallContext.Facts("call", 3, "run", "agent", Map.of(), "", "", Optional.empty()),
          Runnable::run,
          progress -> {});

  private static FunctionTool billing(String name) {
    return FunctionTool.of(new Billing()).stream()
        .filter(tool -> tool.name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void aRecordSaysItsSchema() {
    assertEquals(
        "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"description\":\"The"
            + " city's name.\",\"minLength\":1,\"maxLength\":80},\"unit\":{\"type\":\"string\","
            + "\"enum\":[\"CELSIUS\",\"kelvin\"]}},\"required\":[\"city\"],"
            + "\"additionalProperties\":false}",
        Schema.of(Place.class).toString());
  }

  @Test
  void aSchemaHoldsListsDatesBoundsAndWhatIsOptional() {
    String schema = Schema.of(Trip.class).toString();
    assertTrue(schema.contains("\"leave_on\":{\"type\":\"string\",\"format\":\"date\"}"), schema);
    assertTrue(schema.contains("\"minimum\":1,\"maximum\":9007199254740993"), schema);
    assertTrue(schema.contains("\"uniqueItems\":true"), schema);
    assertTrue(schema.contains("\"note\":{\"type\":\"string\",\"pattern\":\"[a-z]+\"}"), schema);
    assertTrue(
        schema.contains("\"required\":[\"stops\",\"leave_on\",\"cents\",\"tags\",\"extra\"]"),
        schema);
  }

  @Test
  void whatHasNoSchemaIsRefusedWithItsPlace() {
    assertThrows(IllegalArgumentException.class, () -> Schema.of(Node.class));
    assertThrows(IllegalArgumentException.class, () -> Schema.of(Thread.class));
    assertThrows(IllegalArgumentException.class, () -> Schema.ofObject(String.class));
  }

  @Test
  void annotatedMethodsAreToolsInTheOrderOfTheirNames() {
    List<FunctionTool> tools = FunctionTool.of(new Billing());
    assertEquals(
        List.of("find", "guess", "billing.refund"),
        tools.stream().map(FunctionTool::name).toList());
    assertTrue(billing("billing.refund").mayRunAgain());
    assertTrue(billing("find").definition().getAnnotations().getReadOnly());
    assertEquals(500, billing("find").times().call().orElseThrow().toMillis());
  }

  @Test
  void aMethodTakesItsParametersByNameAndTheCall() throws Exception {
    Object result = billing("billing.refund").invoke("{\"cents\":7,\"id\":\"a\"}", CALL);
    assertEquals("a 7 3", result);
  }

  @Test
  void theOnlyParameterMayBeARecord() throws Exception {
    assertEquals(Map.of("at", "Oslo"), billing("find").invoke("{\"city\":\"Oslo\"}", CALL));
  }

  @Test
  void whatMayBeLeftOutIsNullOrEmptyAndExceptionsComeAsTheyAre() {
    ToolException thrown =
        assertThrows(ToolException.class, () -> billing("guess").invoke("{}", CALL));
    assertEquals("null Optional.empty", thrown.getMessage());
    assertNull(thrown.getCause());
  }

  @Test
  void argumentsThatDoNotFitAreAnErrorThatNamesThePlaceAndNoClass() {
    FunctionTool tool = FunctionTool.of("t", "T.", Trip.class, (in, call) -> in.cents());
    ToolException thrown =
        assertThrows(ToolException.class, () -> tool.invoke("{\"cents\":\"x\"}", CALL));
    assertEquals("invalid arguments at /cents: it does not fit the schema", thrown.getMessage());
    assertThrows(ToolException.class, () -> tool.invoke("{\"cents\":1} {}", CALL));
  }

  @Test
  void integersOfAnySizeArriveExactlyAlsoInsideMaps() throws Exception {
    FunctionTool tool = FunctionTool.of("t", "T.", Wide.class, (in, call) -> Json.write(in));
    String json =
        "{\"number\":123456789012345678901234567890,\"rest\":{\"z\":9007199254740993,\"a\":1.10}}";
    assertEquals(json, tool.invoke(json, CALL));
  }

  @Test
  void anObjectWithoutToolsIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> FunctionTool.of(new Object()));
  }

  @Test
  void twoToolsOfOneNameAreRefused() {
    FunctionTool tool = FunctionTool.raw("t", "T.", "{}", (in, call) -> "");
    assertThrows(
        IllegalArgumentException.class, () -> Agent.of("a", "script:echo").tools(tool, tool));
  }
}
