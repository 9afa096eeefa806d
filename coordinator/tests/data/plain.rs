//! `data_form: text`: plain text is learned whole, cut at token borders without a loss.

use shared::dataset::PreparedDataset;

use crate::house::{House, jsonl};

#[test]
fn every_token_of_a_text_is_predicted_once_and_texts_stay_apart() {
    let text = "第一条 为了保护民事主体的合法权益，调整民事关系。\n\n第二条 民法调整平等主体之间的关系。\n";
    let files = || {
        House::new("chatml")
            .with("a.txt", text)
            .with("b.md", "第三条")
    };
    let sets = ["data_form=text", "max_seq_length=8"];
    let rows = |house: &House| {
        let folder = house.folder.path().join("rows");
        let path = house.prepare().unwrap().writer.publish(&folder).unwrap();
        let data = PreparedDataset::open(&path).unwrap();
        let row = |row| {
            let sample = data.sample(row).unwrap();
            (sample.ids.to_vec(), sample.targets.to_vec())
        };
        (0..data.len()).map(row).collect::<Vec<_>>()
    };
    let whole = rows(&files().configured(&sets[..1]));
    assert_eq!(whole.len(), 2);
    let tokenizer = files().tokenizer();
    let eos = tokenizer
        .eos_token()
        .and_then(|eos| tokenizer.token_id(eos));
    assert_eq!(whole[0].0.last().copied(), eos);
    assert_eq!(tokenizer.decode(&whole[0].0, true).unwrap(), text);
    let cut = rows(&files().configured(&sets));
    assert!(cut.len() > 3 && cut.iter().all(|(ids, _)| (2..=8).contains(&ids.len())));
    let mut all: Vec<u32> = Vec::new();
    // The rows behind those of the first text are the second one's.
    for (ids, targets) in &cut {
        if all.len() == whole[0].0.len() {
            break;
        }
        let context = usize::from(!all.is_empty());
        assert_eq!(
            all.last().filter(|_| context == 1),
            ids.first().filter(|_| context == 1)
        );
        assert!(targets[context..].iter().all(|target| *target == 1));
        all.extend(&ids[context..]);
    }
    assert_eq!(all, whole[0].0);
}

#[test]
fn rows_of_text_are_read_only_where_that_is_said() {
    let text = "{\"text\": \"第一条\", \"id\": 1}\n";
    let house = jsonl(text);
    assert!(
        house.error().contains("fix: or --set data_form=text"),
        "{}",
        house.error()
    );
    let house = house.configured(&["data_form=text"]);
    assert!(
        house.rows()[0].1.starts_with("第一条"),
        "{:?}",
        house.rows()
    );
    assert_eq!(house.prepare().unwrap().report.files[0].unused, ["id"]);
    let pair = jsonl("{\"question\": \"a\", \"answer\": \"b\"}").configured(&["data_form=text"]);
    assert!(
        pair.error().starts_with("E0306 a row has no text"),
        "{}",
        pair.error()
    );
}
