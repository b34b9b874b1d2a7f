//! The samples that travel inside the binary; `samples/README.md` says where each comes from.

macro_rules! samples {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/samples/", $name)))),+]
    };
}

/// Name and bytes of every sample, in the order they are imported.
pub const ALL: &[(&str, &[u8])] = samples![
    "airports.csv",
    "breast_cancer_f64.npy",
    "camera.png",
    "cars.json",
    "cc0.txt",
    "chelsea.png",
    "coffee.png",
    "data-model.pdf",
    "exif-photo.jpg",
    "gpl-3.txt",
    "hubble_deep_field.jpg",
    "report.docx",
    "rocket.jpg",
    "seattle-temps.csv",
    "slides.pptx",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_here_and_in_its_table() {
        let folder = std::fs::read_dir("samples").unwrap();
        let mut on_disk: BTreeSet<String> =
            folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(on_disk.remove("README.md"));
        let embedded: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(embedded, on_disk);
        let table = include_str!("../../../samples/README.md");
        for name in &embedded {
            assert!(table.contains(name.as_str()), "{name} has no origin in samples/README.md");
        }
    }
}
