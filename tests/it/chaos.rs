//! Calls flow while containers, the engine and the gateway are mistreated at random: every call
//! gets its own right answer or an error that names the cause, and nothing is left in the end.
//!
//! `KILN_CHAOS_SECONDS` sets how long; `scripts/chaos` runs a quarter of an hour.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::engine::stopped;
use crate::soak::Random;
use crate::support::{Backend, Engine, Example, Gateway, eventually};

const CALLERS: usize = 6;

/// What of a call may be named as the cause of its error. Anything else is a finding.
const CAUSES: [&str; 12] = [
    "the container engine went away",
    "the container engine cannot be reached",
    "the container engine refused to",
    "was paused by somebody else",
    "was removed by somebody else",
    "was killed by somebody else",
    "the container ended while it was starting",
    "the container did not start within",
    "out of memory",
    "the server is shutting down",
    "server too busy",
    "Timed out",
];

#[derive(Default)]
struct Tally {
    right: usize,
    /// Calls that found no gateway, or lost it.
    cut_off: usize,
    errors: BTreeMap<String, usize>,
    deeds: BTreeMap<&'static str, usize>,
    findings: Vec<String>,
}

impl Tally {
    fn add(
        &mut self,
        name: &str,
        body: &str,
        its_gateway_died: bool,
        answer: reqwest::Result<(u16, String)>,
    ) {
        match answer {
            Ok((200, text)) if text == body => self.right += 1,
            Ok((status, text)) => {
                let cause = CAUSES.iter().find(|cause| text.contains(**cause));
                match cause {
                    Some(cause) if (502..=504).contains(&status) => {
                        *self.errors.entry(format!("{status} {cause}")).or_default() += 1;
                    }
                    _ => {
                        let text: String = text.chars().take(300).collect();
                        self.findings.push(format!("{name}: {status} {text}"));
                    }
                }
            }
            Err(_) if its_gateway_died => self.cut_off += 1,
            Err(error) => self.findings.push(format!("{name}: {error:?}")),
        }
    }
}

/// Where callers find the gateway that lives now.
struct Stage {
    address: Mutex<String>,
    client: reqwest::Client,
    /// How often the gateway was killed, and whether it is dead now.
    deaths: Mutex<(usize, bool)>,
    over: Mutex<bool>,
    tally: Mutex<Tally>,
}

impl Stage {
    fn is_over(&self) -> bool {
        *self.over.lock()
    }

