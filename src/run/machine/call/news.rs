//! What a call makes of the news of its newest delivery.

use std::{sync::Arc, time::Duration};

use super::{Call, Phase};
use crate::{
    domain::{
        call::{Disposition, Report},
        event::{CallState, Progress},
        fault::{Fault, Reason},
        id::HostId,
        message::{Content, MediaSource, Part, ToolResult},
    },
    run::machine::{
        effect::{Effect, News},
        trouble::Trouble,
        world::Cx,
    },
};

impl Call {
    /// Takes news of the newest delivery, which is under way. Answers a report.
    pub(in crate::run::machine) fn hear(
        &mut self,
        news: News,
        cx: &mut Cx<'_>,
    ) -> Option<Disposition> {
        match news {
            News::Assigned { .. } => self.assigned(cx),
            News::NotBegun => self.not_begun(cx),
            News::Lost => self.host_lost(cx),
            News::Changed => self.changed(cx),
            News::Withdrawn => self.withdrawn(cx),
            News::Reported { host_id, report } => return self.reported(host_id, report, cx),
        }
        None
    }

    /// A host was chosen: it has a moment to accept, also beyond the call's own time to find a host.
    fn assigned(&mut self, cx: &Cx<'_>) {
        if self.phase == Phase::Seeking {
            self.phase = Phase::Offered {
                until: cx.now + cx.world.settings.reaction_timeout,
            };
        }
    }

    fn not_begun(&mut self, cx: &mut Cx<'_>) {
        match self.phase {
            // It had accepted: what it says now may be true of the process, not of the tool.
            Phase::Running { .. } | Phase::Asking { .. } => self.lost(cx),
            Phase::Stopping { accepted, .. } => self.close(accepted, &Trouble::Cancelled, cx),
            Phase::Seeking | Phase::Offered { .. } | Phase::Recalled { .. } => {
                self.again(Duration::ZERO, cx);
            }
            Phase::Queued | Phase::Held { .. } | Phase::Backoff { .. } | Phase::Done => {}
        }
    }

    fn host_lost(&mut self, cx: &mut Cx<'_>) {
        match self.phase {
            Phase::Stopping { .. } => self.close(true, &Trouble::Cancelled, cx),
            Phase::Running { .. }
            | Phase::Asking { .. }
            | Phase::Seeking
            | Phase::Offered { .. }
            | Phase::Recalled { .. } => self.lost(cx),
            Phase::Queued | Phase::Held { .. } | Phase::Backoff { .. } | Phase::Done => {}
        }
    }

    fn changed(&mut self, cx: &mut Cx<'_>) {
        if self.phase == Phase::Seeking {
            cx.effect(Effect::Release(self.delivery()));
            self.settle_trouble(&Trouble::Changed, cx);
        }
    }

    fn withdrawn(&mut self, cx: &mut Cx<'_>) {
        match self.phase {
            Phase::Recalled { .. } => self.again(Duration::ZERO, cx),
            Phase::Stopping { .. } => self.close(false, &Trouble::Cancelled, cx),
            // Nobody has asked for it.
            Phase::Queued
            | Phase::Held { .. }
            | Phase::Backoff { .. }
            | Phase::Seeking
            | Phase::Offered { .. }
            | Phase::Running { .. }
            | Phase::Asking { .. }
            | Phase::Done => {}
        }
    }

    fn reported(
        &mut self,
        host_id: HostId,
        report: Report,
        cx: &mut Cx<'_>,
    ) -> Option<Disposition> {
        match report {
            Report::Accepted => return Some(self.accepted(host_id, cx)),
            Report::Question(question) => return Some(self.asks(host_id, question, cx)),
            Report::Progress(progress) => {
                self.progressed(progress, cx);
                return None;
            }
            Report::Rejected(fault) => self.rejected(host_id, fault, cx),
            Report::Result(result) => self.finish(host_id, result, cx),
            Report::Failed(fault) => self.failed(host_id, fault, cx),
            Report::Stopped => self.stopped(host_id, cx),
        }
        Some(Disposition::Applied)
    }

    /// A host begins. One that comes too late is fenced: a tool that runs at most once waits for the
    /// receipt, so what is answered `Stale` has not begun.
    fn accepted(&mut self, host_id: HostId, cx: &mut Cx<'_>) -> Disposition {
        match self.phase {
            Phase::Seeking | Phase::Offered { .. } => {
                self.run_at(host_id, cx);
                Disposition::Applied
            }
            Phase::Running { .. }
            | Phase::Asking { .. }
            | Phase::Stopping { accepted: true, .. } => Disposition::Duplicate,
            Phase::Recalled { .. } => {
                self.again(Duration::ZERO, cx);
                Disposition::Stale
            }
            Phase::Stopping { .. } => {
                self.close(false, &Trouble::Cancelled, cx);
                Disposition::Stale
            }
            Phase::Queued | Phase::Held { .. } | Phase::Backoff { .. } | Phase::Done => {
                Disposition::Stale
            }
        }
    }

