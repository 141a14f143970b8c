use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

use crate::model::{AppId, Callable, CallableId, FnId, Methods};
use crate::store::triggers::Triggers;
use crate::store::{AppContents, Resource, StoreError, StoreRead};

/// What a name led to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No app of that name.
    App,
    /// The app has no such route or trigger.
    Target,
    /// What is there takes these methods only.
    Method(Methods),
}

/// One app as calls see it.
#[derive(Debug)]
pub struct AppEntry {
    pub id: AppId,
    pub name: String,
    routes: HashMap<String, Arc<Callable>>,
    triggers: Triggers,
    functions: HashMap<FnId, Arc<Callable>>,
}

/// What the catalog shows of each app, and the print of what it was made from: the contents
/// themselves would be most of the memory of a server on which much is deployed.
#[derive(Debug, Default)]
struct Held {
    apps: HashMap<AppId, (Arc<AppEntry>, u64)>,
    /// Keyed at random, so that nobody can make contents with the print of others.
    prints: RandomState,
}

/// The snapshot that calls are routed by: reads take no lock and never touch the store.
///
/// A callable is replaced, as a new `Arc`, by every refresh of its app. Whoever keeps one learns
/// from `Arc::ptr_eq` that something was deployed since, even where all values are the same: a
/// tag may have been rebuilt.
#[derive(Debug)]
pub struct Catalog {
    apps: papaya::HashMap<String, Arc<AppEntry>>,
    functions: papaya::HashMap<FnId, Arc<Callable>>,
    /// What is in the maps, by the app it came from. Held from before an app is read until the
    /// maps show it, so that an older read never lands on a newer one; only writers wait for it.
    held: Mutex<Held>,
    listener: OnceLock<Arc<dyn Changes>>,
}

/// Hears which callables there are, and which are no more.
pub trait Changes: Debug + Send + Sync {
    /// This callable is what calls find from now on. Must not block.
    fn shown(&self, callable: &Arc<Callable>);
    /// Nobody will look this callable up again. Must not block.
    fn withdrawn(&self, id: &CallableId);
}

impl Catalog {
    /// A snapshot of all that `store` has.
    pub async fn load(store: &dyn StoreRead) -> Result<Self, StoreError> {
        let catalog = Self {
            apps: papaya::HashMap::new(),
            functions: papaya::HashMap::new(),
            held: Mutex::default(),
            listener: OnceLock::new(),
        };
        let mut held = catalog.held.lock().await;
        for contents in store.load_all().await? {
            catalog.publish(&mut held, &contents);
        }
        drop(held);
        Ok(catalog)
    }

    /// The app of that name.
    pub fn app(&self, name: &str) -> Option<Arc<AppEntry>> {
        self.apps.pin().get(name).cloned()
    }

    /// The route at `path`, which must be in the form of [`clean_path`](crate::model::clean_path).
    pub fn route(&self, app: &str, path: &str) -> Result<Arc<Callable>, Miss> {
        let apps = self.apps.pin();
        let entry = apps.get(app).ok_or(Miss::App)?;
        entry.routes.get(path).cloned().ok_or(Miss::Target)
    }

    /// The function behind the trigger that takes requests of `method` for `path`, which is `raw`
    /// decoded: of those whose sources fit, the most particular.
    pub fn trigger(
        &self,
        app: &str,
        path: &str,
        raw: &str,
        method: &str,
    ) -> Result<Arc<Callable>, Miss> {
        let apps = self.apps.pin();
        let entry = apps.get(app).ok_or(Miss::App)?;
        entry.triggers.find(path, raw, method).cloned()
    }

    /// The function with that id.
    pub fn function(&self, id: FnId) -> Option<Arc<Callable>> {
        self.functions.pin().get(&id).cloned()
    }

    /// Tells `listener` what there is, and from now on what changes; the first one stays.
    pub fn tell(&self, listener: Arc<dyn Changes>) {
        if self.listener.set(listener).is_ok() {
            for entry in self.apps.pin().values() {
                self.told(entry);
            }
        }
    }

    fn told(&self, entry: &AppEntry) {
        if let Some(listener) = self.listener.get() {
            for callable in entry.functions.values().chain(entry.routes.values()) {
                listener.shown(callable);
            }
        }
    }

