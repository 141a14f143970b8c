//! Cross-talk and leaks: many callers, every body unique, functions that misbehave at random.
//!
//! `KILN_SOAK_CALLS` sets the number of calls; `scripts/soak` runs a million.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::json;

use crate::support::{Backend, Example, Gateway, backends, eventually};

backends!(no_answer_ever_reaches_another_caller);

const CALLERS: usize = 16;

/// What a function does wrong, and which statuses its caller may see for it. A 200 always has to
/// carry the caller's own body.
const MISBEHAVIOURS: [(&str, &[u16]); 34] = [
    ("garbage", &[502]),                        // C1
    ("prints", &[502]),                         // C1
    ("extra", &[200]),                          // C2
    ("late&ms=1", &[200]),                      // C2
    ("extra2", &[200]),                         // C3
    ("extra2,chunked", &[200]),                 // C3, C7
    ("short", &[502]),                          // C4
    ("nolength", &[502, 504]),                  // C5
    ("dupcl", &[502]),                          // C6
    ("clte", &[502]),                           // C6
    ("chunked", &[200]),                        // C7
    ("head100", &[200]),                        // C8
    ("status,forcebody&code=204", &[204, 502]), // C9
    ("status&code=304", &[304, 502]),           // C9
    ("status&code=301", &[301, 502]),           // C10
    ("status&code=599", &[599, 502]),           // C10
    ("status&code=99", &[502]),                 // C11
    ("status&code=101", &[502]),                // C8, C11
    ("bighead&n=100000", &[502]),               // C12
    ("manyheads&n=300", &[502]),                // C12
    ("hops", &[200]),                           // C12
    ("early", &[200]),                          // C13
    ("shuts", &[200, 502]),                     // B2
    ("drip&ms=0", &[200]),                      // C14
    ("sleep&ms=60000", &[504]),                 // C14
    ("flood&n=200000", &[200]),                 // C15
    ("closeout", &[502, 504]),                  // C16
    ("grandchild,exit&ms=1000&code=1", &[502]), // C17
    ("exit&code=0", &[502]),                    // C18
    ("exit&code=1", &[502]),                    // C18
    ("crash", &[502]),                          // C18
    ("wrongid", &[502]),                        // C19
    ("noecho", &[200, 502]),                    // C19
    ("leave&ms=0", &[200, 502]),                // C18, between calls
];

#[derive(Default)]
struct Tally {
    statuses: BTreeMap<u16, usize>,
    /// Calls without a misbehaviour that failed.
    victims: usize,
    /// Calls whose function says more after its answer, maybe into the next call.
    late: usize,
}

/// A small random generator, so that a failure can be repeated.
pub(crate) struct Random(usize);

impl Random {
    pub(crate) fn new(seed: usize) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 + seed * 2)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Around the sizes at which buffers end (C22), most of them small.
    fn body(&mut self, name: &str, format: &str) -> Vec<u8> {
        let edges = [4096, 8192, 65_536, 262_144];
        let length = match self.below(200) {
            0 => edges[self.below(edges.len())] - 1 + self.below(3),
            _ => self.below(400),
        };
        let mut body = name.as_bytes().to_vec();
        let text = format == "json";
        body.extend((0..length).map(|at| {
            let byte = u8::try_from(at * 7 % 256).unwrap();
            if text { b'a' + byte % 26 } else { byte }
        }));
        body
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn resident(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

fn descriptors(gateway: &Gateway) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gateway.pid()))
        .unwrap()
        .count()
}

