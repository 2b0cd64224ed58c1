//! Composition root of the hub: builds the parts, starts them under names, and ends them in order.
//!
//! The only spawner besides the fleet port and the watches, which own their tasks. Every replica
//! serves admission, health and metrics and reads the front door; only the leader serves sessions and
//! writes decisions. A part that ends unasked ends the process, and says which it was.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use arc_swap::ArcSwapOption;
use flotilla_policy::model::marks::RELEASE;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission::{self, AskDoor};
use crate::config::{Args, Command, ServeArgs};
use crate::controllers::Controllers;
use crate::controllers::driver::Env;
use crate::controllers::writes::Writer;
use crate::durable::{Durable, KubeDurable};
use crate::epochs::Epochs;
use crate::fleet::reports::Reports;
use crate::fleet::server::{FleetConfig, FleetServer, LeadParts};
use crate::fleet::sessions::{ReleaseOrder, Sessions};
use crate::fleet::share::{BodyStore, ClusterName, Shares};
use crate::front_door::keys::Source;
use crate::front_door::{FrontDoor, Observer};
use crate::install::{self, HubInfo, Webhooks};
use crate::leader::{Election, LeaderToken, LeaseTimes, NotLeader, Reign};
use crate::metrics::Metrics;
use crate::pki::{Pki, PkiConfig, Revocations, Standing};
use crate::rbac::{self, HUB_NAME, HUB_NAMESPACE};
use crate::telemetry::{self, Readiness};

/// Longest wait for parts to end after a signal.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// Runs a parsed command line.
#[must_use]
pub fn main(args: Args) -> ExitCode {
    // Fails only when a provider is already installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match args.command {
        Command::Crds => print(&flotilla_policy::api::crd::crds()),
        Command::Rbac => print(&rbac::roles()),
        Command::Serve(args) => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print(objects: &[Value]) -> anyhow::Result<()> {
    use std::io::Write;
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(object)?);
    }
    // A closed pipe (`flotilla-hub crds | head`) is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn run(args: &ServeArgs) -> anyhow::Result<()> {
    telemetry::init_logs(&args.log, args.log_json);
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let signals = tokio::spawn(signals(shutdown.clone()));
        let served = serve(args, shutdown).await;
        signals.abort();
        served
    })
}

/// The first signal asks everything to end, the second ends the process.
async fn signals(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    for turn in 0..2 {
        // Cancel-safe: a signal that is not taken stays pending.
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        if turn == 0 {
            tracing::info!("asked to stop");
            shutdown.cancel();
        }
    }
    std::process::abort();
}

/// Serves until told to stop.
///
/// # Errors
/// When the front door cannot be used, an address cannot be listened on, or a part fails.
pub async fn serve(args: &ServeArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let client = connect(args).await?;
    install::refuse_workloads(&client).await?;
    if !args.no_install {
        install::apply_kinds(&client).await?;
    }
    let durable: Arc<dyn Durable> = Arc::new(KubeDurable::new(client.clone()));
    let identities = PkiConfig {
        leaf_life: Duration::from_secs(args.leaf_seconds),
        ..PkiConfig::new(&args.domain)
    };
    let pki = Pki::open(Arc::clone(&durable), identities).await?;
    let parts = Parts::build(args, client, durable, Arc::new(pki));
    let mut tasks = Tasks::new(shutdown);
    parts.start_replica(&mut tasks).await?;
    parts.start_leader(&mut tasks);
    tasks.until_end().await
}

