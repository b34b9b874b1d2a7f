//! Chooses how a table is read: SQLite's xBestIndex, without SQLite's types.
//!
//! A table says which indexes it has and about how many rows each would read; the planner matches them with the
//! conditions SQLite offers and takes the cheapest. A condition is never marked as done: SQLite checks every row
//! again, so an index only has to return enough. An order is consumed when the index gives it. Equality never loses to
//! the scan: row counts are samples, and `stage = 2` must stay cheap when they are wrong.
//!
//! Worked example: `objects` with 1,000 rows, 40 of them cold, and `WHERE stage = 2 AND name LIKE 'p%' ORDER BY id`:
//! the stage index reads 40 rows, the name prefix about 50, a scan 1,000; the stage index wins and, being ordered
//! by id within one stage, saves the sort.

use crate::selection::Comparison;
use crate::value::Value;

/// A column: the row id or one by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ColumnRef {
    RowId,
    Number(usize),
}

/// One usable condition that SQLite offers.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// Its position in SQLite's list.
    pub position: usize,
    pub column: ColumnRef,
    pub comparison: Comparison,
    /// `column IN (…)`, which can be taken as one condition.
    pub is_in: bool,
    /// Whether it compares bytes, not with a collation that equates letters.
    pub binary: bool,
    /// The value, where it stands in the text.
    pub literal: Option<Value>,
}

/// One term of ORDER BY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub column: ColumnRef,
    pub descending: bool,
}

/// How an index looks to the planner.
#[derive(Clone, Debug)]
pub(crate) struct IndexShape {
    /// What EXPLAIN calls it.
    pub name: &'static str,
    /// The columns it is on: more than one name for the same value (`_id` and the row id).
    pub columns: Vec<ColumnRef>,
    /// Further columns whose equality the index takes along, in this order, when its own is met by equality.
    pub also: Vec<ColumnRef>,
    /// The column's name in EXPLAIN.
    pub column_name: String,
    pub text: bool,
    /// At most one row for each value, however it is compared: of texts, `'5'` and `'05'` can both be equal to 5.
    pub unique: bool,
    /// Rows for one value, a range, a prefix. The first may be refined by `histogram`.
    pub rows_equal: f64,
    pub rows_range: f64,
    /// Ranges and prefixes are possible, not only equality.
    pub ranges: bool,
    /// Rows by value 0, 1, 2, …, where that is known.
    pub histogram: Vec<u64>,
    /// Rows come in this column's order.
    pub ordered: bool,
}

/// How a table looks to the planner.
#[derive(Clone, Debug)]
pub(crate) struct TableShape {
    pub rows: f64,
    pub indexes: Vec<IndexShape>,
    /// The columns whose ascending order a scan gives.
    pub scan_order: Vec<ColumnRef>,
}

/// The plan chosen. `index` is `None` for a scan of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    pub index: Option<usize>,
    /// The comparison of each argument; with `any_of` there is one argument, a list.
    pub arguments: Vec<Comparison>,
    pub any_of: bool,
    /// For EXPLAIN.
    pub description: String,
}

/// A plan with what SQLite is told about it.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub plan: Plan,
    /// Positions of the offers that become arguments, in order.
    pub positions: Vec<usize>,
    pub cost: f64,
    pub rows: f64,
    pub unique: bool,
    pub order_consumed: bool,
}

/// How many values an IN list is taken to have.
const IN_VALUES_ASSUMED: f64 = 3.0;

/// The cheapest plan for the offers.
pub(crate) fn choose(shape: &TableShape, offers: &[Offer], order: &[Order]) -> Choice {
    let mut best = Choice {
        plan: Plan { index: None, arguments: Vec::new(), any_of: false, description: "full scan".to_owned() },
        positions: Vec::new(),
        cost: shape.rows.max(1.0) + 1.0,
        rows: shape.rows.max(1.0),
        unique: false,
        order_consumed: gives_order(&shape.scan_order, order),
    };
    let scan_cost = best.cost;
    for (number, index) in shape.indexes.iter().enumerate() {
        let Some(mut choice) = with_index(number, index, offers, order) else { continue };
        // However many rows are thought to be equal, they are never more than all.
        if choice.plan.arguments.iter().all(|argument| *argument == Comparison::Equal) {
            choice.cost = choice.cost.min(scan_cost - 0.5);
        }
        if choice.cost < best.cost {
            best = choice;
        }
    }
    best
}

