//! Cuts SQL text into tokens without ever failing.
//!
//! The tokens cover the text completely and in order: `tokens[i].end == tokens[i + 1].start`, the first starts
//! at 0 and the last ends at the text's length, each at a character boundary. Whatever SQLite would not accept
//! becomes [`TokenKind::Unknown`] or an unterminated literal, and is left for SQLite to complain about.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Spaces and line ends.
    Space,
    /// `-- …` or `/* … */`; `terminated` is false for a block comment that runs to the end.
    Comment {
        /// Whether a block comment has its end.
        terminated: bool,
    },
    /// A bare word: keyword or identifier.
    Word,
    /// `"…"`, `` `…` `` or `[…]`.
    QuotedName {
        /// Whether the closing quote is there.
        terminated: bool,
    },
    /// `'…'` or `x'…'`.
    String {
        /// Whether the closing quote is there.
        terminated: bool,
    },
    /// A number.
    Number,
    /// `?`, `?1`, `:name`, `@name`, `$name`.
    Parameter,
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `,`.
    Comma,
    /// `;`.
    Semicolon,
    /// `.`.
    Dot,
    /// Any operator.
    Operator,
    /// A character SQL has no use for.
    Unknown,
}

/// A token: its kind and where it stands in the text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    /// The token's text within `sql`.
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        sql.get(self.start..self.end).unwrap_or("")
    }

    /// Whether this is the bare word `keyword`, in any case.
    pub fn is(&self, sql: &str, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text(sql).eq_ignore_ascii_case(keyword)
    }

    /// Neither space nor comment.
    pub fn is_significant(&self) -> bool {
        !matches!(self.kind, TokenKind::Space | TokenKind::Comment { .. })
    }
}

const OPERATORS: [&str; 12] = ["->>", "->", "||", "<<", ">>", "<=", ">=", "<>", "!=", "==", "&&", "::"];

/// Cuts `sql` into tokens.
pub(crate) fn tokenize(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(rest) = sql.get(start..)
        && let Some(first) = rest.chars().next()
    {
        let (kind, length) = next_token(rest, first);
        let end = start + length.max(first.len_utf8());
        tokens.push(Token { kind, start, end });
        start = end;
    }
    tokens
}

fn next_token(rest: &str, first: char) -> (TokenKind, usize) {
    let second = rest.chars().nth(1);
    match first {
        c if c.is_ascii_whitespace() => (TokenKind::Space, length_while(rest, |c| c.is_ascii_whitespace())),
        '-' if second == Some('-') => {
            (TokenKind::Comment { terminated: true }, rest.find('\n').unwrap_or(rest.len()))
        }
        '/' if second == Some('*') => match rest.get(2..).and_then(|body| body.find("*/")) {
            Some(at) => (TokenKind::Comment { terminated: true }, at + 4),
            None => (TokenKind::Comment { terminated: false }, rest.len()),
        },
        '\'' => {
            let (length, terminated) = quoted(rest, '\'');
            (TokenKind::String { terminated }, length)
        }
        'x' | 'X' if second == Some('\'') => {
            let (length, terminated) = quoted(rest.get(1..).unwrap_or(""), '\'');
            (TokenKind::String { terminated }, length + 1)
        }
        '"' | '`' => {
            let (length, terminated) = quoted(rest, first);
            (TokenKind::QuotedName { terminated }, length)
        }
        '[' => match rest.find(']') {
            Some(at) => (TokenKind::QuotedName { terminated: true }, at + 1),
            None => (TokenKind::QuotedName { terminated: false }, rest.len()),
        },
        '?' => (TokenKind::Parameter, 1 + length_while(rest.get(1..).unwrap_or(""), |c| c.is_ascii_digit())),
        ':' | '@' | '$' if second.is_some_and(is_word_char) => {
            (TokenKind::Parameter, 1 + length_while(rest.get(1..).unwrap_or(""), is_word_char))
        }
        c if c.is_ascii_digit() => (TokenKind::Number, number_length(rest)),
        '.' if second.is_some_and(|c| c.is_ascii_digit()) => (TokenKind::Number, number_length(rest)),
        c if is_word_start(c) => (TokenKind::Word, length_while(rest, is_word_char)),
        '(' => (TokenKind::Open, 1),
        ')' => (TokenKind::Close, 1),
        ',' => (TokenKind::Comma, 1),
        ';' => (TokenKind::Semicolon, 1),
        '.' => (TokenKind::Dot, 1),
        _ => operator(rest, first),
    }
}

fn operator(rest: &str, first: char) -> (TokenKind, usize) {
    if let Some(longest) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
        return (TokenKind::Operator, longest.len());
    }
    if "+-*/%&|<>=~!".contains(first) {
        return (TokenKind::Operator, 1);
    }
    (TokenKind::Unknown, first.len_utf8())
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

fn length_while(text: &str, accepts: impl Fn(char) -> bool) -> usize {
    text.find(|c| !accepts(c)).unwrap_or(text.len())
}

/// The length of a literal that starts with `quote`, where a doubled quote stands for one.
fn quoted(text: &str, quote: char) -> (usize, bool) {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != quote {
            continue;
        }
        if characters.peek().is_some_and(|(_, next)| *next == quote) {
            characters.next();
            continue;
        }
        return (at + c.len_utf8(), true);
    }
    (text.len(), false)
}

/// Digits, a fraction, an exponent; `0x…` too. Trailing word characters belong to it, so that `12ab` is one bad
/// token as it is for SQLite.
fn number_length(text: &str) -> usize {
    let mut previous = '0';
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    text.find(|c: char| {
        let sign_of_exponent = !hexadecimal && (c == '+' || c == '-') && matches!(previous, 'e' | 'E');
        let belongs = is_word_char(c) || c == '.' || sign_of_exponent;
        previous = c;
        !belongs
    })
    .unwrap_or(text.len())
}

/// The name a word or quoted name stands for: quotes off, doubled quotes undone.
pub(crate) fn unquote(text: &str) -> String {
    let mut characters = text.chars();
    let (Some(first), Some(last)) = (characters.next(), characters.next_back()) else {
        return text.to_owned();
    };
    let inner = characters.as_str();
    match (first, last) {
        ('[', ']') => inner.to_owned(),
        ('"', '"') | ('`', '`') | ('\'', '\'') => {
            let quote = first.to_string();
            inner.replace(&quote.repeat(2), &quote)
        }
        _ => text.to_owned(),
    }
}

/// `name` as a quoted SQL identifier.
pub(crate) fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as an SQL string literal.
pub(crate) fn quote_string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
