//! Which of several networks a container joins.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::launcher::LaunchError;

/// The networks that the operator named, and how many of our containers are in each.
#[derive(Debug)]
pub(super) struct Networks(Vec<Arc<Network>>);

#[derive(Debug)]
struct Network {
    name: String,
    members: AtomicUsize,
}

impl Networks {
    pub(super) fn new(names: &[String]) -> Self {
        let network = |name: &String| {
            Arc::new(Network {
                name: name.clone(),
                members: AtomicUsize::new(0),
            })
        };
        Self(names.iter().map(network).collect())
    }

    /// Whether it is one of these networks that the engine's words are about.
    pub(super) fn named_in(&self, words: &str) -> bool {
        self.missing_in(words).is_some()
    }

    /// A refusal for want of a network is the operator's to mend.
    pub(super) fn explain(&self, error: LaunchError) -> LaunchError {
        match error {
            LaunchError::Refused { reason, .. } if self.named_in(&reason) => {
                LaunchError::NoNetwork {
                    network: self.missing_in(&reason).unwrap_or_default().to_owned(),
                    reason,
                }
            }
            other => other,
        }
    }

    /// Engines say `network <name> not found`, here or there in a longer sentence.
    fn missing_in(&self, words: &str) -> Option<&str> {
        let missing = |name: &&str| {
            let quoted = words.replace('"', "");
            quoted.contains(&format!("network {name} not found"))
        };
        self.0.iter().map(|n| n.name.as_str()).find(missing)
    }

    /// A place in the network with the fewest members; `None` if none was named.
    pub(super) fn join(&self) -> Option<Membership> {
        let members = |network: &&Arc<Network>| network.members.load(Ordering::Relaxed);
        let network = self.0.iter().min_by_key(members)?.clone();
        network.members.fetch_add(1, Ordering::Relaxed);
        Some(Membership(network))
    }
}

/// A container's place in a network; dropping it gives the place up.
#[derive(Debug)]
pub(super) struct Membership(Arc<Network>);

impl Membership {
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.members.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // D10: as engines of several ages say it.
    #[test]
    fn a_network_that_is_gone_is_known_by_its_name() {
        let networks = Networks::new(&["shop".to_owned(), "back".to_owned()]);
        for words in [
            "network back not found",
            "could not find a network matching: network \"back\" not found",
        ] {
            let refused = LaunchError::Refused {
                doing: "start the container",
                reason: words.to_owned(),
            };
            let explained = networks.explain(refused);
            assert!(
                matches!(&explained, LaunchError::NoNetwork { network, .. } if network == "back"),
                "{explained}"
            );
        }
        assert!(!networks.named_in("network other not found"));
        assert!(!networks.named_in("No such image: shop:1"));
    }

    #[test]
    fn each_container_joins_the_emptiest_network() {
        let networks = Networks::new(&["a".to_owned(), "b".to_owned()]);
        let first = networks.join().unwrap();
        let second = networks.join().unwrap();
        assert_eq!((first.name(), second.name()), ("a", "b"));
        drop(first);
        assert_eq!(networks.join().unwrap().name(), "a");
        assert!(Networks::new(&[]).join().is_none());
    }
}
