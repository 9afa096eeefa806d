//! The model families against transformers: each case in f32 and bf16.

use super::curve;

macro_rules! families {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn f32_is_the_reference_s() {
                super::curve(concat!("families/", stringify!($name)));
            }

            #[test]
            fn bf16_is_near_the_reference_s() {
                super::curve(concat!("families/", stringify!($name), "_bf16"));
            }
        }
    )*};
}

families!(
    llama_old_layout,
    llama_dynamic,
    mistral_window,
    qwen2_window_off,
    qwen2_window_on,
    qwen3,
    gemma2,
    gemma3,
    gemma3_old_layout,
    phi3_longrope,
    phi3_window,
    mixtral,
    mixtral_one_tensor,
    qwen3_moe,
    qwen3_moe_unnormed,
);