    fn note(&self, deed: &'static str) {
        *self.tally.lock().deeds.entry(deed).or_default() += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_whatever_is_done_to_what_they_need() {
    let seconds = std::env::var("KILN_CHAOS_SECONDS").ok();
    let seconds = seconds.map_or(60, |seconds| seconds.parse().unwrap());
    let mut engine = Engine::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gateway = start(&engine, dir.path()).await;
    engine.load(&gateway, Example::Misbehave).await;
    for (name, settings) in [
        ("plain", json!({})),
        ("socket", json!({ "format": "http-stream" })),
        (
            "kept",
            json!({ "annotations": { "kiln/scale": { "min": 2 } } }),
        ),
        ("eats", json!({})),
    ] {
        let mut all = json!({ "timeout": 10, "idle_timeout": 5 });
        all.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        gateway.function(name, Example::Misbehave, all).await;
        assert_eq!(gateway.post(&format!("/t/t/{name}"), "x").await.text(), "x");
    }
    // Not touched by anything below.
    let other = Gateway::start_on(Backend::Link, &engine).await;
    other.function("m", Example::Misbehave, json!({})).await;
    assert_eq!(other.post("/t/t/m", "x").await.text(), "x");

    let stage = Stage {
        address: Mutex::new(gateway.address().to_owned()),
        client: gateway.client().clone(),
        deaths: Mutex::new((0, false)),
        over: Mutex::new(false),
        tally: Mutex::default(),
    };
    let villain = mistreat(&stage, &mut engine, gateway, dir.path(), seconds);
    let callers = (0..CALLERS).map(|caller| call(&stage, caller));
    let (gateways, _) = tokio::join!(villain, join_all(callers));

    let Tally {
        right,
        cut_off,
        errors,
        deeds,
        findings,
    } = stage.tally.into_inner();
    eprintln!("{right} right answers; {cut_off} cut off with their gateway; did {deeds:#?}");
    eprintln!("errors: {errors:#?}");
    assert!(findings.is_empty(), "{findings:#?}");
    assert!(right > 0);

    let (last, _dead) = gateways;
    let identities = [&last, &other].map(|gateway| gateway.identity());
    assert_ne!(identities[0], identities[1]);
    stopped(last).await;
    assert_eq!(other.post("/t/t/m", "still").await.text(), "still");
    stopped(other).await;
    assert_eq!(engine.leftovers(), [""; 0], "nothing is left on the engine");
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let ours = mounts.lines().filter(|m| m.contains(&identities[0]));
    assert_eq!(ours.count(), 0, "nothing is left mounted: {mounts}");
}

async fn start(engine: &Engine, data: &Path) -> Gateway {
    let settings = [
        ("DOCKER_HOST", engine.host()),
        ("FN_HOT_START_TIMEOUT_MSECS", "20000".to_owned()),
        ("FN_FREEZE_IDLE_MSECS", "20".to_owned()),
    ];
    let settings = settings.each_ref().map(|(k, v)| (*k, v.as_str()));
    Gateway::start_in(Backend::Link, data, &settings).await
}

async fn call(stage: &Stage, caller: usize) {
    let mut random = Random::new(caller);
    let mut number = 0;
    while !stage.is_over() {
        number += 1;
        let name = ["plain", "socket", "kept", "plain", "kept"][random.below(5)];
        let millis = [0, 0, 0, 20, 200][random.below(5)];
        let body = format!("{caller}/{number}/{}", "x".repeat(random.below(2000)));
        let deaths = *stage.deaths.lock();
        let address = stage.address.lock().clone();
        let url = format!("http://{address}/t/t/{name}?mode=sleep&ms={millis}");
        let sent = stage.client.post(url).body(body.clone()).send().await;
        let answer = match sent {
            Ok(reply) => {
                let status = reply.status().as_u16();
                reply.text().await.map(|text| (status, text))
            }
            Err(error) => Err(error),
        };
        let died = deaths.1 || deaths != *stage.deaths.lock();
        stage.tally.lock().add(name, &body, died, answer);
        sleep(Duration::from_millis(random.below(20).try_into().unwrap())).await;
    }
}

/// Does one thing after the other, then lets all recover. Returns the gateway that lives, and
/// those that do not, whose leftovers only it may remove.
async fn mistreat(
    stage: &Stage,
    engine: &mut Engine,
    mut gateway: Gateway,
    data: &Path,
    seconds: u64,
) -> (Gateway, Vec<Gateway>) {
    let mut random = Random::new(CALLERS);
    let mut dead = Vec::new();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut revision = 0;
    let mut deck: Vec<usize> = Vec::new();
    while Instant::now() < end {
        // Each at random, but none a second time before all others.
        if deck.is_empty() {
            deck.extend(0..10);
        }
        match deck.swap_remove(random.below(deck.len())) {
            0 | 1 => one_of_ours(stage, engine, &gateway, &mut random, "kill"),
            2 | 3 => one_of_ours(stage, engine, &gateway, &mut random, "pause"),
            4 => one_of_ours(stage, engine, &gateway, &mut random, "rm"),
            5 => {
                stage.note("out of memory");
                let reply = gateway.post("/t/t/eats?mode=alloc", "x").await;
                assert!(matches!(reply.status, 502..=504), "{}", reply.text());
            }
            6 => {
                stage.note("engine killed");
                if random.below(2) == 0 {
                    engine.kill9();
                } else {
                    engine.kill9_all();
                }
                sleep(Duration::from_millis(500)).await;
                engine.restart().await;
            }
            7 => {
                stage.note("engine stopped for seconds");
                engine.freeze();
                sleep(Duration::from_secs(5)).await;
                engine.thaw();
            }
            8 => {
                stage.note("gateway killed");
                *stage.deaths.lock() = (dead.len() + 1, true);
                gateway.signal(Signal::KILL);
                gateway.exit().await;
                dead.push(gateway);
                gateway = start(engine, data).await;
                gateway.address().clone_into(&mut stage.address.lock());
                stage.deaths.lock().1 = false;
            }
            _ => {
                stage.note("deploy");
                revision += 1;
                deploy(
                    &gateway,
                    ["plain", "socket", "kept"][random.below(3)],
                    revision,
                )
                .await;
            }
        }
        sleep(Duration::from_millis(500 + random.below(1500) as u64)).await;
    }
    for name in ["plain", "socket", "kept", "eats"] {
        eventually("the recovery", async || {
            gateway.post(&format!("/t/t/{name}"), "x").await.text() == "x"
        })
        .await;
    }
    *stage.over.lock() = true;
    (gateway, dead)
}

fn one_of_ours(
    stage: &Stage,
    engine: &Engine,
    gateway: &Gateway,
    random: &mut Random,
    deed: &'static str,
) {
    let label = format!("label=kiln.instance={}", gateway.identity());
    let ids = engine.docker(&["ps", "-q", "--filter", &label]);
    let ids: Vec<&str> = ids.lines().collect();
    if ids.is_empty() {
        return;
    }
    let id = ids[random.below(ids.len())];
    let args = if deed == "rm" {
        vec!["rm", "-f", id]
    } else {
        vec![deed, id]
    };
    stage.note(deed);
    // It may have gone meanwhile.
    let _ = engine.try_docker(&args);
}

async fn deploy(gateway: &Gateway, name: &str, revision: usize) {
    let id = gateway.invoke_path(name).await.replace("/invoke/", "");
    let change = json!({ "config": { "REVISION": revision.to_string() } });
    let url = gateway.url(&format!("/v2/fns/{id}"));
    let reply = gateway.send(gateway.client().put(url).json(&change)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}