async fn no_answer_ever_reaches_another_caller(backend: Backend) {
    // A new process costs next to nothing, a new container a third of a second.
    let (calls, misbehave_in) = if backend.is_docker() {
        (20_000, 500)
    } else {
        (50_000, 20)
    };
    let asked = std::env::var("KILN_SOAK_CALLS").ok();
    let calls = asked.map_or(calls, |n| n.parse().unwrap());
    let gateway =
        Gateway::start_with(backend, &[("FN_LOG_LEVEL", "error,kiln::server=info")]).await;
    for format in ["http", "json", "http-stream"] {
        let settings = json!({ "format": format, "timeout": 3, "idle_timeout": 2 });
        gateway.function(format, Example::Misbehave, settings).await;
    }
    let rounds = [calls / 4, calls - calls / 4];
    let tally = Mutex::new(Tally::default());
    let mut after = Vec::new();
    for (round, calls) in rounds.into_iter().enumerate() {
        let callers = (0..CALLERS).map(|caller| {
            let random = Random::new(caller * 2 + round);
            call(
                &gateway,
                caller,
                calls / CALLERS,
                misbehave_in,
                random,
                &tally,
            )
        });
        join_all(callers).await;
        gateway.no_containers().await;
        after.push((resident(&gateway), descriptors(&gateway)));
    }
    let Tally {
        statuses,
        victims,
        late,
    } = tally.into_inner();
    assert!(
        victims <= late,
        "{victims} calls failed for {late} that spoke too late"
    );
    let total: usize = statuses.values().sum();
    let [(early, _), (end, _)] = after[..] else {
        panic!("two rounds")
    };
    eprintln!(
        "{backend:?}: {total} calls, by status {statuses:?}; resident memory after a quarter and \
         at the end: {} and {} KiB",
        early >> 10,
        end >> 10
    );
    assert!(end < early + (48 << 20), "memory grows: {after:?}");
    // Idle connections of the client, and what the start has opened.
    eventually("the last descriptor's end", async || {
        descriptors(&gateway) < 64 + CALLERS
    })
    .await;
}

async fn call(
    gateway: &Gateway,
    caller: usize,
    calls: usize,
    misbehave_in: usize,
    mut random: Random,
    tally: &Mutex<Tally>,
) {
    for call in 0..calls {
        let format = ["http", "http", "http-stream", "json"][random.below(4)];
        let body = random.body(&format!("{caller}/{call}/"), format);
        let (mode, allowed) = match random.below(misbehave_in) {
            0 => MISBEHAVIOURS[random.below(MISBEHAVIOURS.len())],
            _ => ("", &[200][..]),
        };
        let path = format!("/t/t/{format}?mode={mode}");
        let url = gateway.url(&path);
        let reply = gateway.client().post(url).body(body.clone()).send().await;
        let reply = reply.unwrap();
        let status = reply.status().as_u16();
        let spoke_late = mode.starts_with("late");
        // Whatever was asked for, the container may still be late with what it said too much.
        let own_fault = allowed.contains(&502) || !["http", "http-stream"].contains(&format);
        {
            let mut tally = tally.lock();
            *tally.statuses.entry(status).or_default() += 1;
            tally.late += usize::from(spoke_late);
            tally.victims += usize::from(status == 502 && !own_fault);
        }
        // A body that broke off is no wrong answer.
        let Ok(answer) = reply.bytes().await else {
            assert!(!mode.is_empty(), "{path} broke off");
            continue;
        };
        let text = String::from_utf8_lossy(&answer);
        // What is wrong in HTTP may mean nothing in another format.
        let fits =
            allowed.contains(&status) || status == 502 || (format != "http" && status == 200);
        assert!(fits, "{path}: {status} {text}");
        if status == 502 && !own_fault {
            assert!(
                !text.contains("HTTP/1.1"),
                "{path} quotes another answer: {text}"
            );
        }
        if status == 200 && answer != body {
            // An early answer is written before the body is read.
            let early = answer.is_empty() && ["early", "shuts"].contains(&mode);
            // What a function says too late may come in the middle of its next answer, and is then
            // a part of it: only the function could tell.
            let mixed_up = contains(&answer, b"late junk");
            tally.lock().victims += usize::from(mixed_up);
            assert!(
                early || mixed_up,
                "{path}: {} bytes of {:?} were answered by {} bytes of {:?}",
                body.len(),
                body[..body.len().min(40)].escape_ascii().to_string(),
                answer.len(),
                answer[..answer.len().min(40)].escape_ascii().to_string()
            );
        }
        // Callers are never all at the same place.
        if random.below(1000) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
