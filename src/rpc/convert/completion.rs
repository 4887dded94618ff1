//! Completions.

use std::sync::Arc;

use super::{
    At, Intake,
    generation::Names,
    message::{decode_all, encode, encode_delta, encode_finish, encode_usage},
};
use crate::{
    domain::{
        completion::{Completion, Delta, Request},
        fault::Fault,
        id::CompletionId,
        model::ModelRef,
    },
    pb::v1,
};

/// Most tools of one completion or agent.
pub(super) const MOST_TOOLS: usize = 512;

impl Intake {
    /// What to complete, and which models to ask, in order.
    pub(in crate::rpc) fn completion(
        &self,
        params: Option<v1::CompletionParams>,
    ) -> Result<(Vec<ModelRef>, Request), Fault> {
        let at = At::root("params");
        let params = at.required(params)?;
        let mut models = vec![self.model(&params.model, &at.field("model"))?];
        models.extend(self.models(&params.fallback_models, &at.field("fallback_models"))?);
        let messages = decode_all(params.messages, &at.field("messages"))?;

        let at_tools = at.field("tools");
        at_tools.at_most(params.tools.len(), MOST_TOOLS)?;
        let mut names = Names::default();
        let mut tools = Vec::with_capacity(params.tools.len());
        for (index, tool) in params.tools.into_iter().enumerate() {
            let at_tool = at_tools.index(index);
            let tool = self.tool(tool, &at_tool)?;
            names.claim(&tool.name, &at_tool.field("name"))?;
            tools.push(Arc::new(tool));
        }
        let options = self.options(params.options, &names, &at.field("options"))?;
        let request = Request {
            messages,
            tools: tools.into(),
            options,
        };
        Ok((models, request))
    }
}

// === out ===

pub(in crate::rpc) fn started(
    id: CompletionId,
    model: &ModelRef,
) -> v1::stream_completion_response::Event {
    v1::stream_completion_response::Event::Started(v1::CompletionStarted {
        id: id.to_string(),
        model: model.to_string(),
    })
}

pub(in crate::rpc) fn delta(delta: &Delta) -> v1::stream_completion_response::Event {
    v1::stream_completion_response::Event::Delta(encode_delta(delta))
}

pub(in crate::rpc) fn completion(id: CompletionId, completion: &Completion) -> v1::Completion {
    v1::Completion {
        id: id.to_string(),
        model: completion.model.to_string(),
        message: Some(encode(&completion.message)),
        finish_reason: encode_finish(completion.finish_reason).into(),
        provider_finish_reason: completion.provider_finish_reason.clone(),
        usage: Some(encode_usage(&completion.usage)),
        provider_metadata_json: completion
            .provider_metadata
            .as_ref()
            .map(|json| json.as_str().to_owned())
            .unwrap_or_default(),
    }
}
