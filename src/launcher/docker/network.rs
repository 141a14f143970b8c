//! Which of several networks a container joins.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
