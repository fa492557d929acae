//! What the clients do all day, and the whole run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::chaos::{Chaos, Pace};
use crate::client::{Client, Tokens};
use crate::cluster::{Cluster, REPLICAS};
use crate::dice::Dice;
use crate::ledger::{Ledger, REACH};
use crate::store_server::StoreKind;
use crate::world::Reply;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) clients: usize,
    /// How many clients are watched whose grant is revoked, and as many that are removed.
    pub(crate) measured: usize,
    /// How many operations there are before anything breaks.
    pub(crate) calm: u64,
    /// How many there are in all.
    pub(crate) operations: u64,
    /// How long a client does nothing, on average.
    pub(crate) think: Duration,
    pub(crate) pace: Pace,
}

/// What all have in common.
struct Stage {
    cluster: Arc<Cluster>,
    ledger: Arc<Ledger>,
    size: Size,
    seed: u64,
    is_over: AtomicBool,
    revoked: Mutex<Vec<(Client, Tokens)>>,
}

/// A client that is at work.
struct Worker {
    client: Client,
    tokens: Tokens,
    dice: Dice,
    checks: JoinSet<()>,
}

/// How many sign in at once.
const AT_ONCE: usize = 6;

/// How often a replica is asked whether a revocation has come.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long Entra takes for a refresh, as it does: so there often is one that a fault finds half-way.
const ENTRA_TAKES: Duration = Duration::from_millis(150);

/// How often a long run says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Does all of it, and fails if a promise was not kept.
pub(crate) async fn prove(kind: StoreKind, size: Size, seed: u64) {
    let cluster = Arc::new(Cluster::start(kind).await);
    cluster.entra_takes(ENTRA_TAKES, u64::MAX);
    let ledger = Arc::new(Ledger::default());
    let stage = Arc::new(Stage {
        cluster,
        ledger,
        size,
        seed,
        is_over: AtomicBool::new(false),
        revoked: Mutex::default(),
    });
    let begun = Instant::now();
    let tell = |what: &str| println!("{:6.1} s: {what}", begun.elapsed().as_secs_f64());
    let (workers, watched) = stage.everybody().await;
    tell("everybody is signed in");
    let workers = stage.calm(workers, watched).await;
    tell("the calm is over");
    let workers = stage.storm(workers).await;
    tell("the storm is over");
    stage.afterwards(workers).await;
    tell("everybody was asked");
    println!("{}", stage.ledger.told());
    if !stage.ledger.is_clean() {
        let stage = Arc::into_inner(stage).unwrap();
        let Stage { cluster, .. } = stage;
        let logs = Arc::into_inner(cluster).map(Cluster::keep_logs);
        panic!("promises were broken; the logs are in {logs:?}");
    }
}

impl Stage {
    /// Registers clients and signs their users in: those that work, and those that are watched.
    async fn everybody(self: &Arc<Self>) -> (Vec<Worker>, Vec<Worker>) {
        let some = Arc::new(Semaphore::new(AT_ONCE));
        let workers = (0..self.size.clients + 2 * self.size.measured).map(|number| {
            let (stage, some) = (Arc::clone(self), Arc::clone(&some));
            async move {
                let _one = some.acquire().await.unwrap();
                let (cluster, ledger) = (&stage.cluster, &stage.ledger);
                let (cluster, ledger) = (Arc::clone(cluster), Arc::clone(ledger));
                let client = Client::register(number, cluster, ledger).await;
                let tokens = client.log_in().await;
                Worker {
                    client,
                    tokens,
                    dice: Dice::of(stage.seed, number),
                    checks: JoinSet::new(),
                }
            }
        });
        let mut workers = join_all(workers).await;
        let watched = workers.split_off(self.size.clients);
        (workers, watched)
    }