async fn connect(args: &ServeArgs) -> anyhow::Result<Client> {
    let file = &args.kubeconfig;
    let kubeconfig = Kubeconfig::read_from(file)
        .with_context(|| format!("--kubeconfig {} cannot be read", file.display()))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Named tasks; the first that ends unasked ends all.
struct Tasks {
    set: JoinSet<(&'static str, anyhow::Result<()>)>,
    shutdown: CancellationToken,
}

impl Tasks {
    fn new(shutdown: CancellationToken) -> Self {
        Self {
            set: JoinSet::new(),
            shutdown,
        }
    }

    fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.set.spawn(async move { (name, task.await) });
    }

    async fn until_end(mut self) -> anyhow::Result<()> {
        let mut failure = None;
        // Cancel-safe: join_next loses nothing when the token wins.
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {}
            ended = self.set.join_next() => failure = ended.map(unasked),
        }
        self.shutdown.cancel();
        let drained = tokio::time::timeout(DRAIN_MAX, async {
            while let Some(ended) = self.set.join_next().await {
                if let Ok((name, Err(error))) = ended {
                    tracing::warn!(name, error = %format!("{error:#}"), "part ended with an error");
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!("some parts did not end in time and are cut");
        }
        failure.map_or(Ok(()), Err)
    }
}

type Ended = Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>;

fn unasked(ended: Ended) -> anyhow::Error {
    match ended {
        Ok((name, Err(error))) => error.context(format!("{name} failed")),
        Ok((name, Ok(()))) => anyhow!("{name} ended without being asked"),
        Err(error) => anyhow!(error).context("a part of the hub broke"),
    }
}

/// Everything the hub is made of, before anything runs.
struct Parts {
    args: ServeArgs,
    identity: String,
    client: Client,
    durable: Arc<dyn Durable>,
    pki: Arc<Pki>,
    door: Arc<FrontDoor>,
    watched: Arc<Watched>,
    shares: Arc<Shares>,
    reports: Arc<Reports>,
    readiness: Readiness,
}

impl Parts {
    fn build(args: &ServeArgs, client: Client, durable: Arc<dyn Durable>, pki: Arc<Pki>) -> Self {
        let shares = Arc::<Shares>::default();
        let watched = Arc::new(Watched {
            revocations: Arc::clone(pki.revocations()),
            epochs: ArcSwapOption::empty(),
            sessions: ArcSwapOption::empty(),
            released: Mutex::default(),
        });
        let observer: Arc<dyn Observer> = Arc::<Watched>::clone(&watched);
        let bodies = Arc::<BodyStore>::default();
        let door = FrontDoor::new(client.clone(), Arc::clone(&shares), bodies, vec![observer]);
        Self {
            identity: args.identity.clone().unwrap_or_else(identity),
            args: args.clone(),
            client,
            durable,
            pki,
            door: Arc::new(door),
            watched,
            shares,
            reports: Arc::default(),
            readiness: Readiness::default(),
        }
    }

    /// What every replica runs.
    async fn start_replica(&self, tasks: &mut Tasks) -> anyhow::Result<()> {
        let stop = tasks.shutdown.clone();
        let mut registry = Registry::default();
        Metrics::register(&mut registry, &self.shares, &self.reports, &self.readiness);
        let guard = self.readiness.wait_for("the first read of the front door");
        let (addr, readiness) = (self.args.metrics_listen, self.readiness.clone());
        let metrics = telemetry::serve(addr, readiness, Arc::new(registry), stop.clone());
        tasks.spawn("health and metrics", async move {
            metrics
                .await
                .with_context(|| format!("--metrics-listen {addr}"))
        });
        let door = Arc::clone(&self.door);
        let watching = stop.clone();
        tasks.spawn("the front door's watches", async move {
            Ok(door.run(watching).await?)
        });
        let mut ready = self.door.ready();
        tasks.spawn("readiness", async move {
            let _ = ready.wait_for(|ready| *ready).await;
            drop(guard);
            stop.cancelled().await;
            Ok(())
        });
        self.start_webhooks(tasks).await
    }

    async fn start_webhooks(&self, tasks: &mut Tasks) -> anyhow::Result<()> {
        let listen = self.args.webhook_listen;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("--webhook-listen {listen}"))?;
        let url = self.args.webhook_url.clone();
        let url = url.unwrap_or_else(|| format!("https://{}", reachable(listen)));
        let host = host_of(&url).with_context(|| format!("--webhook-url {url} names no host"))?;
        let (tls, _) = self.pki.webhook_tls(&[host])?;
        let router = admission::router(Arc::new(AskDoor::new(self.client.clone())));
        let stop = tasks.shutdown.clone();
        tasks.spawn("admission", async move {
            admission::serve(listener, tls, router, stop).await;
            Ok(())
        });
        if !self.args.no_install {
            let webhooks = Webhooks {
                url,
                ca_pem: self.pki.ca().bundle_pem().to_owned(),
                hub_user: user_of(&self.client).await?,
            };
            install::apply_webhooks(&self.client, &webhooks).await?;
        }
        Ok(())
    }

    /// Stands for election, and runs what only the leader runs.
    fn start_leader(&self, tasks: &mut Tasks) {
        let leader = Leader {
            args: self.args.clone(),
            identity: self.identity.clone(),
            client: self.client.clone(),
            durable: Arc::clone(&self.durable),
            pki: Arc::clone(&self.pki),
            door: Arc::clone(&self.door),
            watched: Arc::clone(&self.watched),
            shares: Arc::clone(&self.shares),
            reports: Arc::clone(&self.reports),
        };
        let stop = tasks.shutdown.clone();
        tasks.spawn("the leader's part", leader.run(stop));
    }
}

/// What only the leader runs.
#[derive(Clone)]
struct Leader {
    args: ServeArgs,
    identity: String,
    client: Client,
    durable: Arc<dyn Durable>,
    pki: Arc<Pki>,
    door: Arc<FrontDoor>,
    watched: Arc<Watched>,
    shares: Arc<Shares>,
    reports: Arc<Reports>,
}

impl Leader {
    /// Reigns whenever the lease is won, and stands by again when it is lost.
    async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let durable = Arc::clone(&self.durable);
        let times = LeaseTimes::of(Duration::from_secs(self.args.lease_seconds));
        let election = Election::new(durable, HUB_NAMESPACE, HUB_NAME, &self.identity);
        let election = election.with_times(times);
        // Shows at once when the port cannot be had, also in standby.
        let mut listener = Some(self.listen().await?);
        while let Some(reign) = election.win(&stop).await {
            let port = match listener.take() {
                Some(listener) => listener,
                None => self.listen().await?,
            };
            match self.reign(reign, port, &stop).await {
                Err(error) if error.is::<NotLeader>() => {
                    tracing::warn!("the lease is lost; this hub stands by again");
                }
                ended => return ended,
            }
        }
        Ok(())
    }

    async fn listen(&self) -> anyhow::Result<TcpListener> {
        let listen = self.args.fleet_listen;
        let listener = TcpListener::bind(listen).await;
        listener.with_context(|| format!("--fleet-listen {listen}"))
    }

    async fn reign(
        &self,
        reign: Reign,
        listener: TcpListener,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let epochs = Epochs::begin(Arc::clone(&self.durable), reign.revision()).await?;
        let epochs = Arc::new(epochs);
        let term = epochs.view().own().term;
        let token = reign.token().with_term(term);
        self.watched.follow(Arc::clone(&epochs));
        tracing::info!(term, identity = self.identity, "this hub leads");
        let mut tasks = Tasks::new(stop.child_token());
        tasks.spawn("the leader's lease", keep(reign, tasks.shutdown.clone()));
        let lead = self
            .clone()
            .lead(token, epochs, listener, tasks.shutdown.clone());
        tasks.spawn("sessions and controllers", lead);
        tasks.until_end().await
    }

    async fn lead(
        self,
        token: LeaderToken,
        epochs: Arc<Epochs>,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut ready = self.door.ready();
        tokio::select! {
            biased;
            // Cancel-safe: both arms only wait.
            () = stop.cancelled() => return Ok(()),
            ready = ready.wait_for(|ready| *ready) => drop(ready?),
        }
        self.pki.reload().await?;
        let info = self.info()?;
        install::publish(&self.client, &info).await?;
        let host = info
            .address
            .rsplit_once(':')
            .map_or("", |(host, _)| host)
            .to_owned();
        let names = vec![self.args.domain.clone(), host];
        let fleet = FleetServer::new(
            Arc::clone(&self.pki),
            FleetConfig::new(names, &self.identity),
        )?;
        let sessions = fleet.lead(LeadParts {
            token: token.clone(),
            epochs: Arc::clone(&epochs),
            shares: Arc::clone(&self.shares),
            reports: Arc::clone(&self.reports),
        });
        self.watched.sessions.store(Some(sessions));
        let env = Env {
            index: Arc::clone(self.door.index()),
            writer: Writer::new(Arc::clone(&self.durable), Arc::new(self.door.templates())),
            leader: Arc::new(token),
            clock: Arc::new(|| {
                jiff::Timestamp::now()
                    .strftime("%Y-%m-%dT%H:%M:%SZ")
                    .to_string()
            }),
            seed: u64::from_str_radix(&epochs.view().own().nonce, 16).unwrap_or(0),
            write_max: LeaseTimes::of(Duration::from_secs(self.args.lease_seconds)).write_max(),
        };
        tracing::info!(address = info.address, "serving agents");
        let controllers = Controllers::new(env, Arc::clone(&self.reports)).run(stop.clone());
        let (served, ()) = tokio::join!(fleet.serve(listener, stop.clone()), controllers);
        served?;
        if stop.is_cancelled() {
            Ok(())
        } else {
            bail!("the fleet port ended")
        }
    }

    fn info(&self) -> anyhow::Result<HubInfo> {
        let pin = self.pki.ca().spki_pin();
        let address = self.args.fleet_address.clone();
        let address = address.unwrap_or_else(|| reachable(self.args.fleet_listen).to_string());
        if address
            .rsplit_once(':')
            .is_none_or(|(_, port)| port.parse::<u16>().is_err())
        {
            bail!("--fleet-address {address} is not HOST:PORT");
        }
        Ok(HubInfo {
            address,
            server_name: self.args.domain.clone(),
            pins: vec![pin.iter().map(|byte| format!("{byte:02x}")).collect()],
        })
    }
}

async fn keep(reign: Reign, stop: CancellationToken) -> anyhow::Result<()> {
    Ok(reign.keep(stop).await?)
}

/// Passes on what the watches bring beside the index: reigns, and clusters' standing.
struct Watched {
    revocations: Arc<Revocations>,
    /// Those of the reign that this hub is in, or was in last.
    epochs: ArcSwapOption<Epochs>,
    /// Its sessions, for people's releases.
    sessions: ArcSwapOption<Sessions>,
    /// Releases that were passed on.
    released: Mutex<BTreeMap<ClusterName, String>>,
}

impl Watched {
    fn follow(&self, epochs: Arc<Epochs>) {
        self.epochs.store(Some(epochs));
    }

    /// Passes a person's release on, once.
    fn release(&self, name: &ClusterName, cluster: &Value) {
        let approval = cluster["metadata"]["annotations"][RELEASE].as_str();
        let (Some(approval), Some(sessions)) = (approval, &*self.sessions.load()) else {
            return;
        };
        let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        if released.get(name).is_some_and(|last| last == approval) {
            return;
        }
        let order = ReleaseOrder {
            approval: approval.to_owned(),
            ids: None,
        };
        if sessions.release(name, order) {
            tracing::info!(cluster = %name, approval, "held works are released");
            released.insert(name.clone(), approval.to_owned());
        }
    }
}

impl Observer for Watched {
    fn applied(&self, source: &Source, object: &Value) {
        let name = ClusterName::new(flotilla_policy::model::manifest::name(object));
        match source {
            Source::Epochs => {
                if let Some(epochs) = &*self.epochs.load() {
                    epochs.observe(object);
                }
            }
            Source::Enrolments => self.revocations.set(&name, Standing::of(object)),
            Source::Clusters => self.release(&name, object),
            _ => {}
        }
    }

    fn deleted(&self, source: &Source, object: &Value) {
        if *source == Source::Enrolments {
            let name = flotilla_policy::model::manifest::name(object);
            self.revocations.set_deleted(&ClusterName::new(name));
        }
    }
}

/// The front door's name for this hub, which its webhooks do not ask about.
async fn user_of(client: &Client) -> anyhow::Result<String> {
    use k8s_openapi::api::authentication::v1::SelfSubjectReview;
    let reviews: kube::Api<SelfSubjectReview> = kube::Api::all(client.clone());
    let review = reviews
        .create(
            &kube::api::PostParams::default(),
            &SelfSubjectReview::default(),
        )
        .await
        .context("cannot ask the front door who this hub is")?;
    let user = review
        .status
        .and_then(|s| s.user_info)
        .and_then(|u| u.username);
    user.context("the front door does not say who this hub is")
}

/// A name that no other process has.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), uuid::Uuid::new_v4())
}

/// An address to dial for one that is listened on: an unspecified one is this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], listen.port()))
    } else {
        listen
    }
}

fn host_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split('/').next()?;
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| host.to_owned())
}