fn gives_order(columns: &[ColumnRef], order: &[Order]) -> bool {
    matches!(order, [only] if !only.descending && columns.contains(&only.column))
}

fn with_index(number: usize, index: &IndexShape, offers: &[Offer], order: &[Order]) -> Option<Choice> {
    let fitting: Vec<&Offer> = offers
        .iter()
        .filter(|offer| {
            index.columns.contains(&offer.column) && (!index.text || offer.binary || offer.is_pattern())
        })
        .collect();
    let of = |wanted: &[Comparison]| {
        fitting.iter().copied().find(|offer| wanted.contains(&offer.comparison) && !offer.is_in)
    };
    let equal = of(&[Comparison::Equal]);
    let listed = fitting.iter().copied().find(|offer| offer.is_in);
    let (used, rows, any_of) = if let Some(offer) = equal {
        let also = index.also.iter().filter_map(|column| {
            offers.iter().find(|offer| {
                offer.column == *column && offer.comparison == Comparison::Equal && !offer.is_in
            })
        });
        (std::iter::once(offer).chain(also).collect(), index.rows_for(offer), false)
    } else if let Some(offer) = listed {
        (vec![offer], index.rows_equal * IN_VALUES_ASSUMED, true)
    } else if !index.ranges {
        return None;
    } else if let Some(offer) = of(&[Comparison::Glob, Comparison::Like]).filter(|_| index.text) {
        (vec![offer], index.rows_range / 4.0, false)
    } else {
        let low = of(&[Comparison::Greater, Comparison::GreaterEqual]);
        let high = of(&[Comparison::Less, Comparison::LessEqual]);
        let used: Vec<&Offer> = low.into_iter().chain(high).collect();
        let share = match used.len() {
            0 => return None,
            1 => 1.0,
            _ => 0.5,
        };
        (used, index.rows_range * share, false)
    };
    let unique = index.unique && equal.is_some();
    Some(Choice {
        plan: Plan {
            index: Some(number),
            arguments: used.iter().map(|offer| offer.comparison).collect(),
            any_of,
            description: describe(index, &used, any_of),
        },
        positions: used.iter().map(|offer| offer.position).collect(),
        // Beside the index entries there is one look-up a row, and something to start with.
        cost: rows.max(0.1) * 1.2 + 0.5,
        rows: rows.max(1.0),
        unique,
        order_consumed: unique || (index.ordered && gives_order(&index.columns, order)),
    })
}

impl Offer {
    fn is_pattern(&self) -> bool {
        matches!(self.comparison, Comparison::Like | Comparison::Glob)
    }
}

impl IndexShape {
    fn rows_for(&self, offer: &Offer) -> f64 {
        let known = match &offer.literal {
            Some(Value::Integer(number)) => {
                usize::try_from(*number).ok().and_then(|at| self.histogram.get(at))
            }
            _ => None,
        };
        known.map_or(self.rows_equal, |rows| *rows as f64)
    }
}

fn describe(index: &IndexShape, used: &[&Offer], any_of: bool) -> String {
    let name = &index.column_name;
    let conditions: Vec<String> = used
        .iter()
        .map(|offer| match offer.comparison {
            Comparison::Equal if any_of => format!("{name} IN (…)"),
            Comparison::Equal => format!("{name} = ?"),
            Comparison::Less => format!("{name} < ?"),
            Comparison::LessEqual => format!("{name} <= ?"),
            Comparison::Greater => format!("{name} > ?"),
            Comparison::GreaterEqual => format!("{name} >= ?"),
            Comparison::Like => format!("{name} LIKE ?"),
            Comparison::Glob => format!("{name} prefix"),
        })
        .collect();
    format!("{} ({})", index.name, conditions.join(" AND "))
}
