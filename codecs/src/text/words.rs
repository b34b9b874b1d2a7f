//! Words, the words that say nothing, and which language they are of.

use unicode_segmentation::UnicodeSegmentation;

/// A longer "word" is data (a key, a blob in base64), not language.
const WORD_CHARS_MAX: usize = 40;

/// The most frequent function words of a language, by its ISO 639-1 code.
const LANGUAGES: [(&str, &str); 7] = [
    (
        "en",
        "the of and to in a is that it for on as with be by this are or an from at was not which have you has but \
         if they their will can all any may its such no other were when your been these there more than so we he \
         his her she would about into only also then some who what do does our each must shall had could should \
         them those under upon being because where how many most between through over",
    ),
    (
        "de",
        "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er \
         hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor \
         zur bis mehr durch man sein wurde wenn kann diese dieser ich wir ihr",
    ),
    (
        "fr",
        "de la le et les des en un du une que est pour qui dans par plus pas au sur ne se ce il sont la avec ou son \
         aux d'un cette d'une ont ses mais comme on tout nous sa fait été aussi leur bien peut ces entre sans vous \
         je elle",
    ),
    (
        "es",
        "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si sin \
         sobre este ya entre cuando todo esta ser son dos también fue había era muy años hasta desde está nos",
    ),
    (
        "it",
        "di e il la che in un a per è una sono con del non si da della le i al dei nel più alla come lo ha gli o \
         anche delle ma se su dal ed questo loro tra essere stato alle ci ad",
    ),
    (
        "pt",
        "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu \
         sua ou ser quando muito há nos já está eu também só pelo pela até isso",
    ),
    (
        "nl",
        "de van het een en in is dat op te zijn met voor niet aan er om ook als dan maar bij of uit nog naar door \
         over ze zich hij worden deze kan meer werd was wordt heeft hebben tot je geen",
    ),
];

/// A language is named when its function words are this share of all words.
const LANGUAGE_SHARE_MIN: f64 = 0.18;

/// The words in lower case; numbers are words, too.
pub(super) fn of(text: &str) -> impl Iterator<Item = String> {
    text.unicode_words().filter(|word| word.chars().count() <= WORD_CHARS_MAX).map(str::to_lowercase)
}

/// Recognises languages by their function words.
pub(super) struct Stopwords {
    by_word: std::collections::HashMap<&'static str, u8>,
}

impl Stopwords {
    pub(super) fn new() -> Self {
        let mut by_word = std::collections::HashMap::new();
        for (bit, (_, words)) in LANGUAGES.iter().enumerate() {
            for word in words.split_whitespace() {
                *by_word.entry(word).or_insert(0) |= 1u8 << bit;
            }
        }
        Self { by_word }
    }

    /// The language of a text, as an index for [`Stopwords::contains`], from its words and their counts.
    pub(super) fn guess<'a>(&self, counted: impl Iterator<Item = (&'a str, u32)>) -> Option<usize> {
        let mut hits = [0u64; LANGUAGES.len()];
        let mut total = 0u64;
        for (word, count) in counted {
            total += u64::from(count);
            if let Some(bits) = self.by_word.get(word) {
                for (language, hits) in hits.iter_mut().enumerate() {
                    *hits += u64::from(count) * u64::from(bits >> language & 1);
                }
            }
        }
        let best = (0..hits.len()).max_by_key(|language| (hits[*language], usize::MAX - language))?;
        (total > 0 && hits[best] as f64 / total as f64 >= LANGUAGE_SHARE_MIN).then_some(best)
    }

    /// Whether the word says nothing in this language; English when none was recognised.
    pub(super) fn contains(&self, language: Option<usize>, word: &str) -> bool {
        self.by_word.get(word).is_some_and(|bits| bits >> language.unwrap_or(0) & 1 == 1)
    }
}

/// The ISO 639-1 code of a language that [`Stopwords::guess`] named.
pub(super) fn language_code(language: usize) -> Option<&'static str> {
    LANGUAGES.get(language).map(|(code, _)| *code)
}
