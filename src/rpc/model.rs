//! `ModelService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{convert::model, page, status::status};
use crate::{
    domain::fault::Fault,
    pb::v1::{ListModelsRequest, ListModelsResponse, model_service_server::ModelService},
    run::port::Models,
};

/// Models over RPC.
pub(super) struct Catalogue {
    models: Arc<dyn Models>,
    page_bytes: usize,
}

impl Catalogue {
    pub(super) const fn new(models: Arc<dyn Models>, page_bytes: usize) -> Self {
        Self { models, page_bytes }
    }

    async fn page(&self, request: ListModelsRequest) -> Result<ListModelsResponse, Fault> {
        let room = page::Room {
            size: page::size(request.page_size)?,
            bytes: self.page_bytes,
        };
        let provider = (!request.provider.is_empty()).then_some(request.provider);
        let list = self.models.list(provider).await;
        let after = request.page_token;
        let rest = list
            .models
            .into_iter()
            .filter(|info| after.is_empty() || info.model.to_string() > after);
        let (models, next_page_token) =
            page::fill(rest, room, model::encode, |info| info.model.to_string());
        Ok(ListModelsResponse {
            models,
            next_page_token,
            unavailable: list.unavailable.iter().map(model::unavailable).collect(),
        })
    }
}

#[tonic::async_trait]
impl ModelService for Catalogue {
    /// Lists models by name. A provider that cannot be asked is named in the answer.
    ///
    /// `INVALID_ARGUMENT` for a wrong page.
    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let page = self.page(request.into_inner()).await;
        page.map(Response::new).map_err(|fault| status(&fault))
    }
}
