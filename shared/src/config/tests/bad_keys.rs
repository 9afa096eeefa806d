//! Keys that are missing, misspelt, repeated or nested, in the file and by `--set`.

use super::{bad, load_text, said, said_of_set, shown};

bad! {
    a_misspelt_key_names_the_nearest: said("lora_rnak: 16\n") => @r#"
        E0102 unknown key `lora_rnak`
          at run.yaml:4:1
           4 | lora_rnak: 16
             | ^^^^^^^^^
          without it `lora_rank` would be its default, 8
          nothing was started
          fix: did you mean `lora_rank`?
        "#;
    a_misspelt_required_key_is_told_once:
        shown(load_text("train_data_dir: d\nbase_modle: b\noutput_dir: o\n", &[]).unwrap_err()) => @r#"
        E0102 unknown key `base_modle`
          at run.yaml:2:1
           2 | base_modle: b
             | ^^^^^^^^^^
          `base_model` is required
          nothing was started
          fix: did you mean `base_model`?
        "#;
    a_misspelt_key_beside_the_right_one_says_nothing_of_defaults:
        said("lora_rank: 4\nlora_ranks: 8\n") => @r#"
        E0102 unknown key `lora_ranks`
          at run.yaml:5:1
           5 | lora_ranks: 8
             | ^^^^^^^^^^
          nothing was started
          fix: did you mean `lora_rank`?
        "#;
    a_name_that_resembles_ours_is_pointed_at_ours: said("train_epochs: 3\n") => @r#"
        E0102 unknown key `train_epochs`
          at run.yaml:4:1
           4 | train_epochs: 3
             | ^^^^^^^^^^^^
          without it `epochs` would be its default, 3
          nothing was started
          fix: this is called `epochs` here
        "#;
    a_strange_key_is_to_be_removed: said("gradient_offloading: true\n") => @r#"
        E0102 unknown key `gradient_offloading`
          at run.yaml:4:1
           4 | gradient_offloading: true
             | ^^^^^^^^^^^^^^^^^^^
          nothing was started
          fix: remove it; the nearest key is `gradient_accumulation_steps`, and `coordinator schema` lists them all
        "#;
    a_section_is_refused_since_keys_are_flat: said("training:\n  lora_rank: 8\n") => @r#"
        E0102 unknown key `training`
          at run.yaml:4:1
           4 | training:
             | ^^^^^^^^
          all keys are flat: there are no sections
          nothing was started
          fix: remove it; the nearest key is `packing`, and `coordinator schema` lists them all
        "#;
    a_key_that_is_no_text_is_refused: said("5: x\n") => @r#"
        E0102 a key must be text, got the number 5
          at run.yaml:4:1
           4 | 5: x
             | ^
          nothing was started
          fix: remove it; `coordinator schema` lists every key
        "#;
    a_merge_key_is_only_an_unknown_key: said("<<: {lora_rank: 8}\n") => @r#"
        E0102 unknown key `<<`
          at run.yaml:4:1
           4 | <<: {lora_rank: 8}
             | ^^
          all keys are flat: there are no sections
          nothing was started
          fix: remove it; the nearest key is `data_form`, and `coordinator schema` lists them all
        "#;
    a_missing_key_is_named:
        shown(load_text("train_data_dir: d\nbase_model: b\n", &[]).unwrap_err()) => @r#"
        E0101 the required key `output_dir` is missing
          at run.yaml
          `output_dir`: folder for the adapter, checkpoints, logs and the resolved configuration
          nothing was started
          fix: add `output_dir: ./output/law_lora`
        "#;
    an_empty_file_names_all_required_keys: shown(load_text("# nothing\n", &[]).unwrap_err()) => @r#"
        E0101 the required keys `train_data_dir`, `base_model`, `output_dir` are missing
          at run.yaml
          `train_data_dir`: folder or file with the training data
          `base_model`: Hugging Face folder of the base model
          `output_dir`: folder for the adapter, checkpoints, logs and the resolved configuration
          nothing was started
          fix: add `train_data_dir: ./data/law_train`
          fix: add `base_model: ./models/tiny-law`
          fix: add `output_dir: ./output/law_lora`
        "#;
    an_empty_required_key_is_missing:
        shown(load_text("train_data_dir: d\nbase_model:\noutput_dir: ''\n", &[]).unwrap_err()) => @r#"
        E0101 `base_model` is required and empty
          at run.yaml:2:1
           2 | base_model:
             | ^^^^^^^^^^
          `base_model` is the Hugging Face folder of the base model
          nothing was started
          fix: write it as in `base_model: ./models/tiny-law`

        E0101 `output_dir` is required and empty
          at run.yaml:3:13
           3 | output_dir: ''
             |             ^^
          `output_dir` is the folder for the adapter, checkpoints, logs and the resolved configuration
          fix: write it as in `output_dir: ./output/law_lora`
        "#;
    a_key_written_twice: said("lora_rank: 8\nseed: 1\nlora_rank: 16\n") => @r#"
        E0105 `lora_rank` is written twice
          at run.yaml:6:1
           6 | lora_rank: 16
             | ^^^^^^^^^
          first in line 4
          nothing was started
          fix: keep one of the two lines
        "#;
    a_misspelt_key_by_set: said_of_set(&["lora_rnak=16"]) => @r#"
        E0102 unknown key `lora_rnak`
          at --set lora_rnak=16
          without it `lora_rank` would be its default, 8
          nothing was started
          fix: did you mean `lora_rank`?
        "#;
    a_set_without_a_value: said_of_set(&["lora_rank"]) => @r#"
        E0109 `--set` needs `key=value`
          at --set lora_rank
          nothing was started
          fix: write it as in `--set lora_rank=16`
        "#;
    a_set_that_is_not_yaml: said_of_set(&["target_modules=[q_proj"]) => @r#"
        E0106 this is not YAML: unclosed bracket '['
          at --set target_modules=[q_proj
          nothing was started
          fix: put the whole `key=value` in quotes, as in `--set 'target_modules=[q_proj, v_proj]'`
        "#;
    all_problems_are_told_in_the_order_of_the_file:
        said("batch_size: 0\nlora_rnak: 16\nbf16: yes\nfp16: maybe\nlora_dropout: 2\n") => @r#"
        E0104 `batch_size` must be a whole number from 1 to 65536, got the number 0
          at run.yaml:4:13
           4 | batch_size: 0
             |             ^
          without the key it would be its default, 4
          nothing was started
          fix: write it as in `batch_size: 4`

        E0102 unknown key `lora_rnak`
          at run.yaml:5:1
           5 | lora_rnak: 16
             | ^^^^^^^^^
          without it `lora_rank` would be its default, 8
          fix: did you mean `lora_rank`?

        E0103 `bf16` must be `true` or `false`, got the text `yes`
          at run.yaml:6:7
           6 | bf16: yes
             |       ^^^
          without the key it would be its default, false
          fix: write `true`

        E0103 `fp16` must be `true` or `false`, got the text `maybe`
          at run.yaml:7:7
           7 | fp16: maybe
             |       ^^^^^
          without the key it would be its default, false
          fix: write it as in `fp16: false`

        E0104 `lora_dropout` must be a number of at least 0 and below 1, got the number 2
          at run.yaml:8:15
           8 | lora_dropout: 2
             |               ^
          without the key it would be its default, 0
          fix: write it as in `lora_dropout: 0.1`
        "#;
}
