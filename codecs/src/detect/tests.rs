use super::*;

/// The media type of a head under a name.
fn mime(head: &[u8], name: &str) -> String {
    detect(head, name).mime.into_owned()
}

/// A zip of stored entries, as far as detection looks.
fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in entries {
        let mut header = [0u8; 30];
        header[..4].copy_from_slice(b"PK\x03\x04");
        header[26..28].copy_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(content.as_bytes());
    }
    bytes
}

#[test]
fn content_beats_a_name_that_lies() {
    assert_eq!(
        mime(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0", "report.txt"),
        "image/png"
    );
    assert_eq!(mime(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "photo.jpg"), "application/pdf");
    assert_eq!(mime(b"Just a few words of prose.", "photo.jpg"), "text/plain");
    assert_eq!(mime(b"Just a few words of prose.", "data.csv"), "text/plain");
    assert_eq!(mime(b"Just a few words of prose.", "data.json"), "text/plain");
    assert_eq!(mime(b"{\"a\": 1}", "notes.txt"), "application/json");
    assert_eq!(mime(b"\x00\x01\x02\x03\xfa\xfb", "notes.txt"), "application/octet-stream");
}

#[test]
fn words_that_are_also_signatures_are_words() {
    assert_eq!(mime(b"BMW builds cars. MZ built motorcycles.", "cars.txt"), "text/plain");
    assert_eq!(mime(b"MZ was a maker of motorcycles in Zschopau.", "mz"), "text/plain");
}

#[test]
fn tensors_have_signatures_of_their_own() {
    assert_eq!(mime(b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}", ""), "application/x-npy");
    let header = br#"{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let mut safetensors = (header.len() as u64).to_le_bytes().to_vec();
    safetensors.extend_from_slice(header);
    safetensors.extend_from_slice(&[0; 8]);
    assert_eq!(mime(&safetensors, "model.bin"), "application/x-safetensors");
    assert_eq!(detect(&safetensors, "").kind, Kind::Tensor);
    assert_eq!(mime(&zip(&[("a.npy", "\u{93}NUMPY"), ("b.npy", "")]), "arrays"), "application/x-npz");
}

#[test]
fn a_zip_is_what_it_holds() {
    let office = |part: &str| zip(&[("[Content_Types].xml", "<Types/>"), (part, "<x/>")]);
    let suffix = |bytes: &[u8], name: &str| mime(bytes, name).rsplit(['.', '/']).next().unwrap().to_owned();
    assert_eq!(suffix(&office("word/document.xml"), "a.zip"), "document");
    assert_eq!(suffix(&office("ppt/presentation.xml"), "a.zip"), "presentation");
    assert_eq!(suffix(&office("xl/workbook.xml"), "a.zip"), "sheet");
    assert_eq!(detect(&office("xl/workbook.xml"), "a.zip").kind, Kind::Table);
    let odt = zip(&[("mimetype", "application/vnd.oasis.opendocument.text"), ("content.xml", "")]);
    assert_eq!(mime(&odt, "letter"), "application/vnd.oasis.opendocument.text");
    assert_eq!(mime(&zip(&[("photos/1.jpg", "")]), "photos.docx"), "application/zip");
    // The telling entry lies beyond the head: the name decides among the office formats.
    assert_eq!(suffix(&office("docProps/app.xml"), "a.pptx"), "presentation");
}

#[test]
fn texts_are_told_apart_by_their_grammar() {
    let cases: [(&[u8], &str, &str); 22] = [
        (b"[1, 2, {\"a\": null}]", "", "application/json"),
        (b"{\"a\": 1}\n{\"a\": 2}\n", "", "application/x-ndjson"),
        (b"{\"a\": 1} and then prose", "", "text/plain"),
        (b"{not json at all}", "", "text/plain"),
        (b"<!DOCTYPE html><html><body>Hi</body></html>", "", "text/html"),
        (b"<?xml version=\"1.0\"?><svg xmlns=\"x\"/>", "", "image/svg+xml"),
        (b"<?xml version=\"1.0\"?><feed/>", "", "application/xml"),
        (b"#!/usr/bin/env python3\nprint(1)\n", "tool", "text/x-python"),
        (b"#!/bin/sh\nexit 0\n", "tool", "text/x-shellscript"),
        (b"id,name\n1,Anna\n2,Berta\n3,\"C, D\"\n", "", "text/csv"),
        (b"id;name\n1;Anna\n2;Berta\n3;Carla\n", "export", "text/csv"),
        (b"id\tname\n1\tAnna\n2\tBerta\n3\tCarla\n", "", "text/tab-separated-values"),
        (b"569,30,x\n1,2,3,4\n5,6,7,8\n9,1,2,3\n", "", "text/csv"),
        (b"date,temp\n2010/01/01 00:00:00,39.4\n2010/01/01 01:00:00,39.2\n2010/01/01 02:00:00,39.0\n", "", "text/csv"),
        (b"Ah, the sea.\nOh, the sun.\nEh, the rain.\nUh, the end.\n", "", "text/plain"),
        (b"2024-05-01T10:00:00Z INFO up\n2024-05-01T10:00:01Z WARN slow disk\n2024-05-01T10:00:02Z INFO on\n", "", "text/x-log"),
        (b"2024-05-01 10:00:00,123 INFO a b\n2024-05-01 10:00:01,456 ERROR c\n2024-05-01 10:00:02,789 INFO d\n", "", "text/x-log"),
        (b"Nov 21 10:00:00 host sshd[1]: session opened\nNov 21 10:00:05 host sshd[1]: closed by peer\nNov 21 10:00:09 host cron: run\n", "", "text/x-log"),
        (b"127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200 23\n::1 - - [10/Oct/2000:13:55:37 -0700] \"GET /a HTTP/1.0\" 404 9\n::1 - - [10/Oct/2000:13:55:38 -0700] \"GET /b HTTP/1.0\" 200 9\n", "access", "text/x-log"),
        (b"# Title\n\nSome prose with a [link](http://x).\n\n- one\n- two\n", "", "text/markdown"),
        (b"use std::fmt;\n\nfn main() {\n    let x = 1;\n    print(x);\n}\n", "", "text/x-source"),
        (b"use std::fmt;\n\nfn main() {\n    let x = 1;\n}\n", "main.rs", "text/x-rust"),
    ];
    for (head, name, expected) in cases {
        assert_eq!(mime(head, name), expected, "{name} {:?}", String::from_utf8_lossy(head));
    }
}

#[test]
fn a_head_that_is_cut_in_the_middle_is_still_recognised() {
    let json = format!("[{}]", "{\"a\": 12345},".repeat(10_000));
    assert_eq!(mime(&json.as_bytes()[..HEAD_BYTES_MAX], ""), "application/json");
    let lines = "{\"a\": 12345}\n".repeat(10_000);
    assert_eq!(mime(&lines.as_bytes()[..HEAD_BYTES_MAX], ""), "application/x-ndjson");
    let prose = "ä".repeat(HEAD_BYTES_MAX);
    assert_eq!(mime(&prose.as_bytes()[..HEAD_BYTES_MAX - 1], ""), "text/plain");
    // A whole file that stops in the middle is no JSON.
    assert_eq!(mime(b"[1, 2, {\"a\":", ""), "text/plain");
}

#[test]
fn old_and_wide_encodings_are_text() {
    let utf16: Vec<u8> =
        [0xfeff].into_iter().chain("Grüße aus Köln.".encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(mime(&utf16, ""), "text/plain");
    assert_eq!(mime(b"Gr\xfc\xdfe aus K\xf6ln, es ist sch\xf6n hier.", ""), "text/plain");
    assert_eq!(mime(b"\xef\xbb\xbfid,name\n1,a\n2,b\n3,c\n", ""), "text/csv");
}

#[test]
fn an_empty_file_is_what_its_name_says() {
    assert_eq!(mime(b"", "a.md"), "text/markdown");
    assert_eq!(mime(b"", ""), "text/plain");
}

#[test]
fn compound_files_are_told_apart_by_their_streams() {
    let compound = |at: usize, bytes: &[u8]| {
        let mut file = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
        file.resize(2048, 0);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let utf16 = |name: &str| name.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    for (file, name, mime) in [
        (compound(1024, &utf16("Workbook")), "x", "application/vnd.ms-excel"),
        (compound(1024, &utf16("WordDocument")), "x.xls", "application/msword"),
        (compound(512, b"\x09\x08\x10\x00\x00\x06"), "x", "application/vnd.ms-excel"),
        (compound(512, b""), "x.xls", "application/vnd.ms-excel"),
        (compound(512, b""), "x.png", "application/x-ole-storage"),
    ] {
        assert_eq!(detect(&file, name).mime, mime);
    }
}
