//! Writes flow statuses and feeds the answers back into the cache.

mod patch;

use std::sync::atomic::Ordering;

use futures::FutureExt;
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};

use super::engine::{Engine, Error, Round, in_time};
use super::state::FlowEntry;
use super::view::{FlowKey, FlowView};
use super::watch;
use crate::flows::api::JobFlow;
use crate::flows::observed::id_of;
use crate::flows::plan::Plan;

impl Engine {
    /// Writes the plan's status, if it differs from the flow's. It is [`Round::Again`] if somebody else was faster; the
    /// cache knows what they wrote by then.
    pub(super) async fn write(&self, flow: &JobFlow, plan: &Plan) -> Result<Round, Error> {
        let metadata = &flow.metadata;
        let version = metadata.resource_version.as_deref().unwrap_or_default();
        let Some(operations) = patch::patch(version, flow.status.as_ref(), &plan.status) else {
            return Ok(Round::Done);
        };
        tracing::Span::current().record("wrote", true);
        let (namespace, name) =
            (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
        let api: Api<FlowView> = Api::namespaced(self.client.clone(), namespace);
        let patch: json_patch::Patch = serde_json::from_value(operations.into())
            .map_err(|error| Error::Api(kube::Error::SerdeError(error)))?;
        let timed = self.metrics.writing();
        let patched =
            in_time(api.patch_status(name, &PatchParams::default(), &Patch::Json::<()>(patch)).map(Ok))
                .await?;
        let duration = timed.ended(if patched.is_ok() { "written" } else { "refused" });
        self.last_write.store(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        match patched {
            Ok(view) => {
                self.learn(view);
                Ok(Round::Done)
            }
            // A failed test of a JSON patch is an invalid one (422).
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_invalid() => {
                match in_time(api.get_opt(name)).await? {
                    // Nobody was faster, so it is the status itself that is invalid.
                    Some(view) if view.metadata.resource_version.as_deref() == Some(version) => {
                        Err(Error::Api(kube::Error::Api(status)))
                    }
                    Some(view) => {
                        self.learn(view);
                        self.watches.cache.prune_by_status(&id_of(metadata));
                        Ok(Round::Again)
                    }
                    None => {
                        self.forget(flow);
                        Ok(Round::Again)
                    }
                }
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                self.forget(flow);
                Ok(Round::Again)
            }
            Err(error) => Err(Error::Api(error)),
        }
    }

    /// Puts a flow that a call returned into the cache, and queues the flows that it affects.
    fn learn(&self, view: FlowView) {
        let own = FlowKey::of(&view.metadata);
        let verdict = watch::judge(&view, &self.config.options);
        for (key, urgency) in self.watches.cache.flow_read(view, verdict) {
            // The flow itself is being reconciled.
            if key != own {
                self.watches.queue.add(key, urgency);
            }
        }
    }

    /// Takes a flow that is gone out of the cache, and queues the flows that waited for it.
    fn forget(&self, flow: &JobFlow) {
        for (key, urgency) in self.watches.cache.flow_deleted(&id_of(&flow.metadata)) {
            self.watches.queue.add(key, urgency);
        }
    }

    /// Reports in its status, once, that a flow is malformed and cannot be run.
    pub(super) async fn report_malformed(
        &self,
        key: &FlowKey,
        entry: &FlowEntry,
    ) -> Result<Option<Timestamp>, Error> {
        let Err(malformed) = &entry.flow else { return Ok(None) };
        if malformed.reported {
            return Ok(None);
        }
        tracing::warn!(flow = %key, "a flow is malformed and cannot be run");
        let message = &malformed.message;
        let condition = serde_json::json!({"status": {"message": message, "conditions": [{
            "type": "Ready", "status": "False", "reason": "ValidationFailed", "message": message,
            "lastTransitionTime": Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
        }]}});
        let api: Api<FlowView> = Api::namespaced(self.client.clone(), &key.namespace);
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(condition));
        match in_time(api.patch_status(&key.name, &parameters, &patch).map(Ok)).await? {
            Ok(view) => {
                self.learn(view);
                Ok(None)
            }
            // A schema that refuses the rest of the object refuses this as well. The log line has to do then.
            Err(kube::Error::Api(status)) if status.is_invalid() || status.is_not_found() => Ok(None),
            Err(error) => Err(Error::Api(error)),
        }
    }
}
