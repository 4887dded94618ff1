//! What vendors document of their models, by the beginning of the name. Each vendor's source stands above
//! its rows; a fact that its documentation does not give is left out.

use crate::domain::model::OutputSchemaMethod;

/// The documented traits of the models whose names begin with `prefix`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The beginning of their names; empty for all of the vendor's.
    pub prefix: &'static str,
    /// The context window, in tokens; 0 when it is not documented for all of them.
    pub context_tokens: u64,
    /// The largest output, in tokens; 0 likewise.
    pub max_output_tokens: u64,
    /// Media types beside text; empty for none.
    pub media: Option<&'static [&'static str]>,
    /// Takes tools.
    pub tools: Option<bool>,
    /// Makes several calls in a turn.
    pub parallel: Option<bool>,
    /// Thinks.
    pub reasoning: Option<bool>,
    /// How an output schema is enforced.
    pub schema: Option<OutputSchemaMethod>,
    /// Answers piece by piece.
    pub streaming: Option<bool>,
}

const fn row(prefix: &'static str) -> Row {
    Row {
        prefix,
        context_tokens: 0,
        max_output_tokens: 0,
        media: None,
        tools: None,
        parallel: None,
        reasoning: None,
        schema: None,
        streaming: None,
    }
}

impl Row {
    /// The same of models with another beginning.
    const fn of(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    const fn window(mut self, context: u64, output: u64) -> Self {
        self.context_tokens = context;
        self.max_output_tokens = output;
        self
    }

    const fn media(mut self, media: &'static [&'static str]) -> Self {
        self.media = Some(media);
        self
    }

    const fn text_only(self) -> Self {
        self.media(&[])
    }

    const fn tools(mut self) -> Self {
        self.tools = Some(true);
        self
    }

    const fn parallel(mut self, several: bool) -> Self {
        self.parallel = Some(several);
        self
    }

    const fn thinks(mut self, thinks: bool) -> Self {
        self.reasoning = Some(thinks);
        self
    }

    const fn native(mut self) -> Self {
        self.schema = Some(OutputSchemaMethod::Native);
        self
    }

    const fn by_prompt(mut self) -> Self {
        self.schema = Some(OutputSchemaMethod::Prompt);
        self
    }

    const fn streams(mut self) -> Self {
        self.streaming = Some(true);
        self
    }
}

/// What OpenAI's models see: images, and PDF documents as text and images of their pages.
const OPENAI_MEDIA: &[&str] = &[
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/gif",
    "application/pdf",
];
const IMAGES: &[&str] = &["image/png", "image/jpeg", "image/webp", "image/gif"];
const JPEG_AND_PNG: &[&str] = &["image/jpeg", "image/png"];
const GEMINI_MEDIA: &[&str] = &["image/*", "audio/*", "video/*", "application/pdf"];

/// What OpenAI's models have in common from GPT-5 on.
const GPT: Row = row("")
    .media(OPENAI_MEDIA)
    .tools()
    .parallel(true)
    .thinks(true)
    .native()
    .streams();
/// What most of its o series has.
const O: Row = row("")
    .media(OPENAI_MEDIA)
    .tools()
    .thinks(true)
    .native()
    .streams();
/// What all of Gemini has that converses.
const GEMINI_ALL: Row = row("")
    .media(GEMINI_MEDIA)
    .tools()
    .parallel(true)
    .native()
    .streams();

/// The tables, by vendor.
pub(super) const VENDORS: &[(&str, &[Row])] = &[
    ("anthropic", ANTHROPIC),
    ("aws", AWS),
    ("cohere", COHERE),
    ("deepseek", DEEPSEEK),
    ("gemini", GEMINI),
    ("groq", GROQ),
    ("mistral", MISTRAL),
    ("openai", OPENAI),
    ("xai", XAI),
];

/// platform.claude.com/docs, "Models overview", "Vision", "PDF support", "Parallel tool use". Windows and
/// limits of newer models come with the list.
const ANTHROPIC: &[Row] = &[
    row("claude-")
        .media(&[
            "image/jpeg",
            "image/png",
            "image/gif",
            "image/webp",
            "application/pdf",
        ])
        .tools()
        .parallel(true)
        .streams(),
    row("claude-3-")
        .window(200_000, 0)
        .media(IMAGES)
        .tools()
        .parallel(true)
        .streams(),
    row("claude-3-5-haiku")
        .window(200_000, 8_192)
        .media(IMAGES)
        .tools()
        .parallel(true)
        .streams(),
    row("claude-3-7-sonnet")
        .window(200_000, 64_000)
        .media(OPENAI_MEDIA)
        .tools()
        .parallel(true)
        .thinks(true)
        .streams(),
];

