//! The cluster that a command reads, chosen as kubectl chooses it. Its errors are explained with what to do.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use headworks::flows::api::JobFlow;
use headworks::k8s::name_rules;
use headworks::problem::suggest::did_you_mean;
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};

/// No call takes longer; only watches and logs that are followed may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The choice of a cluster and of a namespace in it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Connect {
    /// The namespace; by default that of the context
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// The context of the kubeconfig to use instead of its current one
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig, instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// A connection to a namespace of a cluster.
pub(crate) struct Cluster {
    client: Client,
    url: String,
    /// The namespace.
    pub(crate) namespace: String,
}

/// The name of a flow, also as kubectl prints it: `jobflow/nightly`.
pub(crate) fn flow_name(text: &str) -> Result<String, String> {
    let name = match text.split_once('/') {
        Some(("jobflow" | "jobflows" | "jf" | "flow" | "jobflow.workflow.kube-zen.io", name)) => name,
        _ => text,
    };
    name_rules::dns_subdomain(name).map_or_else(|| Ok(name.to_owned()), Err)
}

/// Runs a command that talks to a cluster.
pub(crate) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // Two providers are compiled in by way of dependencies; one has to be chosen, once.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider was installed twice"))?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

impl Connect {
    /// The cluster that the arguments choose. Makes no call.
    pub(crate) async fn cluster(&self) -> anyhow::Result<Cluster> {
        self.cluster_or(None).await
    }

    /// The same, in the namespace of an installation, unless another is named.
    pub(crate) async fn cluster_in(&self, namespace: &str) -> anyhow::Result<Cluster> {
        self.cluster_or(Some(namespace)).await
    }

    async fn cluster_or(&self, usual: Option<&str>) -> anyhow::Result<Cluster> {
        let Self { namespace, context, kubeconfig } = self;
        let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
        let mut config = match (kubeconfig, context) {
            (None, None) => Config::infer()
                .await
                .context("no cluster: set KUBECONFIG, give --kubeconfig, or run inside a cluster")?,
            (None, Some(_)) => {
                Config::from_kubeconfig(&options).await.context("cannot use this kubeconfig")?
            }
            (Some(file), _) => {
                let read = Kubeconfig::read_from(file);
                let read = read.with_context(|| format!("cannot use the kubeconfig {}", file.display()))?;
                let config = Config::from_custom_kubeconfig(read, &options).await;
                config.with_context(|| format!("cannot use the kubeconfig {}", file.display()))?
            }
        };
        config.connect_timeout = Some(Duration::from_secs(10));
        let usual = usual.unwrap_or(&config.default_namespace);
        let namespace = namespace.clone().unwrap_or_else(|| usual.to_owned());
        if let Some(wrong) = name_rules::dns_label(&namespace) {
            anyhow::bail!("the namespace {namespace:?}: {wrong}");
        }
        let url = config.cluster_url.to_string();
        Ok(Cluster { client: Client::try_from(config)?, url, namespace })
    }
}

impl Cluster {
    /// The objects of a kind in the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// A flow by its name.
    pub(crate) async fn flow(&self, name: &str) -> anyhow::Result<JobFlow> {
        let flows = self.api::<JobFlow>();
        match self.call(flows.get_opt(name)).await? {
            Some(flow) => Ok(flow),
            None => Err(self.no_flow(name).await),
        }
    }

    async fn no_flow(&self, name: &str) -> anyhow::Error {
        let Self { namespace, .. } = self;
        let known = self.call(self.api::<JobFlow>().list_metadata(&ListParams::default().limit(500))).await;
        let known: Vec<String> = match known {
            Ok(list) => list.items.into_iter().filter_map(|flow| flow.metadata.name).collect(),
            Err(error) => return error,
        };
        let hint = did_you_mean(name, known.iter().map(String::as_str)).unwrap_or_else(|| {
            if known.is_empty() {
                "that namespace has none at all; name another with -n".to_owned()
            } else {
                format!("list them with: kubectl -n {namespace} get jobflows")
            }
        });
        anyhow!("there is no JobFlow {name:?} in the namespace {namespace:?}; {hint}")
    }

    /// Makes a call, with a timeout.
    pub(crate) async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
        self.patience(call).await?.map_err(|error| self.explain(error))
    }

    /// Waits for an answer of the API server, with a timeout.
    pub(crate) async fn patience<T>(&self, answer: impl Future<Output = T>) -> anyhow::Result<T> {
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        answer.map_err(|_| anyhow!("no answer from the API server at {} within {PATIENCE:?}", self.url))
    }

    /// Explains an error to the person at the terminal, with the next thing to try.
    pub(crate) fn explain(&self, error: kube::Error) -> anyhow::Error {
        let url = &self.url;
        match error {
            kube::Error::Api(status) => match status.code {
                401 => anyhow!(
                    "the cluster at {url} does not know you; log in again, or choose another --context"
                ),
                403 => anyhow!("{}; ask whoever gives out rights in this cluster", status.message),
                // Not an object that is missing but the kind: the server names no object then.
                404 if status.details.as_ref().is_none_or(|details| details.name.is_empty()) => {
                    anyhow!(
                        "the cluster at {url} knows no JobFlows; install headworks: kubectl apply -k deploy/"
                    )
                }
                _ => anyhow!("{}", status.message),
            },
            kube::Error::SerdeError(error) => {
                anyhow!(
                    "what the cluster keeps cannot be read: {error}; it was written while nobody judged it"
                )
            }
            kube::Error::Service(error) => anyhow!(
                "the API server at {url} cannot be reached: {}; is it the right --context?",
                root(error.as_ref())
            ),
            other => anyhow!(other).context(format!("the API server at {url} gave no answer")),
        }
    }
}

/// The innermost cause: what is outside it names only the library's layers.
fn root<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_may_be_named_as_kubectl_prints_it() {
        for text in ["nightly", "jobflow/nightly", "jf/nightly", "jobflow.workflow.kube-zen.io/nightly"] {
            assert_eq!(flow_name(text), Ok("nightly".to_owned()));
        }
        assert!(flow_name("job/nightly").is_err());
        assert!(flow_name("../../secrets/x").is_err());
        assert!(flow_name("").is_err());
    }
}