    pub(super) fn run_at(&mut self, host_id: HostId, cx: &mut Cx<'_>) {
        self.begun = self.begun.saturating_add(1);
        self.rejections = 0;
        self.phase = Phase::Running {
            until: cx.now + self.timeout(cx) + cx.world.settings.result_slack,
            silent_until: self.silent_until(cx),
        };
        self.change(CallState::Running).host_id = Some(host_id);
        if self.may_redeliver() {
            // Its receipt gives no permission, so it need not wait for the store.
            cx.note(Arc::clone(&self.update));
        } else {
            self.store(cx);
        }
    }

    /// A running call lives: its silence begins anew.
    fn progressed(&mut self, progress: Progress, cx: &mut Cx<'_>) {
        let silent = self.silent_until(cx);
        if let Phase::Running { silent_until, .. } = &mut self.phase {
            *silent_until = silent;
            cx.effect(Effect::Progress(Arc::clone(&self.update), progress));
        }
    }

    fn rejected(&mut self, host_id: HostId, fault: Fault, cx: &mut Cx<'_>) {
        match self.phase {
            // It had accepted: a second thought is a failure.
            Phase::Running { .. } | Phase::Asking { .. } => self.failed(host_id, fault, cx),
            Phase::Stopping { accepted, .. } => self.close(accepted, &Trouble::Cancelled, cx),
            Phase::Recalled { .. } => self.again(Duration::ZERO, cx),
            Phase::Seeking | Phase::Offered { .. } => {
                let wait = cx.world.settings.redelivery_delay(self.rejections);
                self.rejections = self.rejections.saturating_add(1);
                self.again(wait, cx);
            }
            Phase::Queued | Phase::Held { .. } | Phase::Backoff { .. } | Phase::Done => {}
        }
    }

    /// The result. One without an acceptance before it counts as both.
    fn finish(&mut self, host_id: HostId, result: Arc<ToolResult>, cx: &mut Cx<'_>) {
        self.remember(host_id);
        cx.effect(Effect::Release(self.delivery()));
        let bytes = size(&result);
        let limit = cx.world.settings.max_result_bytes;
        if bytes > limit {
            return self.settle_trouble(&Trouble::TooLarge { bytes, limit }, cx);
        }
        let result = if result.call_id == self.update.call.id {
            result
        } else {
            Arc::new(ToolResult {
                call_id: self.update.call.id.clone(),
                ..(*result).clone()
            })
        };
        self.settle(CallState::Succeeded, (Some(result), None), cx);
    }

    /// The host could not do it: again, where the tool's author allows it.
    fn failed(&mut self, host_id: HostId, fault: Fault, cx: &mut Cx<'_>) {
        if matches!(self.phase, Phase::Stopping { .. }) {
            cx.effect(Effect::Release(self.delivery()));
            self.remember(host_id);
            return self.settle_trouble(&Trouble::Failed(fault), cx);
        }
        if !matches!(self.phase, Phase::Running { .. } | Phase::Asking { .. }) {
            self.begun = self.begun.saturating_add(1);
        }
        if self.may_begin_again(cx) {
            let earlier = self.begun.saturating_sub(1);
            self.restart(cx.world.settings.redelivery_delay(earlier), cx);
        } else {
            cx.effect(Effect::Release(self.delivery()));
            self.remember(host_id);
            self.settle_trouble(&Trouble::Failed(fault), cx);
        }
    }

    fn stopped(&mut self, host_id: HostId, cx: &mut Cx<'_>) {
        match self.phase {
            Phase::Stopping { .. } => {
                self.remember(host_id);
                self.close(false, &Trouble::Cancelled, cx);
            }
            Phase::Recalled { .. } => self.again(Duration::ZERO, cx),
            Phase::Seeking
            | Phase::Offered { .. }
            | Phase::Running { .. }
            | Phase::Asking { .. } => {
                let why = "the host stopped the call without being asked";
                self.failed(host_id, Fault::new(Reason::ToolFailed, why), cx);
            }
            Phase::Queued | Phase::Held { .. } | Phase::Backoff { .. } | Phase::Done => {}
        }
    }
}

/// What a result weighs.
fn size(result: &ToolResult) -> usize {
    let parts: usize = result.parts.iter().map(part_size).sum();
    let structured = result.structured.as_ref().map_or(0, |j| j.as_str().len());
    parts.saturating_add(structured)
}

fn part_size(part: &Part) -> usize {
    match &part.content {
        Content::Text(text) | Content::Reasoning(text) => text.len(),
        Content::Media(media) => match &media.source {
            MediaSource::Inline(bytes) => bytes.len(),
            MediaSource::Uri(uri) => uri.len(),
        },
        Content::ToolCall(call) => call.arguments.len(),
        Content::ToolResult(result) => size(result),
    }
}
