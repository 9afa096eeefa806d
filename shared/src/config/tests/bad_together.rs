//! Keys that are right alone and contradict each other.

use super::{MINIMAL, bad, load_text, said, shown};

bad! {
    fp16_and_bf16: said("fp16: true\nbf16: true\n") => @r#"
        E0105 `fp16` and `bf16` are both true
          at run.yaml:5:7
           5 | bf16: true
             |       ^^^^
          `fp16` is true by run.yaml:4, and compute has one data type
          nothing was started
          fix: keep one of them, such as `--set fp16=false`
        "#;
    fp16_in_the_file_and_bf16_by_set:
        shown(load_text(&format!("{MINIMAL}fp16: true\n"), &["bf16=true"]).unwrap_err()) => @r#"
        E0105 `fp16` and `bf16` are both true
          at --set bf16=true
          `fp16` is true by run.yaml:4, and compute has one data type
          nothing was started
          fix: keep one of them, such as `--set fp16=false`
        "#;
    the_whole_sequence_and_the_last_answer: said("train_on_inputs: true\nloss_on: last\n") => @r#"
        E0105 `train_on_inputs` is true, and `loss_on` is not `all`
          at run.yaml:5:10
           5 | loss_on: last
             |          ^^^^
          `train_on_inputs` is set by run.yaml:4; `train_on_inputs: true` and `loss_on: all` mean the same
          nothing was started
          fix: --set train_on_inputs=false goes with this `loss_on`
          fix: or remove `train_on_inputs`: `loss_on` alone says it all
        "#;
    answers_only_and_the_whole_sequence:
        shown(load_text(&format!("{MINIMAL}loss_on: all\n"), &["train_on_inputs=false"]).unwrap_err()) => @r#"
        E0105 `train_on_inputs` is false, and `loss_on` is `all`
          at --set train_on_inputs=false
          `loss_on` is set by run.yaml:4; `train_on_inputs: true` and `loss_on: all` mean the same
          nothing was started
          fix: --set train_on_inputs=true goes with this `loss_on`
          fix: or remove `train_on_inputs`: `loss_on` alone says it all
        "#;
    a_micro_batch_over_the_batch: said("batch_size: 2\nmicro_batch_size: 3\n") => @r#"
        E0104 `micro_batch_size` must be at most `batch_size`, got 3 over 2
          at run.yaml:5:19
           5 | micro_batch_size: 3
             |                   ^
          a micro-batch is cut from a batch
          nothing was started
          fix: write at most 2, or remove the key
        "#;
    a_maximum_of_workers_under_the_minimum: said("min_workers: 4\nmax_workers: 2\n") => @r#"
        E0105 `max_workers` must be at least `min_workers`, got 2 under 4
          at run.yaml:5:14
           5 | max_workers: 2
             |              ^
          `min_workers` is 4 by run.yaml:4
          the run pauses below 4 workers, and no more than 2 would count
          nothing was started
          fix: --set max_workers=4, or more
          fix: --set min_workers=2, or fewer
        "#;
    a_minimum_by_set_over_the_maximum_of_the_file:
        shown(load_text(&format!("{MINIMAL}max_workers: 2\n"), &["min_workers=4"]).unwrap_err()) => @r#"
        E0105 `max_workers` must be at least `min_workers`, got 2 under 4
          at --set min_workers=4
          `max_workers` is 2 by run.yaml:4
          the run pauses below 4 workers, and no more than 2 would count
          nothing was started
          fix: --set max_workers=4, or more
          fix: --set min_workers=2, or fewer
        "#;
    a_ride_shorter_than_the_detection: said("failure_detection: 2.5\nride_through: 1\n") => @r#"
        E0105 `ride_through` must be at least `failure_detection`, got 1 s under 2.5 s
          at run.yaml:5:15
           5 | ride_through: 1
             |               ^
          `failure_detection` is 2.5 by run.yaml:4
          a worker would give up before it can know that the coordinator is away
          nothing was started
          fix: --set ride_through=2.5, or more, or a smaller `failure_detection`
        "#;
    a_detection_longer_than_the_default_ride: said("failure_detection: 120\n") => @r#"
        E0105 `ride_through` must be at least `failure_detection`, got 60 s under 120 s
          at run.yaml:4:20
           4 | failure_detection: 120
             |                    ^^^
          `ride_through` is 60 by default
          a worker would give up before it can know that the coordinator is away
          nothing was started
          fix: --set ride_through=120, or more, or a smaller `failure_detection`
        "#;
    a_parent_beside_a_first_adapter: said("parent: out\ninit_adapter: a\n") => @r#"
        E0105 `parent` and `init_adapter` are both given
          at run.yaml:5:15
           5 | init_adapter: a
             |               ^
          `parent` is /start/out by run.yaml:4
          a run starts from one adapter
          nothing was started
          fix: --set init_adapter= goes on from `parent`
          fix: --set parent= starts from `init_adapter`
        "#;
    grouped_by_length_in_the_files_order: said("shuffle: false\ngroup_by_length: true\n") => @r#"
        E0105 `group_by_length` is true and `shuffle` is false
          at run.yaml:5:18
           5 | group_by_length: true
             |                  ^^^^
          `shuffle` is false by run.yaml:4
          the samples have one order: by length, or that of the files
          nothing was started
          fix: --set group_by_length=false keeps the files' order
          fix: --set shuffle=true groups by length
        "#;
    two_contradictions_in_the_order_of_the_file:
        said("ride_through: 0\nmax_workers: 1\nmin_workers: 2\n") => @r#"
        E0105 `ride_through` must be at least `failure_detection`, got 0 s under 8 s
          at run.yaml:4:15
           4 | ride_through: 0
             |               ^
          `failure_detection` is 8 by default
          a worker would give up before it can know that the coordinator is away
          nothing was started
          fix: --set ride_through=8, or more, or a smaller `failure_detection`

        E0105 `max_workers` must be at least `min_workers`, got 1 under 2
          at run.yaml:6:14
           6 | min_workers: 2
             |              ^
          `max_workers` is 1 by run.yaml:5
          the run pauses below 2 workers, and no more than 1 would count
          fix: --set max_workers=2, or more
          fix: --set min_workers=1, or fewer
        "#;
}
