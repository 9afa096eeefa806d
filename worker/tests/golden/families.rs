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

families!(llama_old_layout);
