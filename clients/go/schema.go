package runwire

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Schemer is a type that says its own JSON Schema.
type Schemer interface {
	JSONSchema() json.RawMessage
}

// schema is a JSON Schema, its keys and properties in the order in which the model shall read them.
type schema struct {
	Type                 string          `json:"type,omitempty"`
	Format               string          `json:"format,omitempty"`
	ContentEncoding      string          `json:"contentEncoding,omitempty"`
	Description          string          `json:"description,omitempty"`
	Enum                 []any           `json:"enum,omitempty"`
	Pattern              string          `json:"pattern,omitempty"`
	Minimum              json.Number     `json:"minimum,omitempty"`
	Maximum              json.Number     `json:"maximum,omitempty"`
	MinLength            json.Number     `json:"minLength,omitempty"`
	MaxLength            json.Number     `json:"maxLength,omitempty"`
	Items                *schema         `json:"items,omitempty"`
	MinItems             json.Number     `json:"minItems,omitempty"`
	MaxItems             json.Number     `json:"maxItems,omitempty"`
	Properties           *properties     `json:"properties,omitempty"`
	Required             []string        `json:"required,omitempty"`
	AdditionalProperties any             `json:"additionalProperties,omitempty"`
	own                  json.RawMessage // what the type itself says
}

type property struct {
	name   string
	schema *schema
}

type properties []property

var (
	timeType          = reflect.TypeFor[time.Time]()
	rawType           = reflect.TypeFor[json.RawMessage]()
	numberType        = reflect.TypeFor[json.Number]()
	schemerType       = reflect.TypeFor[Schemer]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

func schemaFor[T any]() (json.RawMessage, error) {
	t := reflect.TypeFor[T]()
	described, err := describe(t, nil)
	if err != nil {
		return nil, fmt.Errorf("runwire: %s: %w", t, err)
	}
	if t == rawType {
		described.Type = "object"
	}
	return encode(described)
}

func (s *schema) MarshalJSON() ([]byte, error) {
	if s.own != nil {
		return s.own, nil
	}
	type plain schema
	return encode((*plain)(s))
}

func (p properties) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer
	text.WriteByte('{')
	for i, each := range p {
		if i > 0 {
			text.WriteByte(',')
		}
		name, err := encode(each.name)
		if err != nil {
			return nil, err
		}
		value, err := encode(each.schema)
		if err != nil {
			return nil, err
		}
		text.Write(name)
		text.WriteByte(':')
		text.Write(value)
	}
	text.WriteByte('}')
	return text.Bytes(), nil
}

// encode is json.Marshal without the escapes for HTML, which only cost tokens.
func encode(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// describe says what a type looks like as JSON. The path holds the types around it: one that holds itself has no
// finite schema.
func describe(t reflect.Type, path []reflect.Type) (*schema, error) {
	if slices.Contains(path, t) {
		return nil, fmt.Errorf("%s holds itself", t)
	}
	if own, ok := describeSpecial(t); ok {
		return own, nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return &schema{Type: "boolean"}, nil
	case reflect.String:
		return &schema{Type: "string"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &schema{Type: "integer"}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return &schema{Type: "integer", Minimum: "0"}, nil
	case reflect.Float32, reflect.Float64:
		return &schema{Type: "number"}, nil
	case reflect.Pointer:
		return describe(t.Elem(), path)
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return &schema{}, nil
		}
	case reflect.Slice, reflect.Array:
		return describeList(t, append(path, t))
	case reflect.Map:
		return describeMap(t, append(path, t))
	case reflect.Struct:
		return describeStruct(t, append(path, t))
	}
	return nil, fmt.Errorf("%s has no form in JSON that a model could write", t)
}

// describeSpecial knows the types whose JSON is not that of their kind.
func describeSpecial(t reflect.Type) (*schema, bool) {
	switch {
	case t.Implements(schemerType) && t.Kind() != reflect.Interface:
		return &schema{own: reflect.Zero(t).Interface().(Schemer).JSONSchema()}, true
	case t == timeType:
		return &schema{Type: "string", Format: "date-time"}, true
	case t == rawType:
		return &schema{}, true
	case t == numberType:
		return &schema{Type: "number"}, true
	case t.Kind() != reflect.Interface && t.Kind() != reflect.Pointer && t.Implements(textMarshalerType):
		return &schema{Type: "string"}, true
	}
	return nil, false
}

func describeList(t reflect.Type, path []reflect.Type) (*schema, error) {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return &schema{Type: "string", ContentEncoding: "base64"}, nil
	}
	items, err := describe(t.Elem(), path)
	if err != nil {
		return nil, err
	}
	list := &schema{Type: "array", Items: items}
	if t.Kind() == reflect.Array {
		length := json.Number(strconv.Itoa(t.Len()))
		list.MinItems, list.MaxItems = length, length
	}
	return list, nil
}

