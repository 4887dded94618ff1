//! The ports through which runs and the rim see the servers.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Mcp, call::Call, server::Server};
use crate::{
    domain::{
        call::{Assignment, Delivery, Route, StopReason},
        fault::Fault,
        id::{HostId, RunId},
        input::InputAnswer,
        json::JsonText,
        principal::Tenant,
        tool::{ToolBinding, ToolSpec, ToolTarget},
    },
    run::port::{CallNews, Inbox, McpServers, McpTerms, Offer, RunInput, Tools},
};

/// How long a list of all tools waits for servers that have not shown theirs.
const PATIENCE: Duration = Duration::from_secs(5);

impl Tools for Mcp {
    fn offer(&self, tenant: &Tenant, bindings: &[ToolBinding]) -> Result<Vec<Offer>, usize> {
        let mut offers = self.others.offer(tenant, bindings)?;
        for (binding, bound) in bindings.iter().enumerate() {
            if let ToolTarget::Mcp(wanted) = &bound.target {
                let server = self.servers.get(&wanted.server).ok_or(binding)?;
                let specs = server.offer(wanted).ok_or(binding)?;
                offers.extend(specs.into_iter().map(|spec| Offer { spec, binding }));
            }
        }
        offers.sort_by_key(|offer| offer.binding);
        Ok(offers)
    }

    fn registered(&self, tenant: &Tenant) -> BoxFuture<'static, ()> {
        let others = self.others.registered(tenant);
        if self.servers.is_empty() {
            return others;
        }
        let mut told = self.told.subscribe();
        Box::pin(async move {
            tokio::select! {
                () = others => {}
                _told = told.changed() => {}
            }
        })
    }

    fn check(&self, tool: &ToolSpec, arguments: &JsonText) -> Result<(), Fault> {
        self.others.check(tool, arguments)
    }

    fn check_answer(&self, schema: &JsonText, answer: &JsonText) -> Result<(), Fault> {
        self.others.check_answer(schema, answer)
    }

    fn answer(&self, delivery: &Delivery, number: u32, answer: Arc<InputAnswer>) {
        // A server is offered nobody to ask.
        self.others.answer(delivery, number, answer);
    }

    fn assign(&self, tenant: &Tenant, assignment: Assignment, inbox: Inbox) {
        let Route::Mcp { server, prefix } = &assignment.route else {
            return self.others.assign(tenant, assignment, inbox);
        };
        let (delivery, prefix) = (assignment.delivery.clone(), prefix.clone());
        let server = self.servers.get(server).cloned();
        let Some((server, host_id)) = server.and_then(as_host) else {
            // It was configured when the run began.
            let news = CallNews::Changed;
            inbox.offer(RunInput::Call { delivery, news });
            return;
        };
        let stop = CancellationToken::new();
        self.calls().insert(delivery, stop.clone());
        let call = Call {
            server,
            host_id,
            prefix,
            assignment,
            inbox,
            stop,
        };
        // Ends with the call, or when nobody wants it any more.
        self.tracker.spawn(call.run());
    }

    fn cancel(&self, delivery: &Delivery, reason: StopReason) {
        match self.calls().get(delivery) {
            Some(call) => call.cancel(),
            None => self.others.cancel(delivery, reason),
        }
    }

    fn release(&self, delivery: &Delivery) {
        match self.calls().remove(delivery) {
            Some(call) => call.cancel(),
            None => self.others.release(delivery),
        }
    }

    fn forget_run(&self, run_id: RunId) {
        self.others.forget_run(run_id);
    }
}

impl McpServers for Mcp {
    fn terms(&self, server: &str) -> Option<McpTerms> {
        let settings = self.servers.get(server)?.settings();
        Some(McpTerms {
            prefix: settings.prefix.clone(),
            timeout: settings.call_timeout,
        })
    }

    fn list(&self) -> BoxFuture<'_, Vec<(Arc<str>, Arc<ToolSpec>)>> {
        Box::pin(async {
            let lists = self.servers.values().map(|server| self.list_one(server));
            join_all(lists).await.into_iter().flatten().collect()
        })
    }
}

impl Mcp {
    /// The tools of one server, once it has shown them; none when it does not in time.
    async fn list_one(&self, server: &Server) -> Vec<(Arc<str>, Arc<ToolSpec>)> {
        let mut told = self.told.subscribe();
        let shown = timeout(PATIENCE, async {
            loop {
                told.borrow_and_update();
                if let Some(tools) = server.list() {
                    return tools;
                }
                if told.changed().await.is_err() {
                    return Vec::new();
                }
            }
        });
        let tools = shown.await.unwrap_or_default();
        let name = server.name();
        let with_name = |tool| (Arc::clone(name), tool);
        tools.into_iter().map(with_name).collect()
    }
}

/// A server as the host of its calls.
fn as_host(server: Arc<Server>) -> Option<(Arc<Server>, HostId)> {
    let host_id = HostId::parse(&format!("mcp:{}", server.name())).ok()?;
    Some((server, host_id))
}
