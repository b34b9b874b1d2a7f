//! What clients really asked for: requests of a production cache, recorded by its operators.
//!
//! `cluster52.trace` has the requests of half a thousand seconds for 20 000 objects, chosen at random among the 143 542 of the first million
//! requests of cluster 52 of the *Anonymized Cache Request Traces from Twitter Production* (Yang, Yue, Rashmi: *A large scale
//! analysis of hundreds of in-memory cache clusters at Twitter*, OSDI 2020; <https://github.com/twitter/cache-trace>; CC BY 4.0). All requests for an
//! object that was chosen are there, in their order; names were replaced by numbers.
//!
//! The format, little-endian: the number of objects (u32), the bytes of each (u16), then for each second the number of its requests
//! (u32) and the number of the object that each is for (u16). The numbers of objects are in no order, so the first of them are a sample, too.
//!
//! The first request for an object is its put, the others read it. Seconds are stretched until all of them are a year; what a cache
//! holds is small, so bytes are taken a thousandfold.

use super::{Born, DAY_MS, Event, Trace, YEAR_DAYS};

const FILE: &[u8] = include_bytes!("cluster52.trace");
const SCALE: u64 = 1000;

struct Numbers(&'static [u8]);

impl Numbers {
    fn next<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*number)
    }

    fn u16s(&mut self, count: u32) -> Vec<u16> {
        (0..count).map(|_| u16::from_le_bytes(self.next().unwrap())).collect()
    }
}

impl Trace {
    /// The requests for so many of the objects.
    pub(super) fn recorded(count: usize) -> Self {
        let mut file = Numbers(FILE);
        let objects = u32::from_le_bytes(file.next().unwrap());
        let bytes = file.u16s(objects);
        let mut seconds = Vec::new();
        while let Some(requests) = file.next() {
            seconds.push(file.u16s(u32::from_le_bytes(requests)));
        }
        let second_ms = YEAR_DAYS * DAY_MS / seconds.len() as u64;
        let mut born: Vec<Option<Born>> = vec![None; count];
        let mut events = Vec::new();
        for (second, requests) in (0..).zip(&seconds) {
            for (place, number) in (0..).zip(requests) {
                let at = usize::from(*number);
                let Some(object) = born.get_mut(at) else { continue };
                let at_ms = second * second_ms + place * second_ms / requests.len() as u64;
                match object {
                    Some(_) => events.push((at_ms, Event::Read(at))),
                    None => {
                        *object = Some(Born { at_ms, bytes: u64::from(bytes[at]) * SCALE });
                        events.push((at_ms, Event::Put(at)));
                    }
                }
            }
        }
        let objects = born.into_iter().map(Option::unwrap).collect();
        Self { name: "recorded requests of a cache", objects, events }
    }
}
