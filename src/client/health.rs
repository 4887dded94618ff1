//! Whether a server takes work.

use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Client, Error};

impl Client {
    /// Whether the server takes work; with a name, whether that service does
    /// (`runwire.v1.RunService`). A server that drains takes none.
    ///
    /// # Errors
    /// Whatever the server says, and whatever keeps it from being reached. It is asked once.
    pub async fn is_serving(&self, service: &str) -> Result<bool, Error> {
        let request = self.request(HealthCheckRequest {
            service: service.to_owned(),
        });
        let answer = HealthClient::new(self.control.clone())
            .check(request)
            .await?;
        Ok(answer.into_inner().status() == ServingStatus::Serving)
    }
}
