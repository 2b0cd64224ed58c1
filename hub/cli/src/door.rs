//! The front door as the commands see it: get, list, create, patch and delete of objects as JSON.
//!
//! Decides nothing; names the object in every error.

use clap::Args;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::Value;

use crate::error::CliError;

/// Which front door, as whom.
#[derive(Args, Clone, Debug, Default)]
pub struct Access {
    /// Kubeconfig of the front door [default: KUBECONFIG, then ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE", env = "FLOTILLA_KUBECONFIG")]
    pub kubeconfig: Option<std::path::PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
}

/// A kind the commands know by heart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
}

macro_rules! known {
    ($name:ident, $group:literal, $version:literal, $kind:literal, $plural:literal) => {
        pub(crate) const $name: Known = Known {
            group: $group,
            version: $version,
            kind: $kind,
            plural: $plural,
        };
    };
}

known!(
    CLUSTER,
    "cluster.karmada.io",
    "v1alpha1",
    "Cluster",
    "clusters"
);
known!(
    PROPAGATION,
    "policy.karmada.io",
    "v1alpha1",
    "PropagationPolicy",
    "propagationpolicies"
);
known!(
    CLUSTER_PROPAGATION,
    "policy.karmada.io",
    "v1alpha1",
    "ClusterPropagationPolicy",
    "clusterpropagationpolicies"
);
known!(
    OVERRIDE,
    "policy.karmada.io",
    "v1alpha1",
    "OverridePolicy",
    "overridepolicies"
);
known!(
    CLUSTER_OVERRIDE,
    "policy.karmada.io",
    "v1alpha1",
    "ClusterOverridePolicy",
    "clusteroverridepolicies"
);
known!(
    BINDING,
    "work.karmada.io",
    "v1alpha2",
    "ResourceBinding",
    "resourcebindings"
);
known!(
    CLUSTER_BINDING,
    "work.karmada.io",
    "v1alpha2",
    "ClusterResourceBinding",
    "clusterresourcebindings"
);
known!(
    JOIN_TOKEN,
    "fleet.flotilla.dev",
    "v1alpha1",
    "JoinToken",
    "jointokens"
);
known!(
    ENROLMENT,
    "fleet.flotilla.dev",
    "v1alpha1",
    "Enrolment",
    "enrolments"
);
known!(CONFIG_MAP, "", "v1", "ConfigMap", "configmaps");

impl Known {
    fn resource(self) -> ApiResource {
        let api_version = if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        };
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version,
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    pub(crate) fn what(self, name: &str) -> String {
        format!("{} {name}", self.kind)
    }
}

/// A connection to the front door.
#[derive(Clone)]
pub struct Door {
    client: Client,
}

