//! The row of a policy.

use crate::clock::millis;
use crate::policy::{AppliesTo, Policy};
use patina_codecs::{Kind, Params, PictureFormat, Transparency};
use prost::Message;
use std::time::Duration;

/// One policy. Its name is the key. Durations are in milliseconds.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PolicyRow {
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    #[prost(string, repeated, tag = "2")]
    pub kinds: Vec<String>,
    #[prost(string, optional, tag = "3")]
    pub name_glob: Option<String>,
    #[prost(uint64, optional, tag = "4")]
    pub size_min_bytes: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub size_max_bytes: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub warm_after: Option<u64>,
    #[prost(uint64, optional, tag = "7")]
    pub cold_after: Option<u64>,
    #[prost(uint64, optional, tag = "8")]
    pub trace_after: Option<u64>,
    #[prost(uint64, optional, tag = "9")]
    pub purge_after: Option<u64>,
    #[prost(uint64, tag = "10")]
    pub grace: u64,
    #[prost(uint64, optional, tag = "11")]
    pub forget_after: Option<u64>,
    #[prost(uint64, tag = "12")]
    pub half_life: u64,
    #[prost(uint64, tag = "13")]
    pub birth_credit: u64,
    #[prost(uint64, tag = "14")]
    pub min_retention: u64,
    #[prost(uint64, tag = "15")]
    pub min_dwell: u64,
    #[prost(uint64, tag = "16")]
    pub restore_window: u64,
    #[prost(bool, tag = "17")]
    pub keep_original: bool,
    #[prost(bool, tag = "18")]
    pub legal_hold: bool,
    #[prost(uint64, tag = "19")]
    pub access_cooldown: u64,
    #[prost(double, tag = "20")]
    pub scan_weight: f64,
    #[prost(double, tag = "21")]
    pub weight: f64,
    #[prost(double, tag = "22")]
    pub fidelity_floor: f64,
    #[prost(uint64, tag = "23")]
    pub version: u64,
    #[prost(message, optional, tag = "24")]
    pub params: Option<ParamsRow>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ParamsRow {
    #[prost(double, tag = "1")]
    pub warm_quality: f64,
    #[prost(uint32, tag = "2")]
    pub warm_jpeg_quality_min: u32,
    #[prost(uint32, tag = "3")]
    pub warm_jpeg_quality_max: u32,
    #[prost(uint32, tag = "4")]
    pub cold_side_px: u32,
    #[prost(uint32, tag = "5")]
    pub cold_quality: u32,
    #[prost(double, tag = "6")]
    pub warm_share: f64,
    #[prost(double, tag = "7")]
    pub cold_share: f64,
    /// The value's name, as in SQL.
    #[prost(string, tag = "8")]
    pub transparency: String,
    #[prost(string, tag = "9")]
    pub picture_format: String,
}

impl PolicyRow {
    pub(crate) fn of(policy: &Policy) -> Self {
        let applies_to = &policy.applies_to;
        Self {
            tenant: policy.tenant.clone(),
            kinds: applies_to.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
            name_glob: applies_to.name_glob.clone(),
            size_min_bytes: applies_to.size_min_bytes,
            size_max_bytes: applies_to.size_max_bytes,
            warm_after: policy.warm_after.map(millis),
            cold_after: policy.cold_after.map(millis),
            trace_after: policy.trace_after.map(millis),
            purge_after: policy.purge_after.map(millis),
            grace: millis(policy.grace),
            forget_after: policy.forget_after.map(millis),
            half_life: millis(policy.half_life),
            birth_credit: millis(policy.birth_credit),
            min_retention: millis(policy.min_retention),
            min_dwell: millis(policy.min_dwell),
            restore_window: millis(policy.restore_window),
            keep_original: policy.keep_original,
            legal_hold: policy.legal_hold,
            access_cooldown: millis(policy.access_cooldown),
            scan_weight: policy.scan_weight,
            weight: policy.weight,
            fidelity_floor: policy.fidelity_floor,
            version: policy.version,
            params: Some(ParamsRow::of(&policy.params)),
        }
    }

    pub(crate) fn into_policy(self, name: &str) -> Policy {
        let ms = Duration::from_millis;
        let kinds = self.kinds.iter().filter_map(|kind| Kind::from_name(kind)).collect();
        Policy {
            name: name.to_owned(),
            tenant: self.tenant,
            applies_to: AppliesTo {
                kinds,
                name_glob: self.name_glob,
                size_min_bytes: self.size_min_bytes,
                size_max_bytes: self.size_max_bytes,
            },
            warm_after: self.warm_after.map(ms),
            cold_after: self.cold_after.map(ms),
            trace_after: self.trace_after.map(ms),
            purge_after: self.purge_after.map(ms),
            grace: ms(self.grace),
            forget_after: self.forget_after.map(ms),
            half_life: ms(self.half_life),
            birth_credit: ms(self.birth_credit),
            min_retention: ms(self.min_retention),
            min_dwell: ms(self.min_dwell),
            restore_window: ms(self.restore_window),
            keep_original: self.keep_original,
            legal_hold: self.legal_hold,
            access_cooldown: ms(self.access_cooldown),
            scan_weight: self.scan_weight,
            weight: self.weight,
            fidelity_floor: self.fidelity_floor,
            params: self.params.map(ParamsRow::into_params).unwrap_or_default(),
            version: self.version,
        }
    }
}

impl ParamsRow {
    fn of(params: &Params) -> Self {
        Self {
            warm_quality: params.warm_quality,
            warm_jpeg_quality_min: params.warm_jpeg_quality_min.into(),
            warm_jpeg_quality_max: params.warm_jpeg_quality_max.into(),
            cold_side_px: params.cold_side_px,
            cold_quality: params.cold_quality.into(),
            warm_share: params.warm_share,
            cold_share: params.cold_share,
            transparency: params.transparency.as_str().to_owned(),
            picture_format: params.picture_format.as_str().to_owned(),
        }
    }

    fn into_params(self) -> Params {
        let quality = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
        Params {
            warm_quality: self.warm_quality,
            warm_jpeg_quality_min: quality(self.warm_jpeg_quality_min),
            warm_jpeg_quality_max: quality(self.warm_jpeg_quality_max),
            cold_side_px: self.cold_side_px,
            cold_quality: quality(self.cold_quality),
            warm_share: self.warm_share,
            cold_share: self.cold_share,
            transparency: Transparency::from_name(&self.transparency).unwrap_or_default(),
            picture_format: PictureFormat::from_name(&self.picture_format).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::days;
    use crate::rows::{decode, encode};

    #[test]
    fn policies_round_trip() {
        let policy = Policy {
            tenant: Some("t".into()),
            applies_to: AppliesTo {
                kinds: vec![Kind::Log, Kind::Other],
                name_glob: Some("a/*".into()),
                size_min_bytes: Some(1),
                size_max_bytes: Some(2),
            },
            purge_after: Some(days(5000)),
            forget_after: Some(days(1)),
            legal_hold: true,
            params: Params {
                cold_side_px: 77,
                transparency: Transparency::Keep,
                picture_format: PictureFormat::WebP,
                ..Params::default()
            },
            version: 9,
            ..Policy::new("p")
        };
        let bytes = encode(&PolicyRow::of(&policy));
        assert_eq!(decode::<PolicyRow>(&bytes, "p").unwrap().into_policy("p"), policy);
    }
}
