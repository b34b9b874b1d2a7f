//! What a statement's `?` stand for.

use patina_query::Value;

/// The parameters of a statement: `()` for none, an array or `Vec` of one type, or a tuple of several.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = patinadb::Patina::open(dir.path())?;
/// db.query("SELECT FROM objects", ())?;
/// db.query("SELECT FROM objects WHERE stage = ?", [2])?;
/// db.query("SELECT FROM objects WHERE name STARTSWITH ? AND heat < ?", ("photos/", 0.1))?;
/// # Ok::<(), patinadb::Error>(())
/// ```
pub trait Params {
    /// The values, in the order of the question marks.
    fn into_values(self) -> Vec<Value>;
}

impl Params for () {
    fn into_values(self) -> Vec<Value> {
        Vec::new()
    }
}

impl<T: Into<Value>, const N: usize> Params for [T; N] {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<Value>> Params for Vec<T> {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! params_from_tuples {
    ($($($type:ident)+;)+) => {$(
        impl<$($type: Into<Value>),+> Params for ($($type,)+) {
            fn into_values(self) -> Vec<Value> {
                #[expect(non_snake_case, reason = "a tuple's fields are named by their types")]
                let ($($type,)+) = self;
                vec![$($type.into()),+]
            }
        }
    )+};
}

params_from_tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
}
