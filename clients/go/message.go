package runwire

import (
	"strings"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// Message is one entry of a conversation: ordered parts by one author. Messages of the server are sent back as they
// came; they hold what a provider needs again, such as signed reasoning.
type Message = runwirev1.Message

// Part is one piece of a message: text, reasoning, media, a tool call, or a tool's result.
type Part = runwirev1.Part

// ToolCall is a call that the model asks for. ArgumentsJson is its arguments' text, exactly as the model wrote it.
type ToolCall = runwirev1.ToolCall

// Text returns a conversation of one message by the user.
func Text(text string) []*Message {
	return []*Message{User(TextPart(text))}
}

// User returns a message by the user.
func User(parts ...*Part) *Message {
	return &Message{Role: runwirev1.Role_ROLE_USER, Parts: parts}
}

// System returns instructions.
func System(text string) *Message {
	return &Message{Role: runwirev1.Role_ROLE_SYSTEM, Parts: []*Part{TextPart(text)}}
}

// Assistant returns a message by the model, for conversations that began elsewhere.
func Assistant(text string) *Message {
	return &Message{Role: runwirev1.Role_ROLE_ASSISTANT, Parts: []*Part{TextPart(text)}}
}

// ToolResult returns the result of a call that a completion has asked for, for the next completion.
func ToolResult(callID, text string, isError bool) *Message {
	result := &runwirev1.ToolResult{CallId: callID, Parts: []*Part{TextPart(text)}, IsError: isError}
	part := &Part{Content: &runwirev1.Part_ToolResult{ToolResult: result}}
	return &Message{Role: runwirev1.Role_ROLE_TOOL, Parts: []*Part{part}}
}

// TextPart returns a part of text.
func TextPart(text string) *Part {
	return &Part{Content: &runwirev1.Part_Text{Text: text}}
}

// MediaPart returns an image or another medium, of an IANA media type, as bytes.
func MediaPart(mediaType string, data []byte) *Part {
	media := &runwirev1.Media{MediaType: mediaType, Source: &runwirev1.Media_Data{Data: data}}
	return &Part{Content: &runwirev1.Part_Media{Media: media}}
}

// MediaURI returns an image or another medium as an https URI that the provider can fetch.
func MediaURI(mediaType, uri string) *Part {
	media := &runwirev1.Media{MediaType: mediaType, Source: &runwirev1.Media_Uri{Uri: uri}}
	return &Part{Content: &runwirev1.Part_Media{Media: media}}
}

// TextOf returns the text of a message, its parts joined. Parts of kinds that this version does not know are skipped.
func TextOf(message *Message) string { return textOf(message.GetParts()) }

// ReasoningOf returns the reasoning of a message, its parts joined.
func ReasoningOf(message *Message) string {
	var text strings.Builder
	for _, part := range message.GetParts() {
		text.WriteString(part.GetReasoning().GetText())
	}
	return text.String()
}

// ToolCallsOf returns the tool calls of a message, in order.
func ToolCallsOf(message *Message) []*ToolCall {
	var calls []*ToolCall
	for _, part := range message.GetParts() {
		if call := part.GetToolCall(); call != nil {
			calls = append(calls, call)
		}
	}
	return calls
}

func textOf(parts []*Part) string {
	var text strings.Builder
	for _, part := range parts {
		text.WriteString(part.GetText())
	}
	return text.String()
}
