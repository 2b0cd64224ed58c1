//! One agent without its shell: session, executor and ledger over a member in memory, driven step by
//! step in virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flotilla_agent::apply::Outcome;
use flotilla_agent::apply::execute::Executor;
use flotilla_agent::decisions::Asker;
use flotilla_agent::ledger::bodies::{Bodies, Packs};
use flotilla_agent::ledger::state::Ledger;
use flotilla_agent::ledger::{LedgerError, Secrets};
use flotilla_agent::member::memory::MemoryMember;
use flotilla_agent::member::{Class, Gvk, MemberApi, MemberError, Seen};
use flotilla_agent::metrics::Metrics;
use flotilla_agent::observe::kinds::Kinds;
use flotilla_agent::session::{Input, Now, Output, Session, SessionConfig};
use flotilla_proto::v1;
use futures::FutureExt;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;

use crate::hub::{CLUSTER_UID, Hub};

/// Unix seconds at which every test begins.
const EPOCH_UNIX: u64 = 1_800_000_000;
/// Steps after which a test does not come to rest.
const STEPS_MAX: usize = 20_000;

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// Why the agent is not there.
#[derive(Debug)]
pub(crate) enum Death {
    /// A write failed and the test wants that to be the end.
    Crash,
    /// Another one leads.
    NotLeader,
}

