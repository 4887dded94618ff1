//! The port through which runs see the hub.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::Hub;
use crate::{
    domain::{
        call::{Assignment, Delivery, StopReason},
        fault::Fault,
        id::RunId,
        input::InputAnswer,
        json::JsonText,
        principal::Tenant,
        tool::{ToolBinding, ToolSpec},
    },
    run::port::{Inbox, Offer, Tools},
};

impl Tools for Hub {
    fn offer(&self, tenant: &Tenant, bindings: &[ToolBinding]) -> Result<Vec<Offer>, usize> {
        self.lock().book.offer(tenant, bindings)
    }

    fn registered(&self, tenant: &Tenant) -> BoxFuture<'static, ()> {
        let mut changes = self
            .lock()
            .registered
            .entry(tenant.clone())
            .or_insert_with(|| watch::channel(()).0)
            .subscribe();
        Box::pin(async move {
            // The sender lives as long as the hub; without a hub there is nothing to wait for.
            let _closed = changes.changed().await;
        })
    }

    fn check(&self, tool: &ToolSpec, arguments: &JsonText) -> Result<(), Fault> {
        self.schemas.check(&tool.input_schema, arguments)
    }

    fn check_answer(&self, schema: &JsonText, answer: &JsonText) -> Result<(), Fault> {
        self.schemas.check(schema, answer)
    }

    fn answer(&self, delivery: &Delivery, number: u32, answer: Arc<InputAnswer>) {
        self.with(|book, _| book.answer(delivery, number, answer));
    }

    fn assign(&self, tenant: &Tenant, assignment: Assignment, inbox: Inbox) {
        let assignment = Arc::new(assignment);
        self.with(|book, _| book.assign(tenant, assignment, inbox));
    }

    fn cancel(&self, delivery: &Delivery, reason: StopReason) {
        self.with(|book, _| book.cancel(delivery, reason));
    }

    fn release(&self, delivery: &Delivery) {
        self.with(|book, _| book.release(delivery));
    }

    fn forget_run(&self, run_id: RunId) {
        Self::forget_run(self, run_id);
    }
}
