//! What a budget's order is worth: the fidelity that readers meet, against the orders that caches use.
//!
//! Objects of a camera's sizes come in over a year; readers ask for them in one of four ways, or as the clients of a cache did
//! (`utility/recorded.rs`); whenever more than 95% of the
//! budget is used, the order under test makes room down to 90%. What is thrown away is gone: there is nothing behind this
//! store to fetch it from again. Measured is the mean fidelity of what readers got, zero for what is gone.
//!
//! LRU, LFU, TTL and GDSF throw whole objects away, as they do in caches. LRU is there a second time with the same stages as
//! ours, so that what the stages bring can be told from what the order brings.
//!
//! `PATINA_LONG_TESTS=1 cargo test -p patina-objects --lib utility -- --nocapture` prints the table of `docs/decay.md`.

mod recorded;

use super::{Candidate, Left, PlanLimits, VICTIMS_MAX, Victims, plan};
use crate::clock::{Timestamp, days};
use crate::heat::Effective;
use crate::types::{ObjectId, Stage};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

const DAY_MS: u64 = 86_400_000;
const YEAR_DAYS: u64 = 360;
const HALF_LIFE: Duration = days(30);
/// Of the policies that ship: what a read that is one of many counts.
const SCAN_WEIGHT: f64 = 0.25;
const STAGES: [Stage; 3] = [Stage::Warm, Stage::Cold, Stage::Trace];

/// xorshift64*: the same trace on every machine.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Clone, Copy)]
struct Born {
    at_ms: u64,
    bytes: u64,
}

enum Event {
    Put(usize),
    Read(usize),
    /// One of many reads of a scan: nobody looks at what it gives.
    Scan(usize),
}

struct Trace {
    name: &'static str,
    objects: Vec<Born>,
    /// In order of time.
    events: Vec<(u64, Event)>,
}

/// How popular an object is `age_days` after it came.
type Popularity = fn(rank: usize, bytes: u64, age_days: u64) -> f64;

impl Trace {
    fn new(name: &'static str, count: usize, popularity: Popularity, scans: bool) -> Self {
        let mut random = Seeded(0x5eed ^ count as u64);
        let span_ms = YEAR_DAYS * DAY_MS;
        let mut objects: Vec<Born> = (0..count)
            .map(|_| Born {
                at_ms: random.next() % span_ms,
                // From 20 KB to 5 MB, small ones more often.
                bytes: (20_000.0 * 250f64.powf(random.share())) as u64,
            })
            .collect();
        objects.sort_by_key(|born| born.at_ms);
        let mut ranks: Vec<usize> = (1..=count).collect();
        for at in (1..count).rev() {
            ranks.swap(at, random.next() as usize % (at + 1));
        }
        let mut events: Vec<(u64, Event)> =
            objects.iter().enumerate().map(|(at, born)| (born.at_ms, Event::Put(at))).collect();
        for day in 0..YEAR_DAYS {
            let present = objects.partition_point(|born| born.at_ms < day * DAY_MS);
            // As many reads a day as make twenty an object in the year.
            let mut sums = Vec::with_capacity(present);
            let mut sum = 0.0;
            for (born, rank) in objects.iter().zip(&ranks).take(present) {
                sum += popularity(*rank, born.bytes, day - born.at_ms / DAY_MS);
                sums.push(sum);
            }
            let reads = if present == 0 { 0 } else { count * 20 / YEAR_DAYS as usize };
            for _ in 0..reads {
                let wanted = random.share() * sum;
                let at = sums.partition_point(|upto| *upto <= wanted).min(present - 1);
                events.push((day * DAY_MS + random.next() % DAY_MS, Event::Read(at)));
            }
            if scans && day % 30 == 29 {
                events.extend((0..present).map(|at| (day * DAY_MS + at as u64, Event::Scan(at))));
            }
        }
        events.sort_by_key(|(at, _)| *at);
        Self { name, objects, events }
    }

