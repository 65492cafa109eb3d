//! CF-4: no text makes reading panic, and what was written is read back.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_text_makes_reading_panic(at in 0..KNOBS.len(), text in "\\PC{0,40}") {
        // CF-4; what is taken must be in range, so resolving it again through the builder holds.
        if let Ok(settings) = from_env(KNOBS[at].env, &text) {
            prop_assert!((1..=1024).contains(&settings.num_cpus));
            prop_assert!(settings.num_gpus >= 0.0 && settings.num_gpus.is_finite());
            prop_assert!(settings.resources.values().all(|v| *v >= 0.0 && v.is_finite()));
        }
    }

    #[test]
    fn no_number_makes_reading_panic(
        at in 0..KNOBS.len(),
        text in "[+-]?[0-9]{0,25}(\\.[0-9]{0,12})?(e[+-]?[0-9]{1,4})?(KiB|MiB|GiB|x|,a=|=)?",
    ) {
        if let Ok(settings) = from_env(KNOBS[at].env, &text) {
            prop_assert!(settings.stack_bytes.is_multiple_of(4096));
            prop_assert!((16 << 10..=1 << 30).contains(&settings.stack_bytes));
            for timeout in [settings.graph_submit_timeout, settings.graph_get_timeout] {
                prop_assert!(timeout.limit() <= Some(Duration::from_secs(1_000_000_000)));
            }
        }
    }

    #[test]
    fn written_resources_are_read_back(
        amounts in prop::collection::btree_map("[a-z_.][a-z0-9_.-]{2,9}", 0.0..1e9, 0..6),
    ) {
        prop_assume!(!amounts.contains_key("cpu") && !amounts.contains_key("gpu"));
        let text: Vec<String> = amounts.iter().map(|(name, v)| format!("{name}={v}")).collect();
        let settings = from_env("MASER_RESOURCES", &text.join(",")).expect("valid");
        prop_assert_eq!(settings.resources, amounts);
    }
}
