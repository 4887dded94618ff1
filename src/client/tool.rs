//! Tools: functions of this process that models may call.

use std::{collections::HashMap, fmt, future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::{engine::Key, message};
use crate::pb::v1::{
    self as pb, HostedTool, Part, ToolAnnotations, ToolBinding, ToolCallAssignment, ToolProgress,
    tool_binding::Binding,
};

type Function = dyn Fn(Call) -> BoxFuture<'static, Result<Output, ToolError>> + Send + Sync;

/// A function and its definition.
#[derive(Clone)]
pub struct Tool {
    definition: pb::Tool,
    function: Arc<Function>,
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("name", &self.definition.name)
            .finish_non_exhaustive()
    }
}

impl Tool {
    /// A tool of this name (1 to 64 of `a-z A-Z 0-9 _ . -`), with the JSON Schema of its arguments as
    /// text. The function runs on a task of its own; a cancelled call drops its future.
    ///
    /// Unless the tool is declared [`idempotent`](Self::idempotent) or
    /// [`read_only`](Self::read_only), a call begins only once the server has stored that it does, and
    /// is never begun twice.
    pub fn new<F, O>(
        name: impl Into<String>,
        description: impl Into<String>,
        input_schema_json: impl Into<String>,
        function: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<O, ToolError>> + Send + 'static,
        O: Into<Output>,
    {
        let function = Arc::new(move |call| -> BoxFuture<'static, _> {
            let answer = function(call);
            Box::pin(async move { answer.await.map(Into::into) })
        });
        Self {
            definition: pb::Tool {
                name: name.into(),
                description: description.into(),
                input_schema_json: input_schema_json.into(),
                ..pb::Tool::default()
            },
            function,
        }
    }

    /// Under this version. Two definitions of one name and version must be equal.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.definition.version = version.into();
        self
    }

    /// Declares that calling twice with one call id has the effect of calling once: a call whose host
    /// was lost may be delivered again.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.annotations().idempotent = true;
        self
    }

    /// Declares that it changes nothing; implies [`idempotent`](Self::idempotent).
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.annotations().read_only = true;
        self
    }

    fn annotations(&mut self) -> &mut ToolAnnotations {
        self.definition
            .annotations
            .get_or_insert_with(ToolAnnotations::default)
    }

    /// What the server is told of it.
    pub const fn definition(&self) -> &pb::Tool {
        &self.definition
    }

    /// The binding for an agent whose run is attached with [`super::Client::attach`].
    pub fn attached(&self) -> ToolBinding {
        ToolBinding {
            binding: Some(Binding::Attached(self.definition.clone())),
            ..ToolBinding::default()
        }
    }

    /// The binding for an agent that uses it from whichever [`super::ToolHost`] has it.
    pub fn hosted(&self) -> ToolBinding {
        ToolBinding {
            binding: Some(Binding::Hosted(HostedTool {
                name: self.definition.name.clone(),
                version: self.definition.version.clone(),
                ..HostedTool::default()
            })),
            ..ToolBinding::default()
        }
    }

    /// Whether a call may begin before the receipt of its acceptance.
    pub(super) fn may_begin_at_once(&self) -> bool {
        let annotations = self.definition.annotations.unwrap_or_default();
        annotations.read_only || annotations.idempotent
    }

    pub(super) fn call(&self, call: Call) -> BoxFuture<'static, Result<Output, ToolError>> {
        (self.function)(call)
    }
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) assignment: Box<ToolCallAssignment>,
    pub(super) progress: mpsc::Sender<(Key, ToolProgress)>,
}

impl Call {
    /// The call's id: the same for every delivery, so the key for what must happen once.
    pub fn id(&self) -> &str {
        self.call().map_or("", |call| &call.id)
    }

    /// Which delivery this is, from 1.
    pub fn attempt(&self) -> i32 {
        self.assignment.attempt
    }

    /// The arguments: JSON text of an object that fits the tool's schema.
    pub fn arguments(&self) -> &str {
        self.call().map_or("{}", |call| &call.arguments_json)
    }

    /// The run that calls.
    pub fn run_id(&self) -> &str {
        &self.assignment.run_id
    }

    /// The agent that calls.
    pub fn agent_name(&self) -> &str {
        &self.assignment.agent_name
    }

    /// Who created the run, as the server has authenticated it: what to authorise by.
    pub fn principal(&self) -> &str {
        &self.assignment.principal
    }

    /// The run's labels.
    pub const fn labels(&self) -> &HashMap<String, String> {
        &self.assignment.labels
    }

    /// Says that the call goes on. For display: what comes too fast is dropped.
    pub fn report_progress(&self, progress: ToolProgress) {
        let key = (self.id().to_owned(), self.attempt());
        // A full queue means that newer progress is under way already.
        let _dropped = self.progress.try_send((key, progress));
    }

    fn call(&self) -> Option<&pb::ToolCall> {
        self.assignment.call.as_ref()
    }
}

/// What a tool returns to the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Text and media.
    pub parts: Vec<Part>,
    /// Structured output as JSON text, fitting the tool's output schema; empty when there is none.
    pub structured_json: String,
}

impl From<String> for Output {
    fn from(text: String) -> Self {
        Self {
            parts: vec![message::text(text)],
            structured_json: String::new(),
        }
    }
}

impl From<&str> for Output {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Why a tool did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The model is told this and may do better: no such city, a limit reached.
    #[error("{0}")]
    Told(String),
    /// The tool itself is broken. The model is told that it failed; the text goes to the run's log. A
    /// tool that is idempotent may be tried again.
    #[error("{0}")]
    Failed(String),
}