    /// Has everybody work while nothing breaks; Entra is then asked exactly once for each refresh.
    async fn calm(self: &Arc<Self>, workers: Vec<Worker>, watched: Vec<Worker>) -> Vec<Worker> {
        let (asked, rotations) = (self.cluster.entra_refreshes(), self.ledger.rotations());
        let watching = join_all(watched.into_iter().map(|worker| self.watch(worker)));
        let enough = async {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            while self.ledger.operations() < self.size.calm {
                ticks.tick().await;
            }
        };
        let (workers, _) = self
            .work_until(workers, async { tokio::join!(watching, enough) })
            .await;
        let asked = self.cluster.entra_refreshes() - asked;
        let rotations = self.ledger.rotations() - rotations;
        self.ledger.settle("without faults", asked, rotations, 0);
        workers
    }

    /// Has everybody work while everything breaks.
    async fn storm(self: &Arc<Self>, workers: Vec<Worker>) -> Vec<Worker> {
        let (asked, rotations) = (self.cluster.entra_refreshes(), self.ledger.rotations());
        let unanswered = self.ledger.unanswered_refreshes();
        let chaos = Chaos {
            cluster: Arc::clone(&self.cluster),
            ledger: Arc::clone(&self.ledger),
            pace: self.size.pace,
        };
        let wanted = || self.ledger.operations() < self.size.operations;
        let blows = async {
            let mut dice = Dice::of(self.seed, 10_001);
            loop {
                chaos.strike(&mut dice).await;
                if !wanted() {
                    return;
                }
            }
        };
        let troubles = async {
            let mut dice = Dice::of(self.seed, 10_002);
            loop {
                chaos.trouble(&mut dice).await;
                if !wanted() {
                    return;
                }
            }
        };
        let progress = async {
            loop {
                sleep(TELL_EVERY).await;
                println!("{} operations", self.ledger.operations());
            }
        };
        let storm = async {
            tokio::select! {
                _ = async { tokio::join!(blows, troubles) } => {}
                () = progress => {}
            }
        };
        let (workers, ()) = self.work_until(workers, storm).await;
        self.cluster.all_ready().await;
        let asked = self.cluster.entra_refreshes() - asked;
        let rotations = self.ledger.rotations() - rotations;
        let unanswered = self.ledger.unanswered_refreshes() - unanswered;
        self.ledger
            .settle("with faults", asked, rotations, unanswered);
        workers
    }

    async fn work_until<T>(
        self: &Arc<Self>,
        workers: Vec<Worker>,
        end: impl Future<Output = T>,
    ) -> (Vec<Worker>, T) {
        self.is_over.store(false, Ordering::SeqCst);
        let mut working = JoinSet::new();
        for worker in workers {
            working.spawn(worker.work(Arc::clone(self)));
        }
        let ended = end.await;
        self.is_over.store(true, Ordering::SeqCst);
        (working.join_all().await, ended)
    }

