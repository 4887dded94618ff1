//! `ToolService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::{
    convert::{At, call, generation},
    host::{Ear, HostListener, HostSpeaker, Hosting},
    page,
    status::status,
    stream::{Replies, caller, replies},
};
use crate::{
    domain::{fault::Fault, principal::Principal, tool::ToolSpec},
    pb::v1::{
        HostToolsRequest, HostToolsResponse, ListToolsRequest, ListToolsResponse, RegisteredTool,
        ReportToolCallRequest, ReportToolCallResponse, ToolCallReceipt,
        tool_service_server::ToolService,
    },
};

/// Tools over RPC.
pub(super) struct ToolCalls(Hosting);

impl ToolCalls {
    pub(super) const fn new(hosting: Hosting) -> Self {
        Self(hosting)
    }

    async fn report(
        &self,
        principal: &Principal,
        request: ReportToolCallRequest,
    ) -> Result<ToolCallReceipt, Fault> {
        let report = request.report;
        let report = report.ok_or_else(|| At::root("report").invalid("is required"))?;
        let (delivery, report) = self.0.intake.report(report)?;
        let counted = self
            .0
            .hub
            .report(principal, delivery.clone(), report.clone())
            .await?;
        let disposition = match counted {
            Some(disposition) => disposition,
            None => {
                self.0
                    .runs
                    .late_report(&principal.tenant, &delivery, &report)
                    .await?
            }
        };
        Ok(call::receipt(&delivery, disposition))
    }

    async fn page(
        &self,
        principal: &Principal,
        request: &ListToolsRequest,
    ) -> Result<ListToolsResponse, Fault> {
        let room = page::Room {
            size: page::size(request.page_size)?,
            bytes: self.0.page_bytes,
        };
        let after = &request.page_token;
        let hosted = self.0.hub.list(&principal.tenant).into_iter();
        let hosted = hosted.map(|(tool, hosts)| Offered::Hosted(tool, hosts));
        let of_servers = self.0.intake.mcp.list().await.into_iter();
        let of_servers = of_servers.map(|(server, tool)| Offered::Mcp(tool, server));
        let mut tools: Vec<Offered> = hosted.chain(of_servers).collect();
        tools.retain(|offered| {
            principal.may_use(offered.tool().name.as_str())
                && (after.is_empty() || offered.key() > *after)
        });
        tools.sort_by_cached_key(Offered::key);
        let (tools, next_page_token) = page::fill(tools, room, Offered::encode, Offered::key);
        Ok(ListToolsResponse {
            tools,
            next_page_token,
        })
    }
}

/// A tool, and who offers it.
enum Offered {
    /// So many hosts.
    Hosted(Arc<ToolSpec>, usize),
    /// An MCP server.
    Mcp(Arc<ToolSpec>, Arc<str>),
}

impl Offered {
    const fn tool(&self) -> &Arc<ToolSpec> {
        match self {
            Self::Hosted(tool, _) | Self::Mcp(tool, _) => tool,
        }
    }

    /// The place in the list. Neither a name nor a server's name holds an `@`.
    fn key(&self) -> String {
        match self {
            Self::Hosted(tool, _) => format!("{}@{}", tool.name, tool.version),
            Self::Mcp(tool, server) => format!("{}@@{server}", tool.name),
        }
    }

    fn encode(&self) -> RegisteredTool {
        let tool = Some(generation::encode_tool(self.tool()));
        match self {
            Self::Hosted(_, hosts) => RegisteredTool {
                tool,
                host_count: i32::try_from(*hosts).unwrap_or(i32::MAX),
                mcp_server: String::new(),
            },
            Self::Mcp(_, server) => RegisteredTool {
                tool,
                host_count: 0,
                mcp_server: server.to_string(),
            },
        }
    }
}

#[tonic::async_trait]
impl ToolService for ToolCalls {
    type HostToolsStream = Replies<HostToolsResponse>;

    /// Registers a host and sends it calls until it has half-closed and holds none.
    ///
    /// `INVALID_ARGUMENT` for a wrong registration or order of messages, `PERMISSION_DENIED`,
    /// `ABORTED` / `SUPERSEDED`, `RESOURCE_EXHAUSTED` / `SLOW_READER` or `MESSAGE_TOO_LARGE`,
    /// `UNAVAILABLE` / `HEARTBEAT_MISSED`, `SERVER_OVERLOADED` or `SERVER_DRAINING`.
    async fn host_tools(
        &self,
        request: Request<Streaming<HostToolsRequest>>,
    ) -> Result<Response<Self::HostToolsStream>, Status> {
        let streams = &self.0.streams;
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let mut inbound = request.into_inner();
        let first = streams.first(&mut inbound).await;
        let opened = first.and_then(|first| self.0.register(&principal, first));
        let (registered, connected) = match opened {
            Ok(opened) => opened,
            Err(fault) => return Err(streams.refuse(inbound, &fault)),
        };
        let listener = HostListener {
            ear: Ear {
                inward: connected.inward,
                runs: Arc::clone(&self.0.runs),
                tenant: principal.tenant.clone(),
            },
            intake: self.0.intake.clone(),
        };
        Ok(Response::new(replies(HostSpeaker {
            first: Some(registered),
            outward: connected.outward,
            verdict: streams.listen(inbound, listener),
            streams: streams.clone(),
        })))
    }

    /// Takes a report without a stream.
    ///
    /// `INVALID_ARGUMENT`, `PERMISSION_DENIED`, `NOT_FOUND` / `TOOL_CALL_NOT_FOUND`, `UNAVAILABLE`.
    async fn report_tool_call(
        &self,
        request: Request<ReportToolCallRequest>,
    ) -> Result<Response<ReportToolCallResponse>, Status> {
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let receipt = self.report(&principal, request.into_inner()).await;
        let receipt = Some(receipt.map_err(|fault| status(&fault))?);
        Ok(Response::new(ReportToolCallResponse { receipt }))
    }

    /// Lists the tools that the caller may use.
    ///
    /// `INVALID_ARGUMENT` for a wrong page, `PERMISSION_DENIED`.
    async fn list_tools(
        &self,
        request: Request<ListToolsRequest>,
    ) -> Result<Response<ListToolsResponse>, Status> {
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let page = self.page(&principal, request.get_ref()).await;
        page.map(Response::new).map_err(|fault| status(&fault))
    }
}
