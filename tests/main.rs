//! Tests of the whole system: one file a promise, most of them through the real `patina` binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and it reads and writes files as a person would"
)]

mod a_tick_can_be_interrupted;
mod administration;
mod architecture;
mod bad_input;
mod budgets;
mod command_line;
mod controls;
mod demo;
mod estimates;
mod import_from_other_stores;
mod kill_during_import_loses_nothing_acknowledged;
mod large_files_pass_in_pieces;
mod licences;
mod people_are_told;
mod readme;
mod sandbox;
mod two_processes;
mod watching;
mod whole_life_cycle;
