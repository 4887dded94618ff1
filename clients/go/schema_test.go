package runwire_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"runwire.dev/go/runwire"
)

type level string

func (level) JSONSchema() json.RawMessage {
	return json.RawMessage(`{"type":"string","enum":["low","high"]}`)
}

type base struct {
	ID string `json:"id" desc:"Which one."`
}

type stop struct {
	Place string   `json:"place"`
	Tags  []string `json:"tags,omitempty" max:"3"`
}

type trip struct {
	base
	Stops    []stop            `json:"stops" min:"1" desc:"In order <so>."`
	Kind     string            `json:"kind" enum:"bus,train"`
	Class    int               `json:"class" enum:"1,2"`
	Seats    uint8             `json:"seats"`
	Fare     float64           `json:"fare" min:"0" max:"99.5"`
	Code     string            `json:"code" pattern:"^[A-Z]+$" max:"4"`
	When     time.Time         `json:"when"`
	Ticket   []byte            `json:"ticket"`
	Extra    map[string]int    `json:"extra"`
	Anything any               `json:"anything"`
	Raw      json.RawMessage   `json:"raw"`
	Exact    json.Number       `json:"exact"`
	Pair     [2]bool           `json:"pair"`
	Level    level             `json:"level"`
	Maybe    *stop             `json:"maybe"`
	Notes    map[string]string `json:",omitzero"`
	Hidden   string            `json:"-"`
	private  string
}

func schemaOf[T any](t *testing.T) string {
	t.Helper()
	tool, err := runwire.NewTool("t", "", func(context.Context, T) (string, error) { return "", nil })
	if err != nil {
		t.Fatal(err)
	}
	return string(tool.Schema())
}

func TestAStructDescribesItselfInTheOrderOfItsFields(t *testing.T) {
	_ = trip{private: ""}
	want := strings.Join([]string{
		`{"type":"object","properties":{"id":{"type":"string","description":"Which one."}`,
		`"stops":{"type":"array","description":"In order <so>.","items":{"type":"object","properties":{"place":{"type":"string"}`,
		`"tags":{"type":"array","items":{"type":"string"},"maxItems":3}},"required":["place"],"additionalProperties":false},"minItems":1}`,
		`"kind":{"type":"string","enum":["bus","train"]}`,
		`"class":{"type":"integer","enum":[1,2]}`,
		`"seats":{"type":"integer","minimum":0}`,
		`"fare":{"type":"number","minimum":0,"maximum":99.5}`,
		`"code":{"type":"string","pattern":"^[A-Z]+$","maxLength":4}`,
		`"when":{"type":"string","format":"date-time"}`,
		`"ticket":{"type":"string","contentEncoding":"base64"}`,
		`"extra":{"type":"object","additionalProperties":{"type":"integer"}}`,
		`"anything":{}`,
		`"raw":{}`,
		`"exact":{"type":"number"}`,
		`"pair":{"type":"array","items":{"type":"boolean"},"minItems":2,"maxItems":2}`,
		`"level":{"type":"string","enum":["low","high"]}`,
		`"maybe":{"type":"object","properties":{"place":{"type":"string"},"tags":{"type":"array","items":{"type":"string"},"maxItems":3}},` +
			`"required":["place"],"additionalProperties":false}`,
		`"Notes":{"type":"object","additionalProperties":{"type":"string"}}},` +
			`"required":["id","stops","kind","class","seats","fare","code","when","ticket","extra","anything","raw","exact","pair","level"],` +
			`"additionalProperties":false}`,
	}, ",")
	if got := schemaOf[trip](t); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWhateverIsAnObjectCanBeAnArgument(t *testing.T) {
	for got, want := range map[string]string{
		schemaOf[struct{}](t):        `{"type":"object","properties":{},"additionalProperties":false}`,
		schemaOf[map[string]any](t):  `{"type":"object"}`,
		schemaOf[json.RawMessage](t): `{"type":"object"}`,
		schemaOf[*base](t): `{"type":"object","properties":{"id":{"type":"string","description":"Which one."}},` +
			`"required":["id"],"additionalProperties":false}`,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

type node struct {
	Next *node `json:"next"`
}

func TestATypeWithoutASchemaIsRefusedByName(t *testing.T) {
	for what, make := range map[string]func() error{
		"field Next: runwire_test.node holds itself": refused[node],
		"has no form in JSON":                        refused[struct{ C chan int }],
		"keys of a JSON object are strings":          refused[map[int]string],
		"is not a number": refused[struct {
			N int `min:"few"`
		}],
	} {
		if err := make(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want it to say %q", err, what)
		}
	}
}

func refused[T any]() error {
	_, err := runwire.NewTool("t", "", func(context.Context, T) (string, error) { return "", nil })
	return err
}