func describeMap(t reflect.Type, path []reflect.Type) (*schema, error) {
	if t.Key().Kind() != reflect.String {
		return nil, fmt.Errorf("%s: the keys of a JSON object are strings", t)
	}
	values, err := describe(t.Elem(), path)
	if err != nil {
		return nil, err
	}
	object := &schema{Type: "object"}
	if t.Elem().Kind() != reflect.Interface {
		object.AdditionalProperties = values
	}
	return object, nil
}

func describeStruct(t reflect.Type, path []reflect.Type) (*schema, error) {
	object := &schema{Type: "object", Properties: &properties{}, AdditionalProperties: false}
	for i := range t.NumField() {
		if err := object.addField(t.Field(i), path); err != nil {
			return nil, err
		}
	}
	return object, nil
}

func (s *schema) addField(field reflect.StructField, path []reflect.Type) error {
	tag := field.Tag.Get("json")
	name, options, _ := strings.Cut(tag, ",")
	if tag == "-" || (!field.IsExported() && !field.Anonymous) {
		return nil
	}
	if field.Anonymous && name == "" && embedded(field.Type).Kind() == reflect.Struct {
		inner, err := describeStruct(embedded(field.Type), append(path, field.Type))
		if err != nil {
			return err
		}
		*s.Properties = append(*s.Properties, *inner.Properties...)
		s.Required = append(s.Required, inner.Required...)
		return nil
	}
	if name == "" {
		name = field.Name
	}
	described, err := describe(field.Type, path)
	if err == nil {
		err = described.annotate(field.Tag)
	}
	if err != nil {
		return fmt.Errorf("field %s: %w", field.Name, err)
	}
	*s.Properties = append(*s.Properties, property{name, described})
	flags := strings.Split(options, ",")
	optional := slices.Contains(flags, "omitempty") || slices.Contains(flags, "omitzero")
	if !optional && field.Type.Kind() != reflect.Pointer {
		s.Required = append(s.Required, name)
	}
	return nil
}

func embedded(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// annotate reads the tags desc, enum, pattern, min and max.
func (s *schema) annotate(tag reflect.StructTag) error {
	s.Description = tag.Get("desc")
	s.Pattern = tag.Get("pattern")
	if values, ok := tag.Lookup("enum"); ok {
		for value := range strings.SplitSeq(values, ",") {
			if s.Type == "string" {
				s.Enum = append(s.Enum, value)
			} else {
				s.Enum = append(s.Enum, json.RawMessage(value))
			}
		}
	}
	for key, bounds := range map[string][3]*json.Number{
		"min": {&s.Minimum, &s.MinLength, &s.MinItems},
		"max": {&s.Maximum, &s.MaxLength, &s.MaxItems},
	} {
		bound, ok := tag.Lookup(key)
		if !ok {
			continue
		}
		if _, err := json.Number(bound).Float64(); err != nil {
			return fmt.Errorf("tag %s: %q is not a number", key, bound)
		}
		switch s.Type {
		case "integer", "number":
			*bounds[0] = json.Number(bound)
		case "string":
			*bounds[1] = json.Number(bound)
		case "array":
			*bounds[2] = json.Number(bound)
		default:
			return fmt.Errorf("tag %s: a value of type %q has no bounds", key, s.Type)
		}
	}
	return nil
}
