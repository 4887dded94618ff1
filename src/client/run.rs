//! Runs and what surrounds them, by unary calls.

use std::future::Future;

use uuid::Uuid;

use super::{Client, Error, MAX_RESPONSE_BYTES};
use crate::pb::v1::{
    AnswerInputRequest, CancelRunRequest, CreateRunRequest, GetRunRequest, InputAnswer,
    ListModelsRequest, ListModelsResponse, ListRunsRequest, ListRunsResponse, ListToolsRequest,
    ListToolsResponse, Run, RunFilter, RunSpec, model_service_client::ModelServiceClient,
    run_service_client::RunServiceClient, tool_service_client::ToolServiceClient,
};
use tonic::{Response, Status, transport::Channel};

impl Client {
    /// Creates a run, which goes on by itself.
    ///
    /// # Errors
    /// Whatever the server says. A broken connection is tried again under the same request id, so that
    /// there is never a second run.
    pub async fn create_run(&self, spec: RunSpec) -> Result<Run, Error> {
        let request = CreateRunRequest {
            request_id: Uuid::now_v7().to_string(),
            spec: Some(spec),
        };
        let answer = self
            .repeat(|| {
                let request = self.request(request.clone());
                async move { self.runs().create_run(request).await }
            })
            .await?;
        answer.run.ok_or_else(no_run)
    }

    /// A run.
    ///
    /// # Errors
    /// Whatever the server says, `RUN_NOT_FOUND` among it.
    pub async fn get_run(&self, run_id: &str) -> Result<Run, Error> {
        let answer = self
            .repeat(|| {
                let run_id = run_id.to_owned();
                let request = self.request(GetRunRequest { run_id });
                async move { self.runs().get_run(request).await }
            })
            .await?;
        answer.run.ok_or_else(no_run)
    }

    /// A page of runs, newest first. An empty token is the first page.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn list_runs(
        &self,
        filter: RunFilter,
        page_size: i32,
        page_token: &str,
    ) -> Result<ListRunsResponse, Error> {
        let request = ListRunsRequest {
            filter: Some(filter),
            page_size,
            page_token: page_token.to_owned(),
        };
        self.repeat(|| {
            let request = self.request(request.clone());
            async move { self.runs().list_runs(request).await }
        })
        .await
    }

    /// Asks a run to stop, and returns it as it is then.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn cancel_run(&self, run_id: &str, reason: &str) -> Result<Run, Error> {
        let answer = self
            .repeat(|| {
                let request = self.request(CancelRunRequest {
                    run_id: run_id.to_owned(),
                    reason: reason.to_owned(),
                });
                async move { self.runs().cancel_run(request).await }
            })
            .await?;
        answer.run.ok_or_else(no_run)
    }

    /// Answers something that a run waits for, and returns the run as it is then.
    ///
    /// # Errors
    /// Whatever the server says, `INPUT_ALREADY_ANSWERED` and `INPUT_NOT_FOUND` among it.
    pub async fn answer_input(&self, run_id: &str, answer: InputAnswer) -> Result<Run, Error> {
        let answer = self
            .repeat(|| {
                let request = self.request(AnswerInputRequest {
                    run_id: run_id.to_owned(),
                    answers: vec![answer.clone()],
                });
                async move { self.runs().answer_input(request).await }
            })
            .await?;
        answer.run.ok_or_else(no_run)
    }

    /// A page of models. An empty provider is all of them, an empty token the first page.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn list_models(
        &self,
        provider: &str,
        page_token: &str,
    ) -> Result<ListModelsResponse, Error> {
        let request = ListModelsRequest {
            page_size: 0,
            page_token: page_token.to_owned(),
            provider: provider.to_owned(),
        };
        self.repeat(|| {
            let request = self.request(request.clone());
            let mut models = ModelServiceClient::new(self.control.clone());
            async move { models.list_models(request).await }
        })
        .await
    }

    /// A page of the tools that hosts offer.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn list_tools(&self, page_token: &str) -> Result<ListToolsResponse, Error> {
        let request = ListToolsRequest {
            page_size: 0,
            page_token: page_token.to_owned(),
        };
        self.repeat(|| {
            let request = self.request(request.clone());
            let mut tools = ToolServiceClient::new(self.control.clone());
            async move { tools.list_tools(request).await }
        })
        .await
    }

    pub(super) fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.control.clone()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// Calls until it works, or fails for another reason than a connection, or too often.
    async fn repeat<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut failed = 0;
        loop {
            let error = match call().await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => Error::from(status),
            };
            failed += 1;
            // Doing any of this twice is harmless: a creation has its request id.
            let wait = self.backoff.wait(failed, &error);
            match wait.filter(|_| error.is_transient()) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
        }
    }
}

fn no_run() -> Error {
    Error::protocol("the server sent no run")
}