/// docs.aws.amazon.com/bedrock/latest/userguide, "Supported models and model features" of Converse, and the
/// model cards of Claude and Nova.
const AWS: &[Row] = &[
    row("amazon.nova-lite")
        .window(300_000, 0)
        .media(&["image/*", "video/*", "application/pdf"])
        .tools()
        .streams(),
    row("amazon.nova-micro")
        .window(128_000, 0)
        .text_only()
        .tools()
        .streams(),
    row("amazon.nova-pro")
        .window(300_000, 0)
        .media(&["image/*", "video/*", "application/pdf"])
        .tools()
        .streams(),
    row("anthropic.claude-")
        .media(OPENAI_MEDIA)
        .tools()
        .parallel(true)
        .streams(),
];

/// docs.cohere.com, "Models", "Tool use", "Structured outputs". Features and windows come with the list.
const COHERE: &[Row] = &[
    row("command-").streams(),
    row("command-r")
        .text_only()
        .tools()
        .parallel(true)
        .thinks(false)
        .native()
        .streams(),
    row("command-a")
        .text_only()
        .tools()
        .parallel(true)
        .native()
        .streams(),
    row("command-a-vision").media(IMAGES).native().streams(),
    row("command-a-reasoning")
        .text_only()
        .tools()
        .parallel(true)
        .thinks(true)
        .native()
        .streams(),
];

/// api-docs.deepseek.com, "Models & Pricing", "Tool Calls", "JSON Output": JSON, but by no schema.
const DEEPSEEK: &[Row] = &[
    row("deepseek-").text_only().tools().by_prompt().streams(),
    row("deepseek-v4-")
        .window(1_000_000, 384_000)
        .text_only()
        .tools()
        .parallel(true)
        .thinks(true)
        .by_prompt()
        .streams(),
];

/// ai.google.dev/gemini-api/docs, "Models", "Function calling", "Structured output". Windows, limits and
/// thinking come with the list.
const GEMINI: &[Row] = &[
    GEMINI_ALL.of("gemini-1.5-"),
    GEMINI_ALL.of("gemini-2.0-"),
    GEMINI_ALL.of("gemini-2.5-"),
    GEMINI_ALL.of("gemini-3"),
    // Those that make images or speech are documented apart.
    row("gemini-2.0-flash-preview-image"),
    row("gemini-2.5-flash-image"),
    row("gemini-2.5-flash-preview-tts"),
    row("gemini-2.5-pro-preview-tts"),
    row("gemini-2.5-flash-native-audio"),
    row("gemini-2.5-computer-use"),
];

/// console.groq.com/docs, "Tool use", "Structured outputs", "Reasoning", "Vision". Windows and limits come
/// with the list.
const GROQ: &[Row] = &[
    row("llama-3.1-8b-instant")
        .text_only()
        .tools()
        .parallel(true)
        .streams(),
    row("llama-3.3-70b-versatile")
        .text_only()
        .tools()
        .parallel(true)
        .streams(),
    row("meta-llama/llama-4-")
        .media(IMAGES)
        .tools()
        .parallel(true)
        .native()
        .streams(),
    row("moonshotai/kimi-k2-")
        .text_only()
        .tools()
        .parallel(true)
        .native()
        .streams(),
    row("openai/gpt-oss-")
        .text_only()
        .tools()
        .parallel(false)
        .thinks(true)
        .native()
        .streams(),
    row("qwen/qwen3-")
        .text_only()
        .tools()
        .parallel(true)
        .thinks(true)
        .streams(),
];

/// docs.mistral.ai, "Function calling", "Structured outputs", "Vision". The rest comes with the list.
const MISTRAL: &[Row] = &[
    row("").native().streams(),
    row("codestral-mamba").streams(),
    row("magistral-").thinks(true).native().streams(),
    row("mistral-large").parallel(true).native().streams(),
    row("mistral-medium").parallel(true).native().streams(),
    row("mistral-small").parallel(true).native().streams(),
];