    fn all(count: usize) -> [Self; 5] {
        let zipf: Popularity = |rank, _, _| 1.0 / rank as f64;
        let by_size: Popularity = |rank, bytes, _| 1.0 / rank as f64 / (bytes as f64).sqrt();
        let fading: Popularity =
            |rank, _, age| (0.02 + 0.5f64.powf(age as f64 / 15.0)) / (rank as f64).sqrt();
        [
            Self::new("Zipf", count, zipf, false),
            Self::new("Zipf, a scan a month", count, zipf, true),
            Self::new("small ones more popular", count, by_size, false),
            Self::new("interest fades with age", count, fading, false),
            Self::recorded(count),
        ]
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    Ours { credit: Duration },
    Lru { staged: bool },
    Lfu,
    Ttl,
    Gdsf,
}

/// One run of a trace under an order and a budget.
struct Run<'a> {
    trace: &'a Trace,
    order: Order,
    now: Timestamp,
    /// What is left of each object; `None` before it came.
    left: Vec<Option<Left>>,
    effective: Vec<Effective>,
    last_ms: Vec<u64>,
    reads: Vec<u64>,
    /// The priority of GDSF, which contains its clock at the last read.
    value: Vec<f64>,
    clock: f64,
    queue: BinaryHeap<Reverse<(u64, usize)>>,
    victims: Victims,
    used: u64,
}

/// What the stages leave of a picture: shares of its bytes, bytes at most, fidelity.
const LEFT: [(f64, u64, f64); 3] = [(0.35, u64::MAX, 0.95), (0.08, u64::MAX, 0.5), (1.0, 400, 0.02)];

/// What is still ahead of a picture of so many bytes.
fn ahead(bytes: u64, from: Left) -> Vec<Left> {
    let left = STAGES.into_iter().zip(LEFT).map(|(stage, (share, bytes_max, fidelity))| Left {
        stage,
        bytes: ((bytes as f64 * share).round() as u64).min(bytes_max),
        fidelity,
    });
    left.filter(|left| left.stage > from.stage).collect()
}

/// Positive floats order as their bits do.
fn key(priority: f64) -> u64 {
    priority.max(0.0).to_bits()
}

impl<'a> Run<'a> {
    fn new(trace: &'a Trace, order: Order) -> Self {
        let count = trace.objects.len();
        Self {
            trace,
            order,
            now: Timestamp(0),
            left: vec![None; count],
            effective: vec![Effective::NEVER; count],
            last_ms: vec![0; count],
            reads: vec![0; count],
            value: vec![0.0; count],
            clock: 0.0,
            queue: BinaryHeap::new(),
            victims: Victims::new(VICTIMS_MAX, Timestamp(0)),
            used: 0,
        }
    }

    fn candidate(&self, at: usize) -> Option<Candidate> {
        let now = self.left[at]?;
        let ahead = ahead(self.trace.objects[at].bytes, now);
        let (weight, half_life, effective) = (1.0, HALF_LIFE, self.effective[at]);
        let (id, followers) = (ObjectId(at as u64), Vec::new());
        Some(Candidate { id, followers, weight, half_life, effective, now, ahead })
    }

    /// What a cache would throw away first has the least.
    fn priority(&self, at: usize) -> f64 {
        match self.order {
            // All get a little smaller before any gets much smaller.
            Order::Lru { staged: true } => {
                let stage = self.left[at].map_or(0, |left| left.stage.number());
                f64::from(stage) * 1e15 + self.last_ms[at] as f64
            }
            Order::Lru { .. } | Order::Ours { .. } => self.last_ms[at] as f64,
            Order::Lfu => self.reads[at] as f64,
            Order::Ttl => self.trace.objects[at].at_ms as f64,
            Order::Gdsf => self.value[at],
        }
    }

    fn put(&mut self, at: usize) {
        let bytes = self.trace.objects[at].bytes;
        self.left[at] = Some(Left { stage: Stage::Hot, bytes, fidelity: 1.0 });
        self.used += bytes;
        self.last_ms[at] = self.now.0;
        let credit = if let Order::Ours { credit } = self.order { credit } else { Duration::ZERO };
        self.effective[at] = Effective::born(self.now, credit);
        self.count(at);
        match self.candidate(at).filter(|_| matches!(self.order, Order::Ours { .. })) {
            Some(candidate) => {
                let step = candidate.next_step(None).map(|(_, step)| step);
                step.iter().for_each(|step| self.victims.add(ObjectId(at as u64), step));
            }
            None => self.queue.push(Reverse((key(self.priority(at)), at))),
        }
    }

