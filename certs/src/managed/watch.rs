//! Client required: what every replica sees, by watch, and the pair it takes from there.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{
    Stream, StreamExt as _,
    stream::{self, SelectAll},
};
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    core::DynamicObject,
    runtime::{WatchStreamExt as _, watcher, watcher::watch_object},
};
use tokio::{sync::watch, time::sleep};

use super::{ApiError, Configuration, ConfigurationRef, ManagedConfig, State, api::Api};
use crate::{Backend, CertKind, Facts, Hooks, Identity, Pair, Rejection, intake::Intake};

/// Everything managed mode has seen of the cluster.
#[derive(Clone)]
pub(crate) struct Observed {
    /// The Secret.
    pub(crate) secret: Seen<Box<Secret>>,
    /// The configurations, each by its name.
    pub(crate) configurations: BTreeMap<ConfigurationRef, Seen<Configuration>>,
}

/// Says how much is seen and not what: the Secret holds keys.
impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("synced", &self.synced()).finish_non_exhaustive()
    }
}

/// What is known of one object.
#[derive(Clone, PartialEq)]
pub(crate) enum Seen<T> {
    /// Nothing yet.
    Unknown,
    /// It does not exist.
    Absent,
    /// It is like this.
    Present(T),
}

impl Observed {
    pub(crate) fn nothing_yet(configurations: Vec<ConfigurationRef>) -> Self {
        Self {
            secret: Seen::Unknown,
            configurations: configurations.into_iter().map(|one| (one, Seen::Unknown)).collect(),
        }
    }

    /// Every watch has delivered.
    ///
    /// # Errors
    /// The first that has not.
    pub(crate) fn synced(&self) -> Result<(), String> {
        if matches!(self.secret, Seen::Unknown) {
            return Err("the certificate Secret has not been read yet".to_owned());
        }
        match self.configurations.iter().find(|(_, seen)| matches!(seen, Seen::Unknown)) {
            Some((reference, _)) => Err(format!("{reference} has not been read yet")),
            None => Ok(()),
        }
    }

    /// The API server accepts `pair` as `name` for every webhook of every configuration. One that does not exist
    /// sends no calls, and so asks for nothing.
    pub(crate) fn trusts(&self, pair: &Pair, name: &str, now: Timestamp) -> Result<(), String> {
        self.present().try_for_each(|configuration| configuration.trusts(pair, name, now))
    }

    /// What the Secret holds, if it is there.
    pub(crate) fn state(&self) -> Option<State> {
        match &self.secret {
            Seen::Present(secret) => Some(State::read(secret)),
            Seen::Unknown | Seen::Absent => None,
        }
    }

    /// The `resourceVersion` of the Secret.
    pub(crate) fn version(&self) -> Option<String> {
        match &self.secret {
            Seen::Present(secret) => secret.metadata.resource_version.clone(),
            Seen::Unknown | Seen::Absent => None,
        }
    }

    pub(crate) fn present(&self) -> impl Iterator<Item = &Configuration> {
        self.configurations.values().filter_map(|seen| match seen {
            Seen::Present(configuration) => Some(configuration),
            Seen::Unknown | Seen::Absent => None,
        })
    }
}

impl<T> From<Option<T>> for Seen<T> {
    fn from(object: Option<T>) -> Self {
        object.map_or(Self::Absent, Self::Present)
    }
}

/// The shared view: watches and our own writes come in, the pair and the metrics follow at once.
pub(crate) struct View {
    observed: watch::Sender<Observed>,
    intake: Mutex<Intake>,
    required: String,
    hooks: Hooks,
}

