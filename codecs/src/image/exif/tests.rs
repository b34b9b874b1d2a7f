use super::*;

fn block(fields: &[(Tag, &str)], orientation: u16) -> Vec<u8> {
    let mut all: Vec<Field> = fields
        .iter()
        .map(|(tag, text)| Field {
            tag: *tag,
            ifd_num: In::PRIMARY,
            value: Value::Ascii(vec![text.as_bytes().to_vec()]),
        })
        .collect();
    all.push(Field { tag: Tag::Orientation, ifd_num: In::PRIMARY, value: Value::Short(vec![orientation]) });
    let mut writer = Writer::new();
    all.iter().for_each(|field| writer.push_field(field));
    let mut out = Cursor::new(Vec::new());
    writer.write(&mut out, false).unwrap();
    out.into_inner()
}

const CAMERA: [(Tag, &str); 4] = [
    (Tag::Make, "Acme"),
    (Tag::Model, "Acme One"),
    (Tag::DateTimeOriginal, "2009:07:04 18:30:00"),
    (Tag::Software, "Darkroom 3"),
];

#[test]
fn facts_are_read_and_a_model_does_not_repeat_its_maker() {
    let facts = facts(&block(&CAMERA, 6));
    assert_eq!(facts.taken.as_deref(), Some("2009:07:04 18:30:00"));
    assert_eq!(facts.camera.as_deref(), Some("Acme One"));
    assert_eq!(facts.original_px, None);
}

#[test]
fn the_orientation_is_read_and_never_written_again() {
    let block = block(&CAMERA, 6);
    assert_eq!(orientation(&block), 6);
    for extent in [Extent::Full, Extent::Essential] {
        let carried = carried(Some(&block), (40, 30), extent).unwrap();
        assert_eq!(orientation(&carried), 1);
        assert_eq!(facts(&carried).taken, facts(&block).taken);
    }
}

#[test]
fn the_first_original_size_survives_all_reductions() {
    let once = carried(Some(&block(&CAMERA, 1)), (4000, 3000), Extent::Full).unwrap();
    let twice = carried(Some(&once), (1024, 768), Extent::Essential).unwrap();
    assert_eq!(facts(&twice).original_px, Some((4000, 3000)));
}

#[test]
fn only_essentials_stay_at_cold() {
    let has_software = |extent| {
        let carried = carried(Some(&block(&CAMERA, 1)), (4, 3), extent).unwrap();
        parse(&carried).unwrap().get_field(Tag::Software, In::PRIMARY).is_some()
    };
    assert!(has_software(Extent::Full));
    assert!(!has_software(Extent::Essential));
}

#[test]
fn nonsense_is_upright_and_without_facts() {
    for nonsense in [&b""[..], b"II*\0\xff\xff\xff\xff", b"no tiff at all", &[0xff; 64]] {
        assert_eq!(orientation(nonsense), 1);
        assert_eq!(facts(nonsense), Facts::default());
        assert!(carried(Some(nonsense), (1, 1), Extent::Full).is_some());
    }
    assert_eq!(orientation(&block(&CAMERA, 77)), 1);
}
