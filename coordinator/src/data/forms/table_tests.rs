//! Tables that are read, and those that are refused.

use std::path::Path;

use super::*;
use shared::error::render;

fn table(text: &str, named: Option<(&str, &str)>) -> Result<Parsed> {
    let named = named.map(|(q, a)| (q.to_owned(), a.to_owned()));
    let renaming = Renaming {
        csv: named.as_ref(),
        formats: &Default::default(),
    };
    let file = SourceFile::single(Path::new("law.csv"));
    let input = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
    let rows = Rows::of_text(Cells::new(&file.path, input, ','))?;
    super::super::batches::whole(open(&file, rows, renaming)?)
}

fn texts(parsed: &Parsed) -> Vec<(u64, Vec<&str>)> {
    let row = |c: &'_ Conversation| c.origin.line;
    parsed
        .conversations
        .iter()
        .map(|c| {
            (
                row(c),
                c.messages.iter().map(|m| m.content.as_str()).collect(),
            )
        })
        .collect()
}

#[test]
fn cells_are_taken_unchanged_with_their_line() {
    let parsed = table(
        "id,问题,回答\r\n1,\" 借款，\r\n\"\"怎么\"\"办？\",答\r\n\r\n2,b , c\r\n",
        None,
    )
    .unwrap();
    assert_eq!(
        texts(&parsed),
        [
            (2, vec![" 借款，\r\n\"怎么\"办？", "答"]),
            (5, vec!["b ", " c"])
        ]
    );
    assert_eq!(parsed.report.unused, ["id"]);
}

#[test]
fn configured_columns_win_and_an_input_is_joined_by_a_newline() {
    let parsed = table("a,b,prompt,answer\n1,2,3,4\n", Some(("b", "a"))).unwrap();
    assert_eq!(texts(&parsed), [(2, vec!["2", "1"])]);
    let parsed = table("instruction,input,output\nx,y,z\nx,,z\n", None).unwrap();
    assert_eq!(
        texts(&parsed),
        [(2, vec!["x\ny", "z"]), (3, vec!["x", "z"])]
    );
}

#[test]
fn tables_that_cannot_be_read_are_refused_with_their_line() {
    let error = |text: &str, named| render(&table(text, named).unwrap_err());
    insta::assert_snapshot!(error("question,answer\na,b\nc,d,e\n", None), @r#"
            E0305 a row of the table cannot be read
              at law.csv:3
              the row has 3 cells, the header 2
              fix: a cell with `,`, a quote or a line break must stand in double quotes
            "#);
    insta::assert_snapshot!(error("question,answer\na,\"b\nc,d\n", None), @r#"
    E0305 a quote is never closed
      at law.csv:2
      the row that begins here takes in the rest of the file
      the quoted cell begins in line 2: b c,d 
      fix: close the quote; a quote inside a quoted cell is written twice
    "#);
    insta::assert_snapshot!(error("id,text\n1,b\n", None), @r#"
    E0306 the table's columns are not known
      at law.csv:1
      its columns: id, text (no question and answer among them)
      known: question: prompt, question, instruction, query, 问题, 提问, 咨询, 用户, 客户, 问, 指令; answer: response, answer, output, completion, 回答, 答案, 解答, 回复, 律师, 答, 输出
      fix: --set csv_columns=[QUESTION_COLUMN,ANSWER_COLUMN] names them
      fix: --set 'columns=[question=id,answer=text]'
      fix: --set 'columns=[question=text,answer=id]'
    "#);
    insta::assert_snapshot!(error("question,answer\na,b\n", Some(("q", "answer"))), @r#"
    E0306 the table's columns are not known
      at law.csv:1
      its columns: question, answer (`csv_columns` names `q`, which is not among them)
      known: question: prompt, question, instruction, query, 问题, 提问, 咨询, 用户, 客户, 问, 指令; answer: response, answer, output, completion, 回答, 答案, 解答, 回复, 律师, 答, 输出
      fix: --set csv_columns=[QUESTION_COLUMN,ANSWER_COLUMN] names them
    "#);
    insta::assert_snapshot!(error("question,prompt,answer\na,b,c\n", None), @r#"
    E0310 the table's columns can be read in two ways
      at law.csv:1
      its columns: question, prompt, answer (both `question` and `prompt` could be meant)
      fix: --set 'columns=[question=question,answer=answer]'
      fix: --set 'columns=[question=prompt,answer=answer]'
    "#);
}

#[test]
fn other_separators_are_named_and_what_is_advised_works() {
    let error = |text: &str| render(&table(text, None).unwrap_err());
    insta::assert_snapshot!(error("Frage;Antwort\nWie lange?;Zwei Wochen.\n"));
    insta::assert_snapshot!(error("question;answer, short\na;b\n"));
    insta::assert_snapshot!(error("question\tanswer\na\tb\n"));
    insta::assert_snapshot!(error("question,answer,Answer\na,b,c\n"));
    let quoted = error("\"Frage\";\"Antwort\"\n\"a\";\"b\"\n");
    assert!(quoted.contains("sed -i '1i sep=;' 'law.csv'"), "{quoted}");
    let parsed = table("sep=;\n\"question\";\"answer\"\n\"a\";\"b\"\n", None).unwrap();
    assert_eq!(texts(&parsed), [(3, vec!["a", "b"])]);
    let parsed = table("sep=;\nquestion;answer\na,b;c\n", None).unwrap();
    assert_eq!(texts(&parsed), [(3, vec!["a,b", "c"])]);
    let parsed = table("sep=|\n\u{feff}question|answer\na;b|c\n", None).unwrap();
    assert_eq!(texts(&parsed), [(3, vec!["a;b", "c"])]);
}

#[test]
fn rows_without_a_text_and_titles_are_left_out_and_told() {
    let parsed = table("Fragen 2026,\n,\nquestion,answer\na,b\n,\n , \nc,d\n", None).unwrap();
    assert_eq!(texts(&parsed), [(4, vec!["a", "b"]), (7, vec!["c", "d"])]);
    assert_eq!(
        parsed.notices,
        [
            "law.csv: the header is in line 3; before it stands, not read: 1: Fragen 2026",
            "law.csv: 2 rows without a text, left out: lines 5, 6"
        ]
    );
}

#[test]
fn a_cell_that_swallowed_rows_is_told_and_prose_is_not() {
    let text = "id,question,answer\n1,\"a,b\n2,c,d\n3,e,f\n4,g,h\",i\n5,x,\"One,\ntwo, three\nand four\"\n";
    let parsed = table(text, None).unwrap();
    assert_eq!(parsed.conversations.len(), 2);
    assert!(
        parsed.notices[0].ends_with("lines 2"),
        "{:?}",
        parsed.notices
    );
}

proptest::proptest! {
    #[test]
    fn no_text_at_all_makes_the_reader_fall(text in "\\PC*|[,;\"=sep\n\r 问题答案questionanswer]*") {
        let _ = table(&text, None);
    }
}
