//! A whole server from its settings: store, engine, certificates, listener, signals.
//!
//! [`start`] gives a running server to whoever embeds one or tests it; [`run`] is the process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::auth::authn::{Authenticator, TokenFile, Tokens};
use crate::auth::{MASTERS, User};
use crate::http::tls::{Authority, Credential, write_private};
use crate::http::{Limits, LogAudit, Server};
use crate::kinds::Profile;
use crate::lifecycle;
use crate::rest::Engine;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::redb::RedbStore;

/// Where objects are kept.
#[derive(Debug, Clone)]
pub enum Storage {
    /// In memory.
    Memory,
    /// In files of this directory.
    Directory(PathBuf),
}

/// Which controllers run in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controllers {
    /// None.
    None,
    /// All there are.
    All,
}

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// What kind of server.
    pub profile: Profile,
    /// Where objects are kept.
    pub storage: Storage,
    /// Controllers.
    pub controllers: Controllers,
    /// Bearer tokens.
    pub token_auth_file: Option<PathBuf>,
    /// Where the admin's kubeconfig goes.
    pub kubeconfig_out: Option<PathBuf>,
}

/// A server that runs until it is stopped.
pub struct Running {
    /// Address that it listens on.
    pub address: SocketAddr,
    /// The engine inside.
    pub engine: Arc<Engine>,
    /// Kubeconfig of the admin.
    pub kubeconfig: String,
    /// The root that signed the serving certificate, PEM.
    pub root_pem: String,
    /// The admin's certificate and key.
    pub admin: Credential,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// Starts a server.
pub async fn start(settings: &Settings) -> anyhow::Result<Running> {
    let (store, directory): (Arc<dyn Store>, _) = match &settings.storage {
        Storage::Memory => (Arc::new(MemoryStore::new()), None),
        Storage::Directory(path) => (Arc::new(RedbStore::open(path)?), Some(path.as_path())),
    };
    if settings.controllers == Controllers::All {
        anyhow::bail!("controllers are not served yet, use --controllers none");
    }
    let token = admin_token(directory)?;
    let engine = Engine::new(store, settings.profile, authenticator(settings, &token)?)
        .map_err(|status| anyhow::anyhow!("the store cannot be read: {}", status.message))?;
    let authority = Authority::open(directory)?;
    let admin = authority.client("admin", &[MASTERS])?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let address = listener.local_addr()?;
    let tls = authority.server(&names(address))?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let feed = Arc::clone(&engine).run();
    let stopped = stop.clone();
    tasks.spawn(async move {
        // Cancel-safe: nothing is taken from the feed when it is dropped.
        tokio::select! {
            biased;
            () = stopped.cancelled_owned() => Ok(()),
            error = feed => Err(error.into()),
        }
    });
    lifecycle::prepare(&engine)
        .await
        .map_err(|status| anyhow::anyhow!("the first objects are refused: {}", status.message))?;
    let server = Arc::new(Server {
        engine: Arc::clone(&engine),
        limits: Limits::default(),
        audit: Arc::new(LogAudit),
    });
    let stopped = stop.clone();
    tasks.spawn(async move {
        server.serve(listener, tls, stopped).await;
        Ok(())
    });
    let kubeconfig = authority.kubeconfig(&format!("https://{}", reachable(address)), &token);
    if let Some(path) = &settings.kubeconfig_out {
        write_private(path, &kubeconfig)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Running {
        address,
        engine,
        kubeconfig,
        root_pem: authority.root_pem().to_owned(),
        admin,
        stop,
        tasks,
    })
}

impl Running {
    /// Stops taking requests, drains, and returns when all tasks have ended.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a task of the server panicked")??;
        }
        Ok(())
    }

    /// Waits for the first task that ends by itself: none should.
    async fn ended(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => ended.context("a task of the server panicked")?,
            None => Ok(()),
        }
    }
}

/// Runs a server until a signal; a second signal ends it at once.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut running = start(&settings).await?;
    println!("listening on https://{}", reachable(running.address));
    if let Some(path) = &settings.kubeconfig_out {
        println!("admin kubeconfig: {}", path.display());
    }
    // Cancel-safe: signals and ends are kept by their sources.
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        ended = running.ended() => return ended,
    }
    tracing::info!("stopping");
    // Cancel-safe: a drain that is dropped ends with the process.
    tokio::select! {
        stopped = running.stop() => stopped,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// The admin's token: as long as the data lives, it is the same.
fn admin_token(directory: Option<&Path>) -> anyhow::Result<String> {
    let path = directory.map(|directory| directory.join("admin.token"));
    if let Some(path) = path.as_ref().filter(|path| path.exists()) {
        let token = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(token.trim().to_owned());
    }
    // Two of them: 244 random bits.
    let [one, two] = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    let token = format!("{}{}", one.simple(), two.simple());
    if let Some(path) = &path {
        write_private(path, &token).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(token)
}

fn authenticator(settings: &Settings, token: &str) -> anyhow::Result<Authenticator> {
    let mut admin = TokenFile::default();
    let user = User {
        name: "admin".to_owned(),
        groups: vec![MASTERS.to_owned()],
        ..User::default()
    };
    admin.insert(token, user);
    let mut tokens: Vec<Arc<dyn Tokens>> = vec![Arc::new(admin)];
    if let Some(path) = &settings.token_auth_file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        tokens.push(Arc::new(TokenFile::parse(&text)?));
    }
    Ok(Authenticator::new(tokens))
}

/// Names and addresses of the serving certificate.
fn names(address: SocketAddr) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        "kubernetes.default.svc.cluster.local".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
        "10.96.0.1".to_owned(),
    ];
    if !address.ip().is_unspecified() && !address.ip().is_loopback() {
        names.push(address.ip().to_string());
    }
    names
}

/// Where a client of this machine finds the server.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}