    fn forgotten(&self, old: &AppEntry, now: Option<&AppEntry>) {
        let Some(listener) = self.listener.get() else {
            return;
        };
        let functions = old
            .functions
            .iter()
            .filter(|(id, _)| now.is_none_or(|now| !now.functions.contains_key(*id)));
        let routes = old
            .routes
            .iter()
            .filter(|(path, _)| now.is_none_or(|now| !now.routes.contains_key(*path)));
        for callable in functions.map(|(_, c)| c).chain(routes.map(|(_, c)| c)) {
            listener.withdrawn(&callable.id);
        }
    }

    /// Reads one app again and shows it as it is now, or no longer if it is gone. After an error
    /// the snapshot is as it was.
    pub async fn refresh_app(&self, store: &dyn StoreRead, id: AppId) -> Result<(), StoreError> {
        let mut held = self.held.lock().await;
        match store.contents(id).await {
            Ok(contents) => self.publish(&mut held, &contents),
            Err(StoreError::NotFound(Resource::App)) => self.withdraw(&mut held, id),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads everything again. What has not changed keeps its callables, and with them its
    /// containers: this happens whenever a connection to the database was lost.
    pub async fn reload(&self, store: &dyn StoreRead) -> Result<(), StoreError> {
        let mut held = self.held.lock().await;
        let all = store.load_all().await?;
        let there: HashSet<AppId> = all.iter().map(|contents| contents.app.id).collect();
        let known = held.apps.keys().copied();
        let gone: Vec<AppId> = known.filter(|id| !there.contains(id)).collect();
        for id in gone {
            self.withdraw(&mut held, id);
        }
        for contents in all {
            let shown = held.apps.get(&contents.app.id).map(|(_, print)| *print);
            if shown != Some(held.prints.hash_one(&contents)) {
                self.publish(&mut held, &contents);
            }
        }
        Ok(())
    }

    fn publish(&self, held: &mut Held, contents: &AppContents) {
        let entry = Arc::new(AppEntry::new(contents));
        let print = held.prints.hash_one(contents);
        let functions = self.functions.pin();
        for (id, callable) in &entry.functions {
            functions.insert(*id, Arc::clone(callable));
        }
        self.apps
            .pin()
            .insert(entry.name.clone(), Arc::clone(&entry));
        if let Some((old, _)) = held.apps.insert(entry.id, (Arc::clone(&entry), print)) {
            for id in old.functions.keys() {
                if !entry.functions.contains_key(id) {
                    functions.remove(id);
                }
            }
            self.forgotten(&old, Some(&entry));
        }
        self.told(&entry);
    }

    fn withdraw(&self, held: &mut Held, id: AppId) {
        let Some((old, _)) = held.apps.remove(&id) else {
            return;
        };
        let apps = self.apps.pin();
        // A new app may have taken the name of the deleted one.
        if apps.get(&old.name).is_some_and(|entry| entry.id == id) {
            apps.remove(&old.name);
        }
        let functions = self.functions.pin();
        for id in old.functions.keys() {
            functions.remove(id);
        }
        self.forgotten(&old, None);
    }
}

impl AppEntry {
    fn new(contents: &AppContents) -> Self {
        let app = &contents.app;
        let routes = contents.routes.iter().map(|route| {
            let callable = Callable::from_route(app, route);
            (route.path.clone(), Arc::new(callable))
        });
        let mut triggers_of: HashMap<FnId, Vec<_>> = HashMap::new();
        for trigger in &contents.triggers {
            triggers_of
                .entry(trigger.fn_id)
                .or_default()
                .push(trigger.clone());
        }
        let functions: HashMap<_, _> = contents
            .functions
            .iter()
            .map(|function| {
                let triggers = triggers_of.get(&function.id).map_or(&[][..], Vec::as_slice);
                let callable = Callable::from_function(app, function, triggers);
                (function.id, Arc::new(callable))
            })
            .collect();
        let triggers = contents.triggers.iter().filter_map(|trigger| {
            let callable = functions.get(&trigger.fn_id)?;
            Some((trigger, Arc::clone(callable)))
        });
        Self {
            id: app.id,
            name: app.name.clone(),
            routes: routes.collect(),
            triggers: triggers.collect(),
            functions,
        }
    }
}