impl Door {
    /// Connects with a kubeconfig.
    ///
    /// # Errors
    /// When there is no usable kubeconfig.
    pub async fn connect(access: &Access) -> Result<Self, CliError> {
        let options = KubeConfigOptions {
            context: access.context.clone(),
            ..KubeConfigOptions::default()
        };
        let loaded = match &access.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let kubeconfig = loaded.map_err(|e| CliError::Kubeconfig(Box::new(e)))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|e| CliError::Kubeconfig(Box::new(e)))?;
        let client = Client::try_from(config).map_err(|e| CliError::Kubeconfig(Box::new(e)))?;
        Ok(Self { client })
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, resource)
        }
    }

    pub(crate) async fn get(
        &self,
        known: Known,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, CliError> {
        let api = self.api(&known.resource(), namespace);
        let found = api
            .get_opt(name)
            .await
            .map_err(CliError::request(format!("read {}", known.what(name))))?;
        Ok(found.as_ref().map(to_value))
    }

    pub(crate) async fn list(&self, known: Known, namespace: &str) -> Result<Vec<Value>, CliError> {
        let listed = self
            .api(&known.resource(), namespace)
            .list(&ListParams::default())
            .await
            .map_err(CliError::request(format!("list {}", known.plural)))?;
        let envelope = known.resource();
        Ok(listed
            .items
            .iter()
            .map(|object| {
                let mut value = to_value(object);
                value["apiVersion"] = envelope.api_version.clone().into();
                value["kind"] = envelope.kind.clone().into();
                value
            })
            .collect())
    }

    pub(crate) async fn create(&self, known: Known, object: Value) -> Result<Value, CliError> {
        let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or("")
            .to_owned();
        let object: DynamicObject = serde_json::from_value(object).map_err(|e| {
            CliError::request(format!("create {}", known.what(&name)))(kube::Error::SerdeError(e))
        })?;
        let made = self
            .api(&known.resource(), &namespace)
            .create(&PostParams::default(), &object)
            .await
            .map_err(CliError::request(format!("create {}", known.what(&name))))?;
        Ok(to_value(&made))
    }

    pub(crate) async fn merge(
        &self,
        known: Known,
        name: &str,
        patch: Value,
    ) -> Result<Value, CliError> {
        let params = PatchParams::apply("flotilla-cli");
        let patched = self
            .api(&known.resource(), "")
            .patch(
                name,
                &PatchParams {
                    field_manager: params.field_manager,
                    ..PatchParams::default()
                },
                &Patch::Merge(patch),
            )
            .await
            .map_err(CliError::request(format!("change {}", known.what(name))))?;
        Ok(to_value(&patched))
    }

    pub(crate) async fn delete(&self, known: Known, name: &str) -> Result<(), CliError> {
        self.api(&known.resource(), "")
            .delete(name, &DeleteParams::background())
            .await
            .map(|_| ())
            .map_err(CliError::request(format!("delete {}", known.what(name))))
    }

    /// Any object by what a person writes: `deployment`, `deploy`, `deployments.apps`, `Deployment`.
    pub(crate) async fn get_by_word(
        &self,
        word: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, CliError> {
        let (resource, namespaced) = self.resolve(word).await?;
        let scope = if namespaced { namespace } else { "" };
        let found = self
            .api(&resource, scope)
            .get_opt(name)
            .await
            .map_err(CliError::request(format!("read {word} {name}")))?;
        Ok(found.map(|object| {
            let mut value = to_value(&object);
            value["apiVersion"] = resource.api_version.clone().into();
            value["kind"] = resource.kind.clone().into();
            value
        }))
    }

    async fn resolve(&self, word: &str) -> Result<(ApiResource, bool), CliError> {
        let doing = || CliError::request("read the kinds of the front door");
        let (wanted, group) = word
            .split_once('.')
            .map_or((word, None), |(k, g)| (k, Some(g)));
        let wanted = wanted.to_lowercase();
        let core = self
            .client
            .list_core_api_versions()
            .await
            .map_err(doing())?;
        for version in core.versions {
            let listed = self
                .client
                .list_core_api_resources(&version)
                .await
                .map_err(doing())?;
            if let Some(found) = pick(&listed.resources, &wanted, "", &version, group) {
                return Ok(found);
            }
        }
        let groups = self.client.list_api_groups().await.map_err(doing())?;
        for api_group in groups.groups {
            let Some(preferred) = api_group
                .preferred_version
                .or_else(|| api_group.versions.first().cloned())
            else {
                continue;
            };
            // An aggregated API that is down must not hide the others.
            let Ok(listed) = self
                .client
                .list_api_group_resources(&preferred.group_version)
                .await
            else {
                continue;
            };
            if let Some(found) = pick(
                &listed.resources,
                &wanted,
                &api_group.name,
                &preferred.version,
                group,
            ) {
                return Ok(found);
            }
        }
        Err(CliError::NotFound {
            what: format!("kind {word}"),
            hint: "`kubectl api-resources` lists the kinds of the front door".to_owned(),
        })
    }
}

fn pick(
    resources: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource],
    wanted: &str,
    group: &str,
    version: &str,
    asked_group: Option<&str>,
) -> Option<(ApiResource, bool)> {
    if asked_group.is_some_and(|asked| asked != group) {
        return None;
    }
    let found = resources
        .iter()
        .filter(|r| !r.name.contains('/'))
        .find(|r| {
            r.name == wanted
                || r.kind.to_lowercase() == wanted
                || r.singular_name == wanted
                || r.short_names.iter().flatten().any(|s| s == wanted)
        })?;
    let api_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some((
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: found.kind.clone(),
            plural: found.name.clone(),
        },
        found.namespaced,
    ))
}

fn to_value(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or(Value::Null);
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    value
}
