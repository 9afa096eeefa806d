//! Words, lists and paths that a key does not take.

use super::{bad, load_text, said, said_of_set, shown};

bad! {
    a_word_that_is_no_choice: said("lr_scheduler_type: cosin\n") => @r#"
        E0104 `lr_scheduler_type` must be `linear`, `cosine`, `constant` or `constant_with_warmup`, got the text `cosin`
          at run.yaml:4:20
           4 | lr_scheduler_type: cosin
             |                    ^^^^^
          without the key it would be its default, linear
          nothing was started
          fix: did you mean `cosine`?
        "#;
    another_word_that_is_no_choice: said("overflow: wrap\n") => @r#"
        E0104 `overflow` must be `truncate`, `drop` or `error`, got the text `wrap`
          at run.yaml:4:11
           4 | overflow: wrap
             |           ^^^^
          without the key it would be its default, truncate
          nothing was started
          fix: write it as in `overflow: truncate`
        "#;
    a_device_class_that_is_a_device: said("device_class: cuda\n") => @r#"
        E0104 `device_class` must be `mixed` or `strict`, got the text `cuda`
          at run.yaml:4:15
           4 | device_class: cuda
             |               ^^^^
          without the key it would be its default, mixed
          nothing was started
          fix: write it as in `device_class: strict`
        "#;
    a_device_that_is_not_built: said("device: mps\n") => @r#"
        E0104 `device` must be `auto`, `cpu`, `cuda` or `cuda:N`, got the text `mps`
          at run.yaml:4:9
           4 | device: mps
             |         ^^^
          without the key it would be its default, auto
          nothing was started
          fix: write `cpu`: of the accelerators only CUDA is built
        "#;
    a_misspelt_device: said("device: cuda1\n") => @r#"
        E0104 `device` must be `auto`, `cpu`, `cuda` or `cuda:N`, got the text `cuda1`
          at run.yaml:4:9
           4 | device: cuda1
             |         ^^^^^
          without the key it would be its default, auto
          nothing was started
          fix: did you mean `cuda`?
        "#;
    another_task_is_not_built_yet: said("task_type: text-to-image\n") => @r#"
        E0107 `task_type: text-to-image` is not built yet
          at run.yaml:4:12
           4 | task_type: text-to-image
             |            ^^^^^^^^^^^^^
          without the key it would be its default, text-generation
          nothing was started
          fix: write `text-generation`: adapters for causal language models (PEFT's `CAUSAL_LM`) are the one task this version trains
        "#;
    a_misspelt_task: said("task_type: text_generation\n") => @r#"
        E0104 `task_type` must be `text-generation`, got the text `text_generation`
          at run.yaml:4:12
           4 | task_type: text_generation
             |            ^^^^^^^^^^^^^^^
          without the key it would be its default, text-generation
          nothing was started
          fix: did you mean `text-generation`?
        "#;
    no_target_module: said("target_modules: []\n") => @r#"
        E0104 `target_modules` must be a list of module names, one name, `all-linear`, `attention` or `mlp`, or `re:` and a regular expression, got an empty list
          at run.yaml:4:17
           4 | target_modules: []
             |                 ^^
          without the key it would be its default: [q_proj, v_proj], or [k_proj, v_proj, down_proj] with ia3
          nothing was started
          fix: write it as in `target_modules: [q_proj, v_proj]`
        "#;
    target_modules_in_one_text: said("target_modules: q_proj,v_proj\n") => @r#"
        E0104 `target_modules` must be a list of module names, one name, `all-linear`, `attention` or `mlp`, or `re:` and a regular expression, got the text `q_proj,v_proj`
          at run.yaml:4:17
           4 | target_modules: q_proj,v_proj
             |                 ^^^^^^^^^^^^^
          without the key it would be its default: [q_proj, v_proj], or [k_proj, v_proj, down_proj] with ia3
          nothing was started
          fix: write a list: [q_proj, v_proj]
        "#;
    a_pattern_of_target_modules: said("target_modules: '.*_proj'\n") => @r#"
        E0104 `target_modules` must be a list of module names, one name, `all-linear`, `attention` or `mlp`, or `re:` and a regular expression, got the text `.*_proj`
          at run.yaml:4:17
           4 | target_modules: '.*_proj'
             |                 ^^^^^^^^^
          without the key it would be its default: [q_proj, v_proj], or [k_proj, v_proj, down_proj] with ia3
          nothing was started
          fix: a regular expression is written as in `target_modules: 're:.*proj'`
        "#;
    a_target_module_that_is_no_text: said("target_modules:\n  - q_proj\n  - 7\n") => @r#"
        E0103 a name in `target_modules` must be text, got the number 7
          at run.yaml:6:5
           6 |   - 7
             |     ^
          without the key it would be its default: [q_proj, v_proj], or [k_proj, v_proj, down_proj] with ia3
          nothing was started
          fix: put the name in quotes
        "#;
    all_linear_among_names: said("target_modules: [q_proj, all-linear]\n") => @r#"
        E0105 `all-linear` in a list of `target_modules`
          at run.yaml:4:26
           4 | target_modules: [q_proj, all-linear]
             |                          ^^^^^^^^^^
          without the key it would be its default: [q_proj, v_proj], or [k_proj, v_proj, down_proj] with ia3
          nothing was started
          fix: write `target_modules: all-linear`, without other names
        "#;
    one_column: said("csv_columns: [question]\n") => @r#"
        E0104 `csv_columns` must be a list of two column names, or nothing, got a list of 1
          at run.yaml:4:14
           4 | csv_columns: [question]
             |              ^^^^^^^^^^
          without the key it would be nothing, its default
          nothing was started
          fix: write it as in `csv_columns: [question, answer]`
        "#;
    the_same_column_twice: said("csv_columns: [text, text]\n") => @r#"
        E0105 `csv_columns` names the same column twice
          at run.yaml:4:14
           4 | csv_columns: [text, text]
             |              ^^^^^^^^^^^^
          without the key it would be nothing, its default
          nothing was started
          fix: write it as in `csv_columns: [question, answer]`
        "#;
    a_bad_pattern: said("privacy_rules:\n  - 'CASE=\\d{4}'\n  - 'CONTRACT=HT-(\\d+'\n") => @r#"
        E0104 `privacy_rules`: the pattern of `CONTRACT` is no regular expression: unclosed group
          at run.yaml:6:5
           6 |   - 'CONTRACT=HT-(\d+'
             |     ^^^^^^^^^^^^^^^^^^
          without the key it would be its default, []
          nothing was started
          fix: look-around and back-references are not built; write a special character as itself with `\` before it
        "#;
    a_pattern_that_looks_behind: said_of_set(&["privacy_rules=['A=(?<=x)y']"]) => @r#"
        E0104 `privacy_rules`: the pattern of `A` is no regular expression: look-around, including look-ahead and look-behind, is not supported
          at --set privacy_rules=['A=(?<=x)y']
          without the key it would be its default, []
          nothing was started
          fix: look-around and back-references are not built; write a special character as itself with `\` before it
        "#;
    a_pattern_of_nothing: said("privacy_rules: ['A=x*']\n") => @r#"
        E0104 `privacy_rules`: the pattern of `A` matches the empty text
          at run.yaml:4:17
           4 | privacy_rules: ['A=x*']
             |                 ^^^^^^
          without the key it would be its default, []
          nothing was started
          fix: ask for at least one character, with `+` instead of `*`
        "#;
    a_rule_without_a_name: said("privacy_rules: ['[0-9]+']\n") => @r#"
        E0104 a rule in `privacy_rules` must begin with a name and `=`
          at run.yaml:4:17
           4 | privacy_rules: ['[0-9]+']
             |                 ^^^^^^^^
          without the key it would be its default, []
          nothing was started
          fix: a name has letters, digits and `_`, as in `CONTRACT=HT-[0-9]{6}`
        "#;
    a_rule_named_like_a_kind: said("privacy_rules: ['phone=[0-9]+']\n") => @r#"
        E0105 `privacy_rules`: the name `PHONE` is that of a built-in kind
          at run.yaml:4:17
           4 | privacy_rules: ['phone=[0-9]+']
             |                 ^^^^^^^^^^^^^^
          without the key it would be its default, []
          nothing was started
          fix: give each rule a name of its own; `A|B` matches either in one rule
        "#;
    a_kind_nobody_knows: said("privacy_kinds: [phones, email]\n") => @r#"
        E0104 `privacy_kinds` must be a list of `ids`, `passports`, `phones`, `bank_cards`, `emails`, `addresses`, `plates`, `names`, `medical_records` or `amounts`, or nothing, got the text `email`
          at run.yaml:4:25
           4 | privacy_kinds: [phones, email]
             |                         ^^^^^
          without the key it would be nothing, its default
          nothing was started
          fix: did you mean `emails`?
        "#;
    privacy_as_a_boolean: said("privacy: true\n") => @r#"
        E0103 `privacy` must be `off`, `scan` or `mask`, got the boolean true
          at run.yaml:4:10
           4 | privacy: true
             |          ^^^^
          without the key it would be its default, off
          nothing was started
          fix: write it as in `privacy: mask`
        "#;
    resume_as_a_boolean: said("resume_from_checkpoint: true\n") => @r#"
        E0103 `resume_from_checkpoint` must be `latest`, a checkpoint folder, or nothing, got the boolean true
          at run.yaml:4:25
           4 | resume_from_checkpoint: true
             |                         ^^^^
          without the key it would be nothing, its default
          nothing was started
          fix: write `latest` to continue from the newest checkpoint, or remove the key
        "#;
    a_bucket_for_the_output:
        shown(load_text("train_data_dir: d\nbase_model: b\noutput_dir: s3://bucket/run\n", &[]).unwrap_err()) => @r#"
        E0107 `output_dir` names an address; only local paths are built yet
          at run.yaml:3:13
           3 | output_dir: s3://bucket/run
             |             ^^^^^^^^^^^^^^^
          `output_dir` is the folder for the adapter, checkpoints, logs and the resolved configuration
          nothing was started
          fix: write a path such as ./output/law_lora
        "#;
    a_wrong_type_by_set: said_of_set(&["lora_rank=many"]) => @r#"
        E0103 `lora_rank` must be a whole number from 1 to 65536, got the text `many`
          at --set lora_rank=many
          without the key it would be its default, 8
          nothing was started
          fix: write it as in `--set lora_rank=16`
        "#;
    a_value_out_of_range_by_set: said_of_set(&["target_modules=[]"]) => @r#"
        E0104 `target_modules` must be a list of module names, one name, `all-linear`, `attention` or `mlp`, or `re:` and a regular expression, got an empty list
          at --set target_modules=[]
          without the key it would be its default: [q_proj, v_proj], or [k_proj, v_proj, down_proj] with ia3
          nothing was started
          fix: write it as in `--set target_modules=[q_proj,v_proj]`
        "#;
}