    fn count(&mut self, at: usize) {
        self.last_ms[at] = self.now.0;
        self.reads[at] += 1;
        self.value[at] = self.clock + self.reads[at] as f64 / self.trace.objects[at].bytes as f64;
    }

    fn read(&mut self, at: usize, weight: f64) {
        let access = Effective::access(self.now, weight, HALF_LIFE);
        self.effective[at] = self.effective[at].merge(access, HALF_LIFE);
        self.count(at);
    }

    fn make_room(&mut self, budget: u64) {
        if self.used <= budget - budget / 20 {
            return;
        }
        let goal = budget - budget / 10;
        if matches!(self.order, Order::Ours { .. }) {
            let mut victims = std::mem::replace(&mut self.victims, Victims::new(1, self.now));
            let load = |id: ObjectId| Ok(self.candidate(id.0 as usize));
            let planned = plan(&mut victims, self.now, self.used - goal, PlanLimits::NONE, load).unwrap();
            self.victims = victims;
            planned.moves.into_iter().for_each(|(id, left)| self.becomes(id.0 as usize, left));
            return;
        }
        while self.used > goal {
            let Some(Reverse((found, at))) = self.queue.pop() else { return };
            let right = key(self.priority(at));
            if right > found {
                self.queue.push(Reverse((right, at)));
                continue;
            }
            self.clock = self.clock.max(self.priority(at).min(f64::MAX));
            let now = self.left[at].unwrap();
            let next = ahead(self.trace.objects[at].bytes, now).into_iter().next();
            match next.filter(|_| self.order == Order::Lru { staged: true }) {
                Some(next) => {
                    self.becomes(at, next);
                    self.queue.push(Reverse((key(self.priority(at)), at)));
                }
                None => self.becomes(at, Left { stage: Stage::Purged, bytes: 0, fidelity: 0.0 }),
            }
        }
    }

    fn becomes(&mut self, at: usize, left: Left) {
        self.used = self.used + left.bytes - self.left[at].map_or(0, |left| left.bytes);
        self.left[at] = Some(left);
    }

    /// The mean fidelity that readers got.
    fn utility(mut self, budget: u64) -> f64 {
        let (mut served, mut asked) = (0.0, 0u64);
        let trace = self.trace;
        for (at_ms, event) in &trace.events {
            self.now = Timestamp(*at_ms);
            match event {
                Event::Put(at) => {
                    self.put(*at);
                    self.make_room(budget);
                }
                Event::Scan(at) => self.read(*at, SCAN_WEIGHT),
                Event::Read(at) => {
                    asked += 1;
                    served += self.left[*at].map_or(0.0, |left| left.fidelity);
                    self.read(*at, 1.0);
                }
            }
        }
        served / asked as f64
    }
}

const ORDERS: [(&str, Order); 7] = [
    ("ours", Order::Ours { credit: Duration::ZERO }),
    ("ours, credit 60 d", Order::Ours { credit: days(60) }),
    ("LRU by stages", Order::Lru { staged: true }),
    ("GDSF", Order::Gdsf),
    ("LRU", Order::Lru { staged: false }),
    ("LFU", Order::Lfu),
    ("TTL", Order::Ttl),
];

#[test]
fn it_serves_more_than_the_orders_of_caches() {
    let is_long = std::env::var_os("PATINA_LONG_TESTS").is_some();
    let budgets: &[u64] = if is_long { &[5, 15, 30, 60] } else { &[15] };
    let names: Vec<&str> = ORDERS.iter().map(|(name, _)| *name).collect();
    println!("| trace | budget | {} |", names.join(" | "));
    println!("|---|---|{}", "---|".repeat(ORDERS.len()));
    for trace in Trace::all(if is_long { 20_000 } else { 600 }) {
        let all: u64 = trace.objects.iter().map(|born| born.bytes).sum();
        for percent in budgets {
            let utility = |(_, order): &(&str, Order)| Run::new(&trace, *order).utility(all * percent / 100);
            let served: Vec<f64> = ORDERS.iter().map(utility).collect();
            let shown: Vec<String> = served.iter().map(|served| format!("{served:.3}")).collect();
            println!("| {} | {percent}% | {} |", trace.name, shown.join(" | "));
            let (ours, others) = (served[0], &served[3..]);
            assert!(others.iter().all(|other| ours > *other), "{}, {percent}%: {served:?}", trace.name);
        }
    }
}
