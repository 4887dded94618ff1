//! `runwire complete` and `runwire chat`.

use std::io::IsTerminal as _;

use futures_util::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::{
    Stop,
    args::{ChatArgs, CompleteArgs, Generation},
    interruptible, json, output,
    target::{Local, Target},
};
use crate::{
    client::{Client, message},
    config::Environment,
    pb::v1::{
        Completion, CompletionParams, FinishReason, GenerationOptions, Message,
        message_delta::Delta, stream_completion_response::Event,
    },
};

/// The longest prompt that is read from standard input.
const MAX_PROMPT_BYTES: u64 = 16 << 20;

/// Asks once.
pub(super) async fn complete(
    args: CompleteArgs,
    environment: Environment,
    local: Local,
) -> Result<(), Stop> {
    let prompt = prompt(args.prompt).await?;
    let target = Target::new(&args.common, environment, local).await?;
    let params = params(&args.generation, vec![message::user(prompt)]);
    let shown = Shown {
        json: args.common.json,
        reasoning: args.generation.reasoning,
    };
    interruptible(answer(&target.client, params, shown)).await?;
    Ok(())
}

/// Talks until the input ends.
pub(super) async fn chat(
    args: ChatArgs,
    environment: Environment,
    local: Local,
) -> Result<(), Stop> {
    let target = Target::new(&args.common, environment, local).await?;
    let shown = Shown {
        json: args.common.json,
        reasoning: args.generation.reasoning,
    };
    // Around all of it: between an answer and the next line, too, Ctrl-C is heard.
    interruptible(talk(&target.client, &args.generation, shown)).await
}

async fn talk(client: &Client, generation: &Generation, shown: Shown) -> Result<(), Stop> {
    let is_terminal = std::io::stdin().is_terminal();
    let mut lines = BufReader::new(tokio::io::stdin().take(MAX_PROMPT_BYTES)).lines();
    let mut messages = Vec::new();
    loop {
        if is_terminal {
            output::aside("> ");
        }
        let Some(line) = lines.next_line().await? else {
            return Ok(());
        };
        if line.trim().is_empty() {
            continue;
        }
        messages.push(message::user(line));
        let params = params(generation, messages.clone());
        match answer(client, params, shown).await {
            Ok(said) => messages.extend(said),
            // A person may say it differently; a script has failed.
            Err(Stop::Failed(why)) if is_terminal => {
                messages.pop();
                output::note(why);
            }
            Err(stop) => return Err(stop),
        }
    }
}

/// What is printed of an answer.
#[derive(Clone, Copy)]
struct Shown {
    json: bool,
    reasoning: bool,
}

/// Completes, printing the answer as it comes. Returns the whole message.
async fn answer(
    client: &Client,
    params: CompletionParams,
    shown: Shown,
) -> Result<Option<Message>, Stop> {
    let mut events = client.stream(params).await?;
    let mut printer = Printer::default();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                printer.end_line()?;
                return Err(error.into());
            }
        };
        if shown.json {
            output::json(&json::completion_event(&event))?;
        }
        match event {
            Event::Started(_) => {}
            Event::Delta(delta) => {
                if !shown.json {
                    printer.delta(delta.delta.as_ref(), shown.reasoning)?;
                }
            }
            Event::Completion(completion) => {
                if !shown.json {
                    printer.completion(&completion)?;
                }
                return Ok(completion.message);
            }
        }
    }
    Ok(None)
}

/// The text of one message as it comes, each part once, and a line's end behind it.
#[derive(Default)]
pub(super) struct Printer {
    /// What of the message was printed.
    printed: String,
    is_mid_line: bool,
    is_reasoning: bool,
}

impl Printer {
    /// Prints an increment.
    pub(super) fn delta(&mut self, delta: Option<&Delta>, reasoning: bool) -> Result<(), Stop> {
        match delta {
            Some(Delta::Text(text)) => {
                self.end_reasoning();
                self.text(text)
            }
            Some(Delta::Reasoning(text)) if reasoning => {
                self.is_reasoning = true;
                output::aside(text);
                Ok(())
            }
            Some(Delta::Reasoning(_) | Delta::ToolCall(_)) | None => Ok(()),
        }
    }

    /// Prints the text that follows.
    fn text(&mut self, text: &str) -> Result<(), Stop> {
        if !text.is_empty() {
            output::text(text)?;
            self.printed.push_str(text);
            self.is_mid_line = !text.ends_with('\n');
        }
        Ok(())
    }

    /// Prints what is still missing of a text: deltas may be left out once the message is complete.
    pub(super) fn rest(&mut self, whole: &str) -> Result<(), Stop> {
        if let Some(rest) = whole.strip_prefix(&self.printed) {
            self.end_reasoning();
            return self.text(rest);
        }
        // Something else than the deltas have said: it stands for itself.
        self.begin()?;
        self.text(whole)
    }

    /// Begins another message.
    pub(super) fn begin(&mut self) -> Result<(), Stop> {
        self.printed.clear();
        self.end_line()
    }

    /// Prints what no delta has shown, and ends the line.
    fn completion(&mut self, completion: &Completion) -> Result<(), Stop> {
        self.rest(&message::text_of(completion.message.as_ref()))?;
        self.end_line()?;
        tell_unusual_end(completion.finish_reason());
        Ok(())
    }

    fn end_reasoning(&mut self) {
        if std::mem::take(&mut self.is_reasoning) {
            output::aside("\n");
        }
    }

    /// Ends the line, if something stands in it.
    pub(super) fn end_line(&mut self) -> Result<(), Stop> {
        self.end_reasoning();
        if std::mem::take(&mut self.is_mid_line) {
            output::text("\n")?;
        }
        Ok(())
    }
}

/// Says on standard error that an answer did not end by itself.
pub(super) fn tell_unusual_end(reason: FinishReason) {
    match reason {
        FinishReason::Length => output::note("the answer ends early: the output limit was reached"),
        FinishReason::ContentFilter => output::note("the provider stopped the answer for safety"),
        FinishReason::Other => output::note("the provider stopped for a reason of its own"),
        FinishReason::Unspecified | FinishReason::Stop | FinishReason::ToolCalls => {}
    }
}

fn params(generation: &Generation, mut messages: Vec<Message>) -> CompletionParams {
    if let Some(words) = &generation.system {
        messages.insert(0, message::system(words));
    }
    CompletionParams {
        model: generation.model.clone(),
        fallback_models: generation.fallback.clone(),
        messages,
        tools: Vec::new(),
        options: Some(GenerationOptions {
            max_output_tokens: generation.max_tokens,
            temperature: generation.temperature,
            seed: generation.seed,
            ..GenerationOptions::default()
        }),
    }
}

/// What is to be asked: the argument, or standard input for `-`.
pub(super) async fn prompt(argument: String) -> Result<String, Stop> {
    if argument != "-" {
        return Ok(argument);
    }
    let mut text = String::new();
    let reading = async {
        let mut input = tokio::io::stdin().take(MAX_PROMPT_BYTES + 1);
        Ok(input.read_to_string(&mut text).await?)
    };
    let read = interruptible(reading).await?;
    if read as u64 > MAX_PROMPT_BYTES {
        return Err(Stop::Usage("the prompt is longer than 16 MiB".to_owned()));
    }
    Ok(text)
}
