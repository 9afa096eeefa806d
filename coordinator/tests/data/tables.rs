//! Workbooks and saved data sets: which part is read, what of a cell is a text, what is refused.

use std::fs;
use std::path::Path;

use shared::error::{Code, ExitCode};

use crate::house::House;

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats");
    fs::read(folder.join(name)).unwrap()
}

fn notices(house: &House) -> String {
    house
        .prepare()
        .map_err(|e| house.shown(&e))
        .unwrap()
        .report
        .notices
        .join("\n")
}

#[test]
fn of_several_sheets_none_is_chosen_and_what_is_advised_reads_one() {
    let house = House::new("chatml").with("a.xlsx", fixture("sheets.xlsx"));
    insta::assert_snapshot!(house.error());
    let house = house.set(|c| c.formats.sheets = vec!["2026".into()]);
    assert_eq!(house.rows().len(), 3);
    let said = notices(&house);
    assert!(
        said.contains("merged cells, whose text stands in the first cell only: A1:B1"),
        "{said}"
    );
    assert!(
        said.contains("the header is in line 3; before it stands, not read: 1: 劳动法问答 2026"),
        "{said}"
    );
    let house = house.set(|c| c.formats.sheets = vec!["2024".into()]);
    insta::assert_snapshot!(house.error());
    let both = House::new("chatml").with("a.xlsx", fixture("sheets.xlsx"));
    let both = both.set(|c| c.formats.sheets = vec!["2025".into(), "2026".into()]);
    assert_eq!(both.rows().len(), 4);
}

#[test]
fn a_workbook_that_is_none_is_refused_with_what_lies_beside_it() {
    let house = House::new("chatml")
        .with("~$案例.xlsx", "PK\u{3}\u{4}")
        .with("判决.pdf", "%PDF")
        .with("意见书.docx", "PK\u{3}\u{4}")
        .with("案例.xlsx", "PK\u{3}\u{4}");
    let error = house.prepare().unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Data);
    insta::assert_snapshot!(house.shown(&error));
    let cut = fixture("sheet.xlsx");
    for end in (0..cut.len()).step_by(97) {
        let house = House::new("chatml").with("a.xlsx", &cut[..end]);
        assert_eq!(house.prepare().unwrap_err().exit_code(), ExitCode::Data);
    }
}

#[test]
fn of_a_saved_data_set_every_shard_is_read_and_a_missing_one_is_refused() {
    let state = r#"{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": null}"#;
    let house = House::new("chatml")
        .with("law/data-00000-of-00001.arrow", fixture("pairs.arrow"))
        .with("law/cache-0f.arrow", fixture("pairs.arrow"))
        .with(
            "law/dataset_info.json",
            r#"{"features": {"question": {"dtype": "string"}}}"#,
        )
        .with("law/state.json", state);
    assert_eq!(house.rows().len(), 3);
    assert_eq!(
        notices(&house),
        "Arrow files that state.json does not name, not read: law/cache-0f.arrow"
    );
    let house = house.with("law/state.json", state.replace("00001", "00002"));
    assert_eq!(house.prepare().unwrap_err().code, Code::Unreadable);
    let cut = fixture("messages.arrow");
    for end in (1..cut.len()).step_by(61) {
        let house = House::new("chatml").with("a.arrow", &cut[..end]);
        if let Err(error) = house.prepare() {
            assert_eq!(error.exit_code(), ExitCode::Data, "{error:?}");
        }
    }
}
