//! `ThreadService`.

use tonic::{Request, Response, Status};

use super::{
    convert::{At, message::encode as encode_message, run::labels, thread as convert},
    host::Hosting,
    page,
    status::status,
    stream::caller,
};
use crate::{
    domain::{fault::Fault, id::RunId, principal::Principal, thread::ThreadFilter},
    pb::v1::{
        DeleteThreadRequest, DeleteThreadResponse, GetThreadRequest, GetThreadResponse,
        ListThreadMessagesRequest, ListThreadMessagesResponse, ListThreadsRequest,
        ListThreadsResponse, thread_service_server::ThreadService,
    },
    run::Said,
};

/// Threads over RPC.
pub(super) struct ThreadCalls(Hosting);

impl ThreadCalls {
    pub(super) const fn new(hosting: Hosting) -> Self {
        Self(hosting)
    }

    async fn page(
        &self,
        principal: &Principal,
        request: ListThreadsRequest,
    ) -> Result<ListThreadsResponse, Fault> {
        let room = self.room(request.page_size)?;
        let filter = ThreadFilter {
            labels: labels(request.labels, &At::root("labels"))?,
        };
        let before = match &*request.page_token {
            "" => None,
            token => Some(token.parse().map_err(|_foreign| page::bad_token())?),
        };
        let runs = &self.0.runs;
        let threads = runs.threads(&principal.tenant, &filter, before, room.size + 1);
        let (threads, next_page_token) =
            page::fill(threads.await?, room, convert::encode, |thread| {
                thread.moved.to_string()
            });
        Ok(ListThreadsResponse {
            threads,
            next_page_token,
        })
    }

    async fn messages(
        &self,
        principal: &Principal,
        request: ListThreadMessagesRequest,
    ) -> Result<ListThreadMessagesResponse, Fault> {
        let thread_id = convert::thread_id(&request.thread_id, &At::root("thread_id"))?;
        let room = self.room(request.page_size)?;
        let after = match &*request.page_token {
            "" => None,
            token => Some(place(token).ok_or_else(page::bad_token)?),
        };
        let limits = (room.size + 1, room.bytes);
        let runs = &self.0.runs;
        let said = runs.thread_messages(&principal.tenant, thread_id, after, limits);
        let (messages, next_page_token) = page::fill(
            said.await?,
            room,
            |said| encode_message(&said.message),
            token,
        );
        Ok(ListThreadMessagesResponse {
            messages,
            next_page_token,
        })
    }

    fn room(&self, page_size: i32) -> Result<page::Room, Fault> {
        Ok(page::Room {
            size: page::size(page_size)?,
            bytes: self.0.page_bytes,
        })
    }
}

fn token(said: &Said) -> String {
    format!("{}.{}", said.run_id, said.index)
}

fn place(token: &str) -> Option<(RunId, usize)> {
    let (run_id, index) = token.split_once('.')?;
    Some((run_id.parse().ok()?, index.parse().ok()?))
}

#[tonic::async_trait]
impl ThreadService for ThreadCalls {
    /// Returns a thread.
    ///
    /// `INVALID_ARGUMENT` for what is no id, `NOT_FOUND` / `THREAD_NOT_FOUND`, `UNAVAILABLE`.
    async fn get_thread(
        &self,
        request: Request<GetThreadRequest>,
    ) -> Result<Response<GetThreadResponse>, Status> {
        let found = async {
            let principal = caller(&request)?;
            let at = At::root("thread_id");
            let thread_id = convert::thread_id(&request.get_ref().thread_id, &at)?;
            self.0.runs.thread(&principal.tenant, thread_id).await
        };
        let thread = found.await.map_err(|fault| status(&fault))?;
        let thread = Some(convert::encode(&thread));
        Ok(Response::new(GetThreadResponse { thread }))
    }

    /// Lists threads, the one that moved last first.
    ///
    /// `INVALID_ARGUMENT` for wrong labels or a wrong page, `UNAVAILABLE`.
    async fn list_threads(
        &self,
        request: Request<ListThreadsRequest>,
    ) -> Result<Response<ListThreadsResponse>, Status> {
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let page = self.page(&principal, request.into_inner()).await;
        page.map(Response::new).map_err(|fault| status(&fault))
    }

    /// Lists what was said in a thread, oldest first.
    ///
    /// `INVALID_ARGUMENT` for what is no id or a wrong page, `NOT_FOUND` / `THREAD_NOT_FOUND`,
    /// `UNAVAILABLE`.
    async fn list_thread_messages(
        &self,
        request: Request<ListThreadMessagesRequest>,
    ) -> Result<Response<ListThreadMessagesResponse>, Status> {
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let page = self.messages(&principal, request.into_inner()).await;
        page.map(Response::new).map_err(|fault| status(&fault))
    }

    /// Deletes a thread.
    ///
    /// `INVALID_ARGUMENT` for what is no id, `NOT_FOUND` / `THREAD_NOT_FOUND`,
    /// `FAILED_PRECONDITION` / `THREAD_IN_USE`, `PERMISSION_DENIED`, `UNAVAILABLE`.
    async fn delete_thread(
        &self,
        request: Request<DeleteThreadRequest>,
    ) -> Result<Response<DeleteThreadResponse>, Status> {
        let deleted = async {
            let principal = caller(&request)?;
            let at = At::root("thread_id");
            let thread_id = convert::thread_id(&request.get_ref().thread_id, &at)?;
            let runs = &self.0.runs;
            runs.delete_thread(&principal.tenant, thread_id).await
        };
        deleted.await.map_err(|fault| status(&fault))?;
        Ok(Response::new(DeleteThreadResponse {}))
    }
}