    /// Ends the grant of a client that every replica knows, and looks how long they still let it in.
    async fn watch(&self, mut worker: Worker) {
        let client = &worker.client;
        let token = &worker.tokens.access[0];
        for replica in 0..REPLICAS {
            let answer = client.call_patiently(replica, token).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let (by, acknowledged) = if client.number.is_multiple_of(2) {
            let acknowledged = client.revoke(&worker.tokens, &mut worker.dice).await;
            ("revocation", acknowledged)
        } else {
            ("removal", client.remove().await)
        };
        join_all((0..REPLICAS).map(|replica| async move {
            loop {
                let time = acknowledged.elapsed();
                let answer = client.call_patiently(replica, token).await;
                if answer.status == 401 {
                    self.ledger.reached(by, acknowledged.elapsed());
                    return;
                }
                if time > REACH {
                    let number = client.number;
                    self.ledger.broken(format!(
                        "rule 3: the {by} of client {number} did not reach replica {replica} in {time:?}"
                    ));
                    return;
                }
                sleep(LOOK_EVERY).await;
            }
        }))
        .await;
    }

    /// Looks, once it must have reached everybody, whether a revocation did.
    async fn check(self: Arc<Self>, client: Client, token: String, acknowledged: Instant) {
        sleep_until(acknowledged + REACH).await;
        for (number, replica) in self.cluster.replicas.iter().enumerate() {
            let begun = Instant::now();
            let reply = client.call_at(number, &token).await;
            let Reply::Answer(answer) = reply else {
                continue;
            };
            match answer.status {
                401 | 503 => {}
                200 if replica.had_trouble_since(begun) => self.ledger.let_in_without_store(),
                status => self.ledger.broken(format!(
                    "rule 3: client {} is answered {status} by replica {number} though it revoked its grant {:?} ago",
                    client.number,
                    acknowledged.elapsed()
                )),
            }
        }
    }

    /// When nothing breaks any more: every grant that stands is good everywhere, and those that were revoked
    /// nowhere.
    async fn afterwards(&self, workers: Vec<Worker>) {
        let some = Semaphore::new(AT_ONCE);
        let asked = workers.into_iter().map(|worker| async {
            let _one = some.acquire().await.unwrap();
            self.ask_everywhere(worker).await;
        });
        join_all(asked).await;
        let revoked = std::mem::take(&mut *self.revoked.lock().unwrap());
        let some = &some;
        let refused = revoked.into_iter().map(|(client, tokens)| async move {
            let _one = some.acquire().await.unwrap();
            self.is_refused_everywhere(&client, &tokens).await;
        });
        join_all(refused).await;
    }

    async fn ask_everywhere(&self, mut worker: Worker) {
        while let Some(checked) = worker.checks.join_next().await {
            checked.unwrap();
        }
        let Worker { client, tokens, .. } = &mut worker;
        for replica in 0..REPLICAS {
            client.refresh_at(replica, tokens).await;
            for token in &tokens.access {
                let answer = client.call_patiently(replica, token).await;
                if answer.status != 200 {
                    let number = client.number;
                    self.ledger.broken(format!(
                        "rule 2: client {number} is not let in by replica {replica} in the end: {answer:?}"
                    ));
                }
            }
        }
    }

    async fn is_refused_everywhere(&self, client: &Client, tokens: &Tokens) {
        let number = client.number;
        for replica in 0..REPLICAS {
            for token in &tokens.access {
                let answer = client.call_patiently(replica, token).await;
                if answer.status != 401 {
                    self.ledger.broken(format!(
                        "rule 3: client {number} is let in by replica {replica} in the end: {answer:?}"
                    ));
                }
            }
        }
        let answer = client.use_refresh_token(&tokens.refresh).await;
        if answer.json["error"] != "invalid_grant" {
            self.ledger.broken(format!(
                "rule 3: client {number} refreshes what it revoked: {answer:?}"
            ));
        }
    }
}

impl Worker {
    async fn work(mut self, stage: Arc<Stage>) -> Self {
        while !stage.is_over.load(Ordering::SeqCst) {
            let pause = self.dice.between(Duration::ZERO, stage.size.think * 2);
            sleep(pause).await;
            let stands = match self.dice.below(100) {
                0..64 => self.client.call(&self.tokens, &mut self.dice).await,
                64..87 => self.client.refresh(&mut self.tokens).await,
                87..97 => self.client.refresh_twice(&mut self.tokens).await,
                97 => {
                    self.client.redeem_twice().await;
                    true
                }
                _ => {
                    self.revoke(&stage).await;
                    false
                }
            };
            if !stands {
                self.tokens = self.client.log_in().await;
            }
        }
        self
    }

    async fn revoke(&mut self, stage: &Arc<Stage>) {
        let acknowledged = self.client.revoke(&self.tokens, &mut self.dice).await;
        let (client, token) = (self.client.clone(), self.tokens.access.last().unwrap());
        let check = Arc::clone(stage).check(client, token.clone(), acknowledged);
        self.checks.spawn(check);
        let revoked = (self.client.clone(), self.tokens.clone());
        stage.revoked.lock().unwrap().push(revoked);
    }
}
