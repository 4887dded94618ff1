//! Which turn is played.

use std::sync::Arc;

use super::format::{Model, Turn};
use crate::domain::{
    completion::Request,
    message::{Content, Role},
    model::ToolChoice,
    principal::matches_glob,
    tool::ToolSpec,
};

/// What a script sees of a request.
pub(super) struct Scene<'a> {
    /// The request.
    pub(super) request: &'a Request,
    /// What stands for the `*` in the model's name.
    pub(super) parameter: &'a str,
    /// How many answers were given since the user spoke last.
    pub(super) step: usize,
    /// The user's last words.
    pub(super) user: String,
    /// What tools have said since the last answer, a line each.
    pub(super) result: String,
}

impl<'a> Scene<'a> {
    /// Reads a request.
    pub(super) fn new(request: &'a Request, parameter: &'a str) -> Self {
        let messages = &request.messages;
        let spoke = messages.iter().rposition(|m| m.role == Role::User);
        let since = spoke.and_then(|at| messages.get(at..)).unwrap_or(messages);
        let is_answer = |role: Role| role == Role::Assistant;
        let answered = messages.iter().rposition(|m| is_answer(m.role));
        let after = answered
            .and_then(|at| messages.get(at..))
            .unwrap_or(messages);
        let results = after.iter().flat_map(|message| &message.parts);
        let results = results.filter_map(|part| match &part.content {
            Content::ToolResult(result) => Some(result.joined_text()),
            Content::Text(_) | Content::Reasoning(_) | Content::Media(_) | Content::ToolCall(_) => {
                None
            }
        });
        Self {
            request,
            parameter,
            step: since.iter().filter(|m| is_answer(m.role)).count(),
            user: spoke
                .and_then(|at| messages.get(at))
                .map(|message| message.joined_text())
                .unwrap_or_default(),
            result: results.collect::<Vec<_>>().join("\n"),
        }
    }

    /// The tools that may be called and fit a pattern.
    pub(super) fn tools(&self, pattern: &str) -> impl Iterator<Item = &'a Arc<ToolSpec>> {
        let may_call = self.request.options.tool_choice != ToolChoice::None;
        self.request
            .tools
            .iter()
            .filter(move |tool| may_call && matches_glob(pattern, tool.name.as_str()))
    }

    /// The tool that must be called whatever the script says.
    pub(super) fn forced(&self) -> Option<&'a Arc<ToolSpec>> {
        match &self.request.options.tool_choice {
            ToolChoice::Required => self.request.tools.first(),
            ToolChoice::Tool(name) => self.request.tools.iter().find(|tool| tool.name == *name),
            ToolChoice::Auto | ToolChoice::None => None,
        }
    }
}

/// The first turn that fits.
pub(super) fn choose<'a>(model: &'a Model, scene: &Scene<'_>) -> Option<&'a Turn> {
    model.turns.iter().find(|turn| {
        let when = &turn.when;
        let said = |words: &String| scene.user.to_lowercase().contains(&words.to_lowercase());
        when.step.is_none_or(|step| step == scene.step)
            && when.says.as_ref().is_none_or(said)
            && when
                .tool
                .as_ref()
                .is_none_or(|tool| scene.tools(tool).next().is_some())
    })
}
