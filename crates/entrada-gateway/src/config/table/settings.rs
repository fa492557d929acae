//! The settings themselves, under their headings.

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

const IN_ORDER: [&[Setting]; 6] = [
    protect::SETTINGS,
    entra::SETTINGS,
    tokens::SETTINGS,
    upstream::SETTINGS,
    calls::SETTINGS,
    process::SETTINGS,
];
