//! Values of the wrong type and numbers out of their range.

use super::{bad, said};

bad! {
    text_where_a_number_belongs: said("lora_rank: many\n") => @r#"
        E0103 `lora_rank` must be a whole number from 1 to 65536, got the text `many`
          at run.yaml:4:12
           4 | lora_rank: many
             |            ^^^^
          without the key it would be its default, 8
          nothing was started
          fix: write it as in `lora_rank: 16`
        "#;
    a_fraction_where_a_whole_number_belongs: said("epochs: 1.5\n") => @r#"
        E0103 `epochs` must be a whole number from 1 to 1000000, got the number 1.5
          at run.yaml:4:9
           4 | epochs: 1.5
             |         ^^^
          without the key it would be its default, 3
          nothing was started
          fix: write it as in `epochs: 15`
        "#;
    a_leading_zero_is_no_number: said("save_steps: 010\n") => @r#"
        E0103 `save_steps` must be a whole number of at least 1, got the text `010`
          at run.yaml:4:13
           4 | save_steps: 010
             |             ^^^
          without the key it would be its default, 500
          nothing was started
          fix: write 10: a leading zero means octal to some programs
        "#;
    a_list_where_a_number_belongs: said("learning_rate: [1e-4, 2e-4] # both\n") => @r#"
        E0103 `learning_rate` must be a number above 0 and at most 1, got a list of 2
          at run.yaml:4:16
           4 | learning_rate: [1e-4, 2e-4] # both
             |                ^^^^^^^^^^^^
          without the key it would be its default, 2.0e-4
          nothing was started
          fix: write it as in `learning_rate: 1.5e-4`
        "#;
    an_empty_value_where_one_is_needed: said("lora_rank:\n") => @r#"
        E0103 `lora_rank` has no value
          at run.yaml:4:1
           4 | lora_rank:
             | ^^^^^^^^^
          without the key it would be its default, 8
          nothing was started
          fix: write a value, such as 16, or remove the key
        "#;
    yes_is_no_boolean: said("shuffle: yes\n") => @r#"
        E0103 `shuffle` must be `true` or `false`, got the text `yes`
          at run.yaml:4:10
           4 | shuffle: yes
             |          ^^^
          without the key it would be its default, true
          nothing was started
          fix: write `true`
        "#;
    a_number_is_no_boolean: said("bf16: 1\n") => @r#"
        E0103 `bf16` must be `true` or `false`, got the number 1
          at run.yaml:4:7
           4 | bf16: 1
             |       ^
          without the key it would be its default, false
          nothing was started
          fix: write it as in `bf16: true`
        "#;
    a_boolean_in_quotes_is_no_boolean: said("bf16: \"true\"\n") => @r#"
        E0103 `bf16` must be `true` or `false`, got the text `true`
          at run.yaml:4:7
           4 | bf16: "true"
             |       ^^^^^^
          without the key it would be its default, false
          nothing was started
          fix: write `true`, without quotes
        "#;
    a_number_where_a_path_belongs: said("init_adapter: 2024\n") => @r#"
        E0103 `init_adapter` must be a path or nothing, got the number 2024
          at run.yaml:4:15
           4 | init_adapter: 2024
             |               ^^^^
          without the key it would be nothing, its default
          nothing was started
          fix: put the path in quotes
        "#;
    a_rank_of_zero_is_out_of_range: said("lora_rank: 0\n") => @r#"
        E0104 `lora_rank` must be a whole number from 1 to 65536, got the number 0
          at run.yaml:4:12
           4 | lora_rank: 0
             |            ^
          without the key it would be its default, 8
          nothing was started
          fix: write it as in `lora_rank: 16`
        "#;
    a_negative_number_is_out_of_range: said("batch_size: -4\n") => @r#"
        E0104 `batch_size` must be a whole number from 1 to 65536, got the number -4
          at run.yaml:4:13
           4 | batch_size: -4
             |             ^^
          without the key it would be its default, 4
          nothing was started
          fix: write it as in `batch_size: 4`
        "#;
    a_huge_number_is_out_of_range: said("seed: 99999999999999999999999\n") => @r#"
        E0104 `seed` must be a whole number from 0 to 4294967295, got the number 100000000000000000000000
          at run.yaml:4:7
           4 | seed: 99999999999999999999999
             |       ^^^^^^^^^^^^^^^^^^^^^^^
          without the key it would be its default, 42
          nothing was started
          fix: write it as in `seed: 42`
        "#;
    a_learning_rate_without_its_exponent: said("learning_rate: 1.5\n") => @r#"
        E0104 `learning_rate` must be a number above 0 and at most 1, got the number 1.5
          at run.yaml:4:16
           4 | learning_rate: 1.5
             |                ^^^
          without the key it would be its default, 2.0e-4
          nothing was started
          fix: write it as in `learning_rate: 1.5e-4`
        "#;
    a_dropout_of_one: said("lora_dropout: 1.0\n") => @r#"
        E0104 `lora_dropout` must be a number of at least 0 and below 1, got the number 1
          at run.yaml:4:15
           4 | lora_dropout: 1.0
             |               ^^^
          without the key it would be its default, 0
          nothing was started
          fix: write it as in `lora_dropout: 0.1`
        "#;
    a_number_that_is_not_finite: said("weight_decay: .inf\n") => @r#"
        E0104 `weight_decay` must be a number of at least 0, got the number inf
          at run.yaml:4:15
           4 | weight_decay: .inf
             |               ^^^^
          without the key it would be its default, 0
          nothing was started
          fix: write it as in `weight_decay: 0.01`
        "#;
    no_steps_at_all: said("max_steps: 0\n") => @r#"
        E0104 `max_steps` must be a whole number of at least 1, or nothing, got the number 0
          at run.yaml:4:12
           4 | max_steps: 0
             |            ^
          without the key it would be nothing, its default
          nothing was started
          fix: write it as in `max_steps: 100`
        "#;
    a_detection_in_no_time: said("failure_detection: 0\n") => @r#"
        E0104 `failure_detection` must be a number of at least 0.2 and at most 3600, got the number 0
          at run.yaml:4:20
           4 | failure_detection: 0
             |                    ^
          without the key it would be its default, 8
          nothing was started
          fix: write it as in `failure_detection: 2`
        "#;
    an_audit_of_more_than_all: said("audit_rate: 1.5\n") => @r#"
        E0104 `audit_rate` must be a number of at least 0 and at most 1, got the number 1.5
          at run.yaml:4:13
           4 | audit_rate: 1.5
             |             ^^^
          without the key it would be its default, 0
          nothing was started
          fix: write it as in `audit_rate: 0.01`
        "#;
    a_loss_scale_that_is_no_power_of_two: said("initial_loss_scale: 1000\n") => @r#"
        E0104 `initial_loss_scale` must be a power of two from 1 to 2^62, got the number 1000
          at run.yaml:4:21
           4 | initial_loss_scale: 1000
             |                     ^^^^
          without the key it would be its default, 65536
          nothing was started
          fix: the next lower one is 512
        "#;
    a_maximum_of_no_workers: said("max_workers: 0\n") => @r#"
        E0104 `max_workers` must be a whole number from 1 to 65536, or nothing, got the number 0
          at run.yaml:4:14
           4 | max_workers: 0
             |              ^
          without the key it would be nothing, its default
          nothing was started
          fix: write it as in `max_workers: 16`
        "#;
}
