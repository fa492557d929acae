//! What goes wrong, and when.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::cluster::{Cluster, REPLICAS};
use crate::dice::Dice;
use crate::fault_proxy::Network;
use crate::ledger::Ledger;

/// How long faults last, and how much time is between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
    pub(crate) calm: Duration,
    /// How long a replica is stopped: longer than the ten seconds of a lease.
    pub(crate) stopped: (Duration, Duration),
}

/// What happens to the processes.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Kill,
    Stop,
}

/// What happens to the store, or on the way there.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    StoreStops,
    StoreIsKilled,
    OneIsCutOff(Network),
    AllAreCutOff(Network),
}

const BLOWS: [Blow; 3] = [Blow::Kill, Blow::Stop, Blow::Kill];

/// Does everything once, in an order of its own.
pub(crate) struct Chaos {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) pace: Pace,
}

impl Chaos {
    /// One round of what happens to replicas.
    pub(crate) async fn strike(&self, dice: &mut Dice) {
        let mut blows = BLOWS;
        dice.shuffle(&mut blows);
        for blow in blows {
            sleep(self.pace.calm).await;
            let number = dice.below(REPLICAS);
            let process = &self.cluster.replicas[number].process;
            match blow {
                Blow::Kill => {
                    self.ledger.fault("replicas killed");
                    process.kill();
                    sleep(dice.between(Duration::ZERO, self.pace.shortest)).await;
                    process.restart();
                    self.cluster.lives(number).await;
                }
                Blow::Stop => {
                    self.ledger.fault("replicas stopped");
                    let (least, most) = self.pace.stopped;
                    process.suspend();
                    sleep(dice.between(least, most)).await;
                    process.resume();
                }
            }
        }
    }

    /// One round of what happens to the store.
    pub(crate) async fn trouble(&self, dice: &mut Dice) {
        let mut networks = [
            Network::Refuses,
            Network::Swallows,
            Network::LosesAnswers,
            Network::Stalls,
            Network::CutsAfter(200 + dice.below(3000)),
            Network::Delays(Duration::from_millis(300)),
        ];
        dice.shuffle(&mut networks);
        let one = networks.map(Trouble::OneIsCutOff);
        let [all, other, ..] = networks;
        let all = [all, other].map(Trouble::AllAreCutOff);
        let store = [Trouble::StoreStops, Trouble::StoreIsKilled];
        let mut troubles: Vec<_> = one.into_iter().chain(all).chain(store).collect();
        dice.shuffle(&mut troubles);
        for trouble in troubles {
            sleep(self.pace.calm).await;
            self.have(trouble, dice).await;
        }
    }

    async fn have(&self, trouble: Trouble, dice: &mut Dice) {
        let time = dice.between(self.pace.shortest, self.pace.longest);
        let replicas = &self.cluster.replicas;
        match trouble {
            Trouble::StoreStops => {
                self.ledger.fault("times the store was stopped");
                self.everybody_has_trouble();
                self.cluster.store.process.suspend();
                sleep(time).await;
                self.cluster.store.process.resume();
                self.trouble_ends();
            }
            Trouble::StoreIsKilled => {
                self.ledger.fault("times the store was killed");
                self.everybody_has_trouble();
                self.cluster.store.process.kill();
                sleep(time / 2).await;
                self.cluster.store.restart().await;
                self.trouble_ends();
            }
            Trouble::OneIsCutOff(network) => {
                self.ledger.fault(named(network));
                let replica = &replicas[dice.below(REPLICAS)];
                replica.cut_off(network);
                sleep(time).await;
                replica.reconnect();
            }
            Trouble::AllAreCutOff(network) => {
                self.ledger.fault("times all replicas were cut off");
                for replica in replicas {
                    replica.cut_off(network);
                }
                sleep(time).await;
                for replica in replicas {
                    replica.reconnect();
                }
            }
        }
    }

    fn everybody_has_trouble(&self) {
        for replica in &self.cluster.replicas {
            replica.begin_trouble();
        }
    }

    fn trouble_ends(&self) {
        for replica in &self.cluster.replicas {
            replica.end_trouble();
        }
    }
}

fn named(network: Network) -> &'static str {
    match network {
        Network::Passes => "networks that work",
        Network::Refuses => "connections refused and broken",
        Network::Swallows => "partitions",
        Network::LosesAnswers => "times answers were lost",
        Network::Stalls => "times the network stalled",
        Network::CutsAfter(_) => "times answers were cut off midway",
        Network::Delays(_) => "times the network was slow",
    }
}
