//! Somebody else on the connection, who must not notice what goes wrong beside him.

use runwire::pb::v1::{self, run_service_client::RunServiceClient};
use tonic::transport::Channel;

use super::{Attachment, accepted, attach, attached, create, last_run, output, result, spec, tool};

/// A run in the middle of a tool call.
pub(crate) struct Bystander {
    stream: Attachment,
    call: v1::ToolCallAssignment,
}

impl Bystander {
    /// Begins a run whose model calls the tool once.
    pub(crate) async fn on(channel: &Channel, model: &str) -> Self {
        let mut client = RunServiceClient::new(channel.clone());
        let run = spec(model, vec![attached(tool("t"))]);
        let mut stream = attach(&mut client, create(run)).await.unwrap();
        let call = stream.assignment(&mut Vec::new()).await;
        stream.report(&call, accepted()).await;
        Self { stream, call }
    }

    /// The run goes on, and ends well.
    pub(crate) async fn ends_well(mut self) {
        self.stream.report(&self.call, result("unharmed")).await;
        let run = last_run(&self.stream.finish().await.unwrap()).unwrap();
        assert!(output(&run).contains("unharmed"), "{run:?}");
    }
}
