//! Finds the right operand of CONTAINS, STARTSWITH and ENDSWITH.
//!
//! The three bind like LIKE, so the operand is everything that binds tighter: `a CONTAINS b || 'x' AND c` has
//! the operand `b || 'x'`. The grammar walked here is SQLite's, cut down to what decides where an operand ends:
//!
//! ```text
//! operand := unary (tight unary)*          tight := || -> ->> * / % + - & | << >> < <= > >=
//! unary   := (- | + | ~ | NOT)* primary
//! primary := literal | parameter | name (. name)* [(…) [FILTER (…)] [OVER (…)|name]] | (…) | CASE … END
//!            followed by any number of COLLATE name
//! ```

use super::token::{Token, TokenKind};

const TIGHT: [&str; 15] = ["||", "->", "->>", "*", "/", "%", "+", "-", "&", "|", "<<", ">>", "<", "<=", ">"];

/// The significant tokens of one statement, with matching parentheses looked up once.
pub(crate) struct Words<'a> {
    pub sql: &'a str,
    pub tokens: Vec<Token>,
    /// For each `(`, the index of its `)`.
    closing: Vec<Option<usize>>,
}

impl<'a> Words<'a> {
    pub fn new(sql: &'a str, all: &[Token]) -> Self {
        let tokens: Vec<Token> = all.iter().copied().filter(Token::is_significant).collect();
        let mut closing = vec![None; tokens.len()];
        let mut open = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            match token.kind {
                TokenKind::Open => open.push(index),
                TokenKind::Close => {
                    if let Some(slot) = open.pop().and_then(|start: usize| closing.get_mut(start)) {
                        *slot = Some(index);
                    }
                }
                _ => {}
            }
        }
        Self { sql, tokens, closing }
    }

    pub fn get(&self, index: usize) -> Option<Token> {
        self.tokens.get(index).copied()
    }

    pub fn is(&self, index: usize, keyword: &str) -> bool {
        self.get(index).is_some_and(|token| token.is(self.sql, keyword))
    }

    pub fn kind(&self, index: usize) -> Option<TokenKind> {
        self.get(index).map(|token| token.kind)
    }

    pub fn text(&self, index: usize) -> &'a str {
        self.get(index).map_or("", |token| token.text(self.sql))
    }

    /// The index after the parenthesis that opens at `index`, if it closes.
    pub fn after_parenthesis(&self, index: usize) -> Option<usize> {
        self.closing.get(index).copied().flatten().map(|close| close + 1)
    }

    /// The index after the operand that starts at `start`; `None` where none starts.
    pub fn after_operand(&self, start: usize) -> Option<usize> {
        let mut at = self.after_unary(start)?;
        while self.is_tight(at) {
            at = self.after_unary(at + 1)?;
        }
        Some(at)
    }

    fn is_tight(&self, index: usize) -> bool {
        self.kind(index) == Some(TokenKind::Operator)
            && (TIGHT.contains(&self.text(index)) || self.text(index) == ">=")
    }

    fn after_unary(&self, mut at: usize) -> Option<usize> {
        while self.is(at, "NOT") || matches!(self.text(at), "-" | "+" | "~") {
            at += 1;
        }
        let mut end = self.after_primary(at)?;
        while self.is(end, "COLLATE") {
            end += 2;
        }
        Some(end.min(self.tokens.len()))
    }

    fn after_primary(&self, at: usize) -> Option<usize> {
        match self.kind(at)? {
            TokenKind::String { .. } | TokenKind::Number | TokenKind::Parameter => Some(at + 1),
            TokenKind::Open => self.after_parenthesis(at),
            TokenKind::Word if self.is(at, "CASE") => self.after_case(at),
            TokenKind::Word if !is_clause_word(self.text(at)) => Some(self.after_name(at)),
            TokenKind::QuotedName { .. } => Some(self.after_name(at)),
            _ => None,
        }
    }

    fn after_name(&self, at: usize) -> usize {
        let mut end = at + 1;
        while self.kind(end) == Some(TokenKind::Dot) {
            end += 2;
        }
        let Some(mut after_call) = self.after_parenthesis(end) else {
            return end.min(self.tokens.len());
        };
        while self.is(after_call, "FILTER") || self.is(after_call, "OVER") {
            after_call = self.after_parenthesis(after_call + 1).unwrap_or(after_call + 2);
        }
        after_call.min(self.tokens.len())
    }

    fn after_case(&self, start: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut at = start;
        while at < self.tokens.len() {
            if self.is(at, "CASE") {
                depth += 1;
            } else if self.is(at, "END") {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            at = self.after_parenthesis(at).unwrap_or(at + 1);
        }
        None
    }

    /// Whether what stands before `index` is an operand, with or without a NOT after it.
    pub fn follows_operand(&self, index: usize) -> bool {
        self.follows(index, |before| self.ends_operand(before))
    }

    fn follows(&self, index: usize, ends: impl Fn(usize) -> bool) -> bool {
        match index.checked_sub(1) {
            Some(before) if self.is(before, "NOT") => before > 0 && ends(before - 1),
            Some(before) => ends(before),
            None => false,
        }
    }

    /// Whether the token at `index` can be the last of an operand, so that an infix operator may follow. A word like
    /// CONTAINS is a column's name where no operand stands before it.
    fn ends_operand(&self, index: usize) -> bool {
        let is_infix = ["CONTAINS", "STARTSWITH", "ENDSWITH"].iter().any(|word| self.is(index, word));
        if is_infix {
            return !self.follows(index, |before| self.ends_plain_operand(before));
        }
        self.ends_plain_operand(index)
    }

    fn ends_plain_operand(&self, index: usize) -> bool {
        match self.kind(index) {
            Some(TokenKind::Word) => !is_clause_word(self.text(index)),
            Some(
                TokenKind::QuotedName { .. }
                | TokenKind::String { .. }
                | TokenKind::Number
                | TokenKind::Parameter
                | TokenKind::Close,
            ) => true,
            _ => false,
        }
    }
}

/// Words that separate operands; none of them can be an operand or end one. (`END` ends a CASE.)
const CLAUSE_WORDS: [&str; 65] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CHECK",
    "COLLATE",
    "CONTAINS",
    "CREATE",
    "CROSS",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DISTINCT",
    "ELSE",
    "ENDSWITH",
    "ESCAPE",
    "EXCEPT",
    "FROM",
    "FULL",
    "GLOB",
    "GROUP",
    "HAVING",
    "IN",
    "INDEXED",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "ISNULL",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MATCH",
    "NATURAL",
    "NOT",
    "NOTNULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "RECURSIVE",
    "REGEXP",
    "RETURNING",
    "RIGHT",
    "SELECT",
    "SET",
    "STARTSWITH",
    "TABLE",
    "THEN",
    "UNION",
    "UPDATE",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "PARTITION",
];

pub(crate) fn is_clause_word(word: &str) -> bool {
    CLAUSE_WORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}