pub(crate) struct Rig {
    pub(crate) member: MemoryMember,
    pub(crate) hub: Hub,
    pub(crate) session: Session,
    pub(crate) kinds: Arc<Kinds>,
    executor: Executor,
    ledger: Ledger,
    packs: Packs,
    secrets: Secrets,
    bodies: Arc<Bodies>,
    watches: BTreeMap<Gvk, BoxStream<'static, Result<Seen, MemberError>>>,
    start: Instant,
    passed: Duration,
    pub(crate) linked: bool,
    pub(crate) drops: Vec<String>,
    pub(crate) stopped: Option<String>,
    /// A failed write of the ledger ends the agent instead of being tried again.
    pub(crate) brittle: bool,
    /// The hub hears and answers nothing.
    pub(crate) hub_is_silent: bool,
    /// The hub answers, but says no changes by itself.
    quiet_hub: bool,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::over(MemoryMember::default(), Hub::default()).await
    }

    /// An agent that starts over what a former one left.
    pub(crate) async fn over(member: MemoryMember, hub: Hub) -> Self {
        Self::try_over(member, hub, 0)
            .await
            .expect("the agent starts")
    }

    async fn try_over(
        member: MemoryMember,
        hub: Hub,
        fence_seen: u64,
    ) -> Result<Self, LedgerError> {
        let api: Arc<dyn MemberApi> = Arc::new(member.clone());
        let secrets = Secrets::new(Arc::clone(&api), "flotilla-system");
        let bodies = Arc::new(Bodies::default());
        let mut all = secrets.read_all().await?;
        let packs = Packs::load(&mut all, &bodies);
        let mut ledger = Ledger::load(secrets.clone(), &all, EPOCH_UNIX).await?;
        let fence = ledger.take_fence(fence_seen).await?;
        let cfg = SessionConfig {
            cluster_uid: CLUSTER_UID.into(),
            fence,
            memory_since: ledger.memory_since(),
            seed: 1,
        };
        let records = ledger.records().cloned();
        let session = Session::new(cfg, records, ledger.marks(), bodies.digests());
        let kinds = Arc::new(Kinds::new(Arc::clone(&api)));
        kinds.refresh().await?;
        let executor = Executor {
            member: api,
            kinds: Arc::clone(&kinds),
            bodies: Arc::clone(&bodies),
            asker: Asker {
                cluster: "edge".into(),
                fence,
            },
            namespace: "flotilla-system".into(),
            fence_seen: Arc::default(),
            metrics: Metrics::default(),
            normalised: Mutex::default(),
        };
        Ok(Self {
            member,
            hub,
            session,
            kinds,
            executor,
            ledger,
            packs,
            secrets,
            bodies,
            watches: BTreeMap::new(),
            start: Instant::now(),
            passed: Duration::ZERO,
            linked: false,
            drops: Vec::new(),
            stopped: None,
            brittle: false,
            hub_is_silent: false,
            quiet_hub: false,
        })
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            at: self.start + self.passed,
            unix: EPOCH_UNIX + self.passed.as_secs(),
        }
    }

    pub(crate) fn link_up(&mut self) {
        self.linked = true;
        self.session.handle(Input::LinkUp, self.now());
    }

    pub(crate) fn link_down(&mut self) {
        self.linked = false;
        self.hub.link_down();
        self.session.handle(Input::LinkDown, self.now());
    }

    pub(crate) fn link_up_if_needed(&mut self) {
        if !self.linked {
            self.link_up();
        }
    }

    pub(crate) fn say(&mut self, frame: v1::HubFrame) {
        self.session.handle(Input::FromHub(frame), self.now());
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.session.handle(input, self.now());
    }

    /// Connects and runs until nothing is left to do.
    pub(crate) async fn converge(&mut self) {
        self.link_up_if_needed();
        self.settle().await;
    }

    /// Runs until nothing is due within the next seconds.
    pub(crate) async fn settle(&mut self) {
        self.run_for(Duration::from_secs(5))
            .await
            .expect("nothing ends the agent");
    }

    /// Runs until nothing is due within a time; virtual time jumps from one wake-up to the next.
    pub(crate) async fn run_for(&mut self, horizon: Duration) -> Result<(), Death> {
        let end = self.now().at + horizon;
        for steps in 0.. {
            assert!(steps < STEPS_MAX, "the agent does not come to rest");
            if self.step().await? {
                continue;
            }
            let due = self.session.poll_timeout().map(|(at, _)| at);
            let status = self.session.poll_status_timeout();
            match [due, status].into_iter().flatten().min() {
                Some(at) if at <= end => {
                    let at = at.max(self.now().at);
                    self.passed = at - self.start;
                    let now = self.now();
                    self.session.handle_timeout(now);
                }
                _ => {
                    self.passed = end - self.start;
                    self.sync_packs().await?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Runs until nothing is due, while the hub says nothing by itself.
    pub(crate) async fn settle_quietly(&mut self) {
        self.quiet_hub = true;
        self.settle().await;
        self.quiet_hub = false;
    }

    /// Runs until the hub has answered, and no further.
    pub(crate) async fn step_until_greeted(&mut self) {
        self.quiet_hub = true;
        while !self.session.is_greeted() {
            assert!(self.step().await.expect("lives"), "the hub does not answer");
        }
        self.quiet_hub = false;
    }

    /// One step, or the next wake-up within a second.
    pub(crate) async fn step_or_wait(&mut self) {
        if !self.step().await.expect("lives") {
            let due = self.session.poll_timeout().map(|(at, _)| at);
            let soon = self.now().at + Duration::from_secs(1);
            if let Some(at) = due.filter(|at| *at <= soon) {
                self.passed = at.max(self.now().at) - self.start;
                let now = self.now();
                self.session.handle_timeout(now);
            }
        }
    }

    async fn sync_packs(&mut self) -> Result<(), Death> {
        let wanted = self.session.collect_bodies();
        self.bodies.retain(&wanted);
        match self.packs.sync(&self.secrets, &wanted, &self.bodies).await {
            Err(_) if self.brittle => Err(Death::Crash),
            _ => Ok(()),
        }
    }

    /// Does one thing; whether there was one.
    pub(crate) async fn step(&mut self) -> Result<bool, Death> {
        if let Some(output) = self.session.poll_output() {
            self.carry_out(output).await?;
            return Ok(true);
        }
        if let Some(status) = self.session.poll_status(self.now()) {
            self.hear(status);
            return Ok(true);
        }
        if self.watch_once() {
            return Ok(true);
        }
        if self.linked && !self.quiet_hub {
            let frames = self.hub.say_changes();
            let any = !frames.is_empty();
            for frame in frames {
                self.say(frame);
            }
            return Ok(any);
        }
        Ok(false)
    }

    fn watch_once(&mut self) -> bool {
        let now = self.now();
        for (gvk, watch) in &mut self.watches {
            if let Some(Some(Ok(seen))) = watch.next().now_or_never() {
                self.session.handle(Input::Seen(gvk.clone(), seen), now);
                return true;
            }
        }
        false
    }

    fn hear(&mut self, frame: v1::AgentFrame) {
        if self.linked && !self.hub_is_silent {
            for answer in self.hub.hear(frame) {
                self.say(answer);
            }
        }
    }

    async fn carry_out(&mut self, output: Output) -> Result<(), Death> {
        match output {
            Output::Send(frame) => self.hear(frame),
            Output::Drop { reason, .. } => {
                self.linked = false;
                self.hub.link_down();
                self.drops.push(reason);
            }
            Output::Stop { reason } => {
                self.linked = false;
                self.stopped = Some(reason);
            }
            Output::Persist(batch) => {
                let unix = self.now().unix;
                let input = match self.ledger.commit(&batch, unix).await {
                    Ok(()) => Input::Persisted,
                    Err(LedgerError::NotLeader { .. }) => return Err(Death::NotLeader),
                    Err(_) if self.brittle => return Err(Death::Crash),
                    Err(_) => Input::NotPersisted,
                };
                self.input(input);
            }
            Output::KeepBody(digest, bytes) => self.bodies.put(digest, bytes),
            Output::Run(job) => {
                let done = self.executor.run(*job).await;
                if matches!(done.outcome, Outcome::NotLeader) {
                    return Err(Death::NotLeader);
                }
                self.input(Input::Done(Box::new(done)));
            }
            Output::Watch(gvk) => match self.kinds.resolve(&gvk).await {
                Ok(kind) => {
                    let watch = self
                        .executor
                        .member
                        .watch(&kind, "fleet.flotilla.dev/owner");
                    self.watches.insert(gvk, watch);
                }
                Err(error) => {
                    assert_eq!(error.class, Class::UnknownKind);
                    self.input(Input::NoSuchKind(gvk));
                }
            },
            Output::Trust(_) | Output::Fact(_) => {}
        }
        Ok(())
    }

    /// The next reign of the same process, after this one found that it does not lead.
    pub(crate) async fn next_reign(self) -> Self {
        let mut hub = self.hub;
        hub.link_down();
        let seen = self.executor.fence_seen.load(Ordering::Relaxed);
        let next = Self::try_over(self.member, hub, seen).await;
        next.expect("the agent starts")
    }

    /// A new process over what is left; the old one is gone.
    pub(crate) async fn restart(self) -> Self {
        let mut hub = self.hub;
        hub.link_down();
        Self::over(self.member, hub).await
    }

    /// The object in the member.
    pub(crate) fn object(&self, template: &Value) -> Option<Value> {
        let object = crate::hub::object_ref(template);
        let gvk = Gvk::of_ref(&object);
        self.member.peek(&gvk, &object.namespace, &object.name)
    }

    /// Writes so far to anything but the agent's own Secrets.
    pub(crate) fn object_writes(&self) -> usize {
        let own = |w: &&String| !w.contains("flotilla-system/flotilla-");
        self.member.writes().iter().filter(own).count()
    }
}
