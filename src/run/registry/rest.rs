//! Runs that nobody drives: what can be done with what a server has left, without being one.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Place, Runs, creation::Fate};
use crate::{
    domain::{
        fault::{Fault, Reason},
        id::RunId,
        principal::Tenant,
        run::Run,
    },
    run::{Ports, Settings, watch::Watches},
};

/// How often a store is looked at that another process may write to.
const LOOK: Duration = Duration::from_millis(100);

impl Runs {
    /// Builds a Runner that runs nothing: it takes no run over and creates none. A run that is cancelled
    /// ends at once, and no other is touched. Watches see what another process commits, but no deltas.
    pub fn at_rest(
        ports: Ports,
        settings: Settings,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let runs = Self::build(ports, settings, tracker, shutdown);
        let (watches, end) = (Arc::clone(&runs.watches), runs.shutdown.clone());
        runs.tracker.spawn(async move {
            // Ends with the server.
            end.run_until_cancelled(look_again(&watches)).await;
        });
        // Nothing is created here, and what fails is not tried again.
        runs.draining.cancel();
        Arc::new(Self {
            is_at_rest: true,
            ..runs
        })
    }

    /// Takes a run over to cancel it, and returns once its end is stored.
    pub(super) async fn cancel_at_rest(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        reason: String,
    ) -> Result<Arc<Run>, Fault> {
        self.live.count.fetch_add(1, Ordering::Relaxed);
        let launch = self.launch(Place {
            live: Arc::clone(&self.live),
            run_id,
            is_parked: false,
        });
        let driver = launch.load(tenant, Fate::IsCancelled(reason)).await?;
        if driver.is_some() {
            let tenant = tenant.clone();
            // Begun, it is brought to its end, whether or not its caller waits.
            let ended = self.tracker.spawn(launch.go_on(driver, tenant));
            ended.await.map_err(|_panicked| undone())?;
        }
        let run = self.get(tenant, run_id).await?;
        if run.state.is_terminal() {
            Ok(run)
        } else {
            Err(undone())
        }
    }
}

/// Lets the watches look again and again at what they wait for.
async fn look_again(watches: &Watches) {
    loop {
        sleep(LOOK).await;
        watches.look_again();
    }
}

fn undone() -> Fault {
    let why = "the store has not taken the cancellation";
    Fault::new(Reason::StoreUnavailable, why)
}
