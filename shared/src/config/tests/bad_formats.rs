//! Sources, columns and roles that cannot be meant.

use super::{bad, said};

bad! {
    a_source_without_a_weight: said("data_sources: ['law=much']\n") => @r##"
        E0104 `data_sources`: "law=much" is no path with a weight
          at run.yaml:4:16
           4 | data_sources: ['law=much']
             |                ^^^^^^^^^^
          without the key it would be its default, []
          nothing was started
          fix: write PATH=WEIGHT, the weight from 0.000001 to 1000000, as in `law=3`
        "##;
    a_source_twice: said("data_sources: ['law=1', './law/=2']\n") => @r##"
        E0105 `data_sources` names law twice
          at run.yaml:4:25
           4 | data_sources: ['law=1', './law/=2']
             |                         ^^^^^^^^^^
          without the key it would be its default, []
          nothing was started
          fix: name each path once, with one weight
        "##;
    a_part_nobody_knows: said("columns: ['questoin=frage']\n") => @r##"
        E0104 `columns` must be a list of texts PART=NAME, each part `question`, `answer`, `input`, `system`, `history`, `messages`, `role`, `content`, `tools`, `input_ids`, `labels` or `attention_mask`, got the text `questoin=frage`
          at run.yaml:4:11
           4 | columns: ['questoin=frage']
             |           ^^^^^^^^^^^^^^^^
          without the key it would be its default, []
          nothing was started
          fix: did you mean `question`?
        "##;
    a_part_under_a_name_and_under_none: said("columns: [input=a, 'input=']\n") => @r##"
        E0105 `columns`: `input=` contradicts `input=a`
          at run.yaml:4:20
           4 | columns: [input=a, 'input=']
             |                    ^^^^^^^^
          without the key it would be its default, []
          nothing was started
          fix: keep one of the two
        "##;
    a_name_twice: said("roles: [user=甲, assistant=甲]\n") => @r##"
        E0105 `roles`: `assistant=甲` contradicts `user=甲`
          at run.yaml:4:17
           4 | roles: [user=甲, assistant=甲]
             |                  ^^^^^^^^^^^^
          without the key it would be its default, []
          nothing was started
          fix: keep one of the two
        "##;
    columns_and_csv_columns: said("csv_columns: [a, b]\ncolumns: [question=a]\n") => @r##"
        E0105 `csv_columns` and `columns` are both set
          at run.yaml:5:10
           5 | columns: [question=a]
             |          ^^^^^^^^^^^^
          `csv_columns` is set by run.yaml:4; both say where the samples are found
          nothing was started
          fix: remove one of them; `columns` says more
        "##;
    sources_and_metadata: said("metadata_path: m.csv\ndata_sources: [a]\n") => @r##"
        E0105 `metadata_path` and `data_sources` are both set
          at run.yaml:5:15
           5 | data_sources: [a]
             |               ^^^
          `metadata_path` is set by run.yaml:4; both say where the samples are found
          nothing was started
          fix: remove one of them; `data_sources` says more
        "##;
}
