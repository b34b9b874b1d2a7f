//! Objects, history and totals as JSON, for programs. Times are milliseconds since 1970 UTC, sizes are bytes, hashes
//! are hexadecimal; the keys are the column names of SQL.

use std::fmt::Write;

use patinadb::objects::StageMoves;
use patinadb::{
    BudgetStatus, HistoryRow, ObjectInfo, PlannedMove, Stage, Sum, TickReport, Timestamp, Totals,
};
use serde_json::{Map, Value, json};

pub fn object(info: &ObjectInfo) -> Value {
    json!({
        "id": info.id.0,
        "name": info.name,
        "tenant": info.tenant,
        "type": info.kind.as_str(),
        "media_type": info.media_type,
        "size": info.size,
        "stored": info.stored,
        "stage": info.stage.number(),
        "heat": info.heat,
        "fidelity": info.fidelity,
        "policy": info.policy,
        "created_at": info.created_at.0,
        "accessed_at": info.accessed_at.0,
        "effective_at": info.effective_at.0,
        "next_decay_at": info.next_decay_at.map(millis),
        "origin_hash": hex(&info.origin_hash),
        "content_hash": info.content_hash.map(|hash| hex(&hash)),
        "pinned": info.pinned,
        "held": info.held,
        "original_kept": info.original_kept,
        "restore_until": info.restore_until.map(millis),
        "rate": info.rate,
        "generation": info.generation,
        "error": info.error,
        "keep_original": info.keep_original,
    })
}

/// One row of the history.
pub fn history(row: &HistoryRow) -> Value {
    json!({
        "seq": row.seq,
        "object": row.object.0,
        "name": row.name,
        "tenant": row.tenant,
        "at": row.at.0,
        "from": row.from.map(Stage::number),
        "to": row.to.map(Stage::number),
        "reason": row.reason.as_str(),
        "bytes_before": row.bytes_before,
        "bytes_after": row.bytes_after,
        "fidelity": row.fidelity,
        "metric": row.metric,
        "codec": row.codec,
        "params": row.params,
        "note": row.note,
        "actor": row.actor,
        "hash": hex(&row.hash),
    })
}

pub fn planned(planned: &PlannedMove) -> Value {
    json!({
        "object": planned.object.0,
        "name": planned.name,
        "from": planned.from.number(),
        "to": planned.to.number(),
        "bytes_before": planned.bytes_before,
        "bytes_after_estimate": planned.bytes_after_estimate,
        "fidelity_after_estimate": planned.fidelity_after_estimate,
        "reason": planned.reason,
    })
}

/// What came to each stage, by its name.
pub fn arrived(by_stage: &[StageMoves; 5]) -> Value {
    let arrived = Stage::ALL.iter().zip(by_stage).map(|(stage, moves)| {
        let moves = json!({
            "objects": moves.objects,
            "bytes_before": moves.bytes_before,
            "bytes_after": moves.bytes_after,
        });
        (stage.as_str().to_owned(), moves)
    });
    Value::Object(arrived.collect())
}

pub fn tick(report: &TickReport) -> Value {
    json!({
        "now": report.now.0,
        "forced": report.forced,
        "moved": report.moved,
        "arrived": arrived(&report.by_stage),
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "purged": report.purged,
        "forgotten": report.forgotten,
        "originals_dropped": report.originals_dropped,
        "left_alone": report.left_alone,
        "postponed": report.postponed,
        "blocked": report.blocked,
        "failed": report.failed,
        "files_compacted": report.files_compacted,
        "contents_judged": report.contents_judged,
        "limit_reached": report.limit_reached,
        "stopped": report.stopped,
        "budgets": report.budgets.iter().map(|report| {
            let mut after = budget(&report.after);
            after["used_before"] = json!(report.used_bytes_before);
            after["moved"] = json!(report.moved);
            after["short_by_bytes"] = json!(report.short_by_bytes);
            after
        }).collect::<Vec<_>>(),
    })
}

/// A budget and how it stands.
pub fn budget(status: &BudgetStatus) -> Value {
    let blocked: Vec<Value> = status
        .blocked
        .iter()
        .map(|sum| json!({ "by": sum.by.as_str(), "objects": sum.objects, "bytes": sum.bytes }))
        .collect();
    let largest: Vec<Value> = status
        .largest_blocked
        .iter()
        .map(|object| {
            json!({
                "name": object.name,
                "tenant": object.tenant,
                "bytes": object.bytes,
                "by": object.by.as_str(),
                "holders": object.holders,
            })
        })
        .collect();
    json!({
        "tenant": status.tenant,
        "bytes": status.budget.bytes,
        "used": status.used_bytes,
        "refuse_writes": status.budget.refuse_writes,
        "excess_bytes": status.excess_bytes(),
        "blocked": blocked,
        "largest_blocked": largest,
    })
}

pub fn totals(totals: &Totals) -> Value {
    let stages =
        Stage::ALL.iter().zip(&totals.by_stage).map(|(stage, part)| (stage.as_str().to_owned(), sum(part)));
    let kinds = totals.by_kind.iter().map(|(kind, part)| (kind.as_str().to_owned(), sum(part)));
    json!({
        "all": sum(&totals.all),
        "stages": stages.collect::<Map<_, _>>(),
        "types": kinds.collect::<Map<_, _>>(),
        "contents": totals.contents,
        "content_bytes": totals.content_bytes,
    })
}

fn sum(sum: &Sum) -> Value {
    json!({ "objects": sum.objects, "size": sum.size, "stored": sum.stored, "heat": sum.mean_heat() })
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn millis(at: Timestamp) -> u64 {
    at.0
}
