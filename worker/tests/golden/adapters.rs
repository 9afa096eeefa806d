//! The kinds of adapter against PEFT: each case in f32 and bf16.

use super::curve;

macro_rules! adapters {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn f32_is_the_reference_s() {
                super::curve(concat!("adapters/", stringify!($name)));
            }

            #[test]
            fn bf16_is_near_the_reference_s() {
                super::curve(concat!("adapters/", stringify!($name), "_bf16"));
            }
        }
    )*};
}

adapters!(
    dora,
    dora_biased_rslora,
    ia3,
    ia3_biased,
    patterns,
    one_layer,
    expression,
    gaussian,
    pissa,
    head_and_norms_whole,
    embedding_and_linear_whole,
    tied_head_whole,
    bias_of_adapted,
    bias_of_all,
    embedding_and_head,
    loraplus,
    loraplus_embedding,
);