/// developers.openai.com/docs/models, with the page of each model; "File inputs" for documents.
const OPENAI: &[Row] = &[
    row("gpt-3.5-turbo")
        .window(16_385, 4_096)
        .text_only()
        .thinks(false)
        .streams(),
    row("gpt-4")
        .window(8_192, 8_192)
        .text_only()
        .thinks(false)
        .streams(),
    row("gpt-4-turbo")
        .window(128_000, 4_096)
        .media(IMAGES)
        .tools()
        .parallel(true)
        .thinks(false)
        .streams(),
    row("gpt-4.1")
        .window(1_047_576, 32_768)
        .media(OPENAI_MEDIA)
        .tools()
        .parallel(true)
        .thinks(false)
        .native()
        .streams(),
    row("gpt-4o")
        .window(128_000, 16_384)
        .media(OPENAI_MEDIA)
        .tools()
        .parallel(true)
        .thinks(false)
        .native()
        .streams(),
    // Speech in or out: documented apart.
    row("gpt-4o-audio").streams(),
    row("gpt-4o-mini-audio").streams(),
    row("gpt-4o-realtime"),
    row("gpt-4o-mini-realtime"),
    row("gpt-4o-transcribe"),
    row("gpt-4o-mini-transcribe"),
    row("gpt-4o-mini-tts"),
    row("gpt-4o-search"),
    row("gpt-4o-mini-search"),
    GPT.of("gpt-5").window(400_000, 128_000),
    GPT.of("gpt-5."),
    GPT.of("gpt-5.1").window(400_000, 128_000),
    GPT.of("gpt-5.2").window(400_000, 128_000),
    row("gpt-5-chat")
        .window(128_000, 16_384)
        .media(OPENAI_MEDIA)
        .thinks(false)
        .streams(),
    row("gpt-5-pro")
        .window(400_000, 0)
        .media(OPENAI_MEDIA)
        .tools()
        .thinks(true)
        .native(),
    row("gpt-5-search"),
    GPT.of("gpt-5.4").window(1_050_000, 128_000),
    GPT.of("gpt-5.4-mini").window(400_000, 128_000),
    GPT.of("gpt-5.4-nano").window(400_000, 128_000),
    GPT.of("gpt-5.5").window(1_050_000, 128_000),
    O.of("o1").window(200_000, 100_000),
    row("o1-mini")
        .window(128_000, 65_536)
        .text_only()
        .thinks(true)
        .streams(),
    row("o1-pro")
        .window(200_000, 100_000)
        .media(OPENAI_MEDIA)
        .tools()
        .thinks(true)
        .native(),
    O.of("o3").window(200_000, 100_000),
    row("o3-mini")
        .window(200_000, 100_000)
        .text_only()
        .tools()
        .thinks(true)
        .native()
        .streams(),
    O.of("o4-mini").window(200_000, 100_000),
];

/// docs.x.ai, "Models and Pricing", "Function calling", "Structured outputs", "Image understanding".
const XAI: &[Row] = &[
    row("grok-").streams(),
    row("grok-2-image"),
    row("grok-imagine"),
    row("grok-3")
        .window(131_072, 0)
        .text_only()
        .tools()
        .parallel(true)
        .native()
        .streams(),
    row("grok-3-mini")
        .window(131_072, 0)
        .text_only()
        .tools()
        .parallel(true)
        .thinks(true)
        .native()
        .streams(),
    row("grok-4")
        .window(256_000, 0)
        .media(JPEG_AND_PNG)
        .tools()
        .parallel(true)
        .thinks(true)
        .native()
        .streams(),
    row("grok-4-fast")
        .window(2_000_000, 0)
        .media(JPEG_AND_PNG)
        .tools()
        .parallel(true)
        .native()
        .streams(),
    row("grok-4-1-fast")
        .window(2_000_000, 0)
        .media(JPEG_AND_PNG)
        .tools()
        .parallel(true)
        .native()
        .streams(),
    row("grok-4.")
        .media(JPEG_AND_PNG)
        .tools()
        .parallel(true)
        .native()
        .streams(),
    row("grok-4.5")
        .window(500_000, 0)
        .media(JPEG_AND_PNG)
        .tools()
        .parallel(true)
        .thinks(true)
        .native()
        .streams(),
    row("grok-code-fast")
        .window(256_000, 0)
        .text_only()
        .tools()
        .parallel(true)
        .thinks(true)
        .native()
        .streams(),
];