impl View {
    pub(crate) fn new(
        observed: watch::Sender<Observed>,
        config: &ManagedConfig,
        identity: Identity,
        hooks: Hooks,
    ) -> Self {
        let intake = Mutex::new(Intake::new(identity, hooks.clone()));
        Self { observed, intake, required: config.names.required(), hooks }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Observed> {
        self.observed.subscribe()
    }

    pub(crate) fn references(&self) -> Vec<ConfigurationRef> {
        self.observed.borrow().configurations.keys().cloned().collect()
    }

    /// What a watch, or a read that may have been overtaken by it, tells of the Secret. News that are older than what is
    /// known are none: they would put an old leaf back into service.
    pub(crate) fn secret(&self, secret: Option<Secret>) {
        let overtaken = match (&self.observed.borrow().secret, &secret) {
            (Seen::Present(known), Some(told)) => older(&told.metadata, &known.metadata),
            _ => false,
        };
        if !overtaken {
            self.adopt(secret);
        }
    }

    /// What was read because a write was refused: it holds, whatever was known.
    pub(crate) fn adopt(&self, secret: Option<Secret>) {
        let now = self.hooks.clock.now();
        let state = secret.as_ref().map(State::read).unwrap_or_default();
        if !state.is_empty() {
            let pair = self.parse(&state, now);
            self.intake.lock().unwrap_or_else(PoisonError::into_inner).take(pair);
        }
        let ca = state.ca.iter().filter_map(|ca| crate::pair::chain(&ca.cert).ok());
        let ca: Vec<_> = ca.flatten().filter_map(|der| Facts::of(&der).ok()).collect();
        self.hooks.metrics.show(CertKind::Ca, &ca);
        self.hooks.metrics.show(CertKind::Bundle, &state.bundle_at(now).facts());
        self.hooks.metrics.phase(state.phase.number(), state.phase_since);
        let seen = Seen::from(secret.map(Box::new));
        self.observed.send_if_modified(|observed| {
            let changed = observed.secret != seen;
            observed.secret = seen;
            changed
        });
    }

    pub(crate) fn configuration(&self, reference: ConfigurationRef, object: Option<&DynamicObject>) {
        let seen = Seen::from(object.map(|object| Configuration::read(reference.clone(), object)));
        if let (Some(object), Some(Seen::Present(known))) =
            (object, self.observed.borrow().configurations.get(&reference))
            && object.metadata.uid.as_ref() == Some(&known.uid)
            && precedes(object.metadata.resource_version.as_deref(), Some(&known.version))
        {
            return;
        }
        self.observed.send_if_modified(|observed| {
            let before = observed.configurations.insert(reference, seen.clone());
            before != Some(seen)
        });
    }

    fn parse(&self, state: &State, now: Timestamp) -> Result<Pair, Rejection> {
        let leaf = state.leaf.as_ref().ok_or(Rejection::Empty { what: "certificate" })?;
        let key = leaf.key.as_ref().ok_or(Rejection::Empty { what: "key" })?;
        Pair::parse(&leaf.cert, key.expose().as_bytes(), &[&self.required], now)
    }
}

fn older(told: &ObjectMeta, known: &ObjectMeta) -> bool {
    told.uid == known.uid && precedes(told.resource_version.as_deref(), known.resource_version.as_deref())
}

/// Resource versions of one object are numbers that grow (KEP-5504). Where they are none, none precedes another.
fn precedes(one: Option<&str>, other: Option<&str>) -> bool {
    let number = |version: Option<&str>| version?.parse::<u128>().ok();
    number(one).zip(number(other)).is_some_and(|(one, other)| one < other)
}

enum Change {
    Secret(Option<Secret>),
    Configuration(ConfigurationRef, Option<DynamicObject>),
}

#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("watch interrupted: {0}")]
    Watch(#[from] watcher::Error),
    #[error(transparent)]
    Read(#[from] ApiError),
}

/// Watches for ever. Besides, once per `tick`, everything is read outright: a watch that has died silently (kube puts
/// no deadline on its lists) costs one tick, and a pair whose time comes, or was wrong by a clock, is judged anew.
pub(crate) async fn follow(api: &Api, view: &View, tick: Duration) {
    view.hooks.metrics.source.backend(Backend::Api);
    let references: Vec<_> = view.references();
    let mut changes = SelectAll::new();
    changes.push(named(watch_object(api.secrets.clone(), &api.secret), Change::Secret).boxed());
    for reference in references.clone() {
        let watch = watch_object(api.configurations(&reference), &reference.name);
        changes.push(named(watch, move |object| Change::Configuration(reference.clone(), object)).boxed());
    }
    changes.push(reread(api.clone(), references, tick).boxed());
    while let Some(change) = changes.next().await {
        match change {
            Ok(Change::Secret(secret)) => view.secret(secret),
            Ok(Change::Configuration(reference, object)) => view.configuration(reference, object.as_ref()),
            Err(error) => tracing::warn!(%error, "cannot follow the certificate's objects, trying again"),
        }
    }
}

fn named<T: Send + 'static>(
    watch: impl Stream<Item = Result<Option<T>, watcher::Error>> + Send,
    change: impl Fn(Option<T>) -> Change + Send,
) -> impl Stream<Item = Result<Change, Interruption>> + Send {
    watch.default_backoff().map(move |event| Ok(change(event?)))
}

fn reread(
    api: Api,
    references: Vec<ConfigurationRef>,
    tick: Duration,
) -> impl Stream<Item = Result<Change, Interruption>> + Send {
    let all = references.into_iter().map(Some).chain([None]).collect::<Vec<_>>();
    stream::unfold((), move |()| async move { Some((sleep(tick).await, ())) })
        .flat_map(move |()| stream::iter(all.clone()))
        .then(move |reference| {
            let api = api.clone();
            async move {
                Ok(match reference {
                    None => Change::Secret(api.get_secret().await?),
                    Some(one) => {
                        let object = api.get_configuration(&one).await?;
                        Change::Configuration(one, object)
                    }
                })
            }
        })
}
