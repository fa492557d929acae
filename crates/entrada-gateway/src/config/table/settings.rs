//! The settings themselves, under their headings.

mod acme;
mod calls;
mod entra;
mod process;
mod protect;
mod tokens;
mod upstream;

use super::Setting;

/// All settings, in the order the help shows them.
pub(in crate::config) fn settings() -> impl Iterator<Item = &'static Setting> {
    IN_ORDER.iter().copied().flatten()
}

const IN_ORDER: [&[Setting]; 7] = [
    protect::SETTINGS,
    acme::SETTINGS,
    entra::SETTINGS,
    tokens::SETTINGS,
    upstream::SETTINGS,
    calls::SETTINGS,
    process::SETTINGS,
];
