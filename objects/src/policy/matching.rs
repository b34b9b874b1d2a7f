//! The set of policies in force, and which of them a new object takes.
//!
//! Built-in policies are made in code; a stored row of the same name takes their place. Every object finds one: each
//! type has a built-in policy, and objects whose policy was dropped follow the one of their type.

use super::builtin::{builtin, builtin_name};
use super::{AppliesTo, Policy};
use crate::error::{Error, ErrorKind, Result};
use globset::{GlobBuilder, GlobMatcher};
use patina_codecs::Kind;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a policy may look at when a new object chooses one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub tenant: &'a str,
    pub name: &'a str,
    pub kind: Kind,
    pub size_bytes: u64,
}

#[derive(Clone)]
struct Member {
    policy: Arc<Policy>,
    glob: Option<GlobMatcher>,
}

/// All policies by name. `epoch` rises with each change, so that a plan made under older policies is noticed.
#[derive(Clone)]
pub(crate) struct PolicySet {
    members: BTreeMap<String, Member>,
    epoch: u64,
}

impl PolicySet {
    /// The built-in policies alone.
    pub(crate) fn builtins() -> Self {
        let mut set = Self { members: BTreeMap::new(), epoch: 0 };
        for kind in Kind::ALL {
            set.insert(builtin(kind));
        }
        set
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn insert(&mut self, policy: Policy) {
        let glob = policy.applies_to.name_glob.as_deref().and_then(compile);
        self.members.insert(policy.name.clone(), Member { policy: Arc::new(policy), glob });
        self.epoch += 1;
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.members.remove(name);
        self.epoch += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.members.values().map(|member| &member.policy)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Policy>> {
        self.members.get(name).map(|member| &member.policy)
    }

    /// The policy of that name, or an error that says where to look.
    pub(crate) fn named(&self, name: &str) -> Result<&Arc<Policy>> {
        self.find(name).ok_or_else(|| {
            let known: Vec<&str> = self.members.keys().map(String::as_str).collect();
            let message = format!("there is no policy '{name}'; there are: {}", known.join(", "));
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// The policy an object follows: the one it names, or its type's if that was dropped.
    pub(crate) fn of(&self, name: &str, kind: Kind) -> Arc<Policy> {
        match self.find(name).or_else(|| self.find(builtin_name(kind))) {
            Some(policy) => Arc::clone(policy),
            None => Arc::new(builtin(kind)),
        }
    }

    /// The policy a new object takes: the most specific that matches.
    pub(crate) fn choose(&self, target: Target<'_>) -> Arc<Policy> {
        let matching = self.members.values().filter(|member| member.matches(target));
        match matching.max_by_key(|member| (member.specificity(), Reverse(&member.policy.name))) {
            Some(member) => Arc::clone(&member.policy),
            None => self.of(builtin_name(target.kind), target.kind),
        }
    }
}

impl Member {
    fn matches(&self, target: Target<'_>) -> bool {
        let AppliesTo { kinds, name_glob, size_min_bytes, size_max_bytes } = &self.policy.applies_to;
        !self.policy.applies_to.is_empty()
            && (kinds.is_empty() || kinds.contains(&target.kind))
            && (name_glob.is_none() || self.glob.as_ref().is_some_and(|glob| glob.is_match(target.name)))
            && size_min_bytes.is_none_or(|min| target.size_bytes >= min)
            && size_max_bytes.is_none_or(|max| target.size_bytes <= max)
            && self.policy.tenant.as_deref().is_none_or(|tenant| tenant == target.tenant)
    }

    /// Greater is more specific: length of the name pattern without wildcards, type, size, tenant, not built-in.
    fn specificity(&self) -> (usize, bool, bool, bool, bool) {
        let applies_to = &self.policy.applies_to;
        let literal = |c: &char| !matches!(c, '*' | '?' | '[' | ']' | '{' | '}');
        let pattern =
            applies_to.name_glob.as_deref().map_or(0, |glob| 1 + glob.chars().filter(literal).count());
        let by_size = applies_to.size_min_bytes.is_some() || applies_to.size_max_bytes.is_some();
        let owned = !self.policy.is_builtin();
        (pattern, !applies_to.kinds.is_empty(), by_size, self.policy.tenant.is_some(), owned)
    }
}

/// A pattern that cannot be read matches nothing; `validate` has refused it before it could be stored.
fn compile(pattern: &str) -> Option<GlobMatcher> {
    GlobBuilder::new(pattern).literal_separator(true).build().ok().map(|glob| glob.compile_matcher())
}
