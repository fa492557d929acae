//! Seconds since 1970 as Entra writes them.

/// `yyyy-MM-dd HH:mm:ssZ`, as in error bodies.
pub(crate) fn timestamp(seconds: u64) -> String {
    let (date, time) = split(seconds);
    format!("{date} {time}Z")
}

/// `yyyy-MM-ddTHH:mm:ss.0000000Z`, as in error texts.
pub(crate) fn round_trip(seconds: u64) -> String {
    let (date, time) = split(seconds);
    format!("{date}T{time}.0000000Z")
}

fn split(seconds: u64) -> (String, String) {
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!(
            "{:02}:{:02}:{:02}",
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60
        ),
    )
}

// The proleptic Gregorian calendar, counted in eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, wanted) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_763_806_272, "2025-11-22 10:11:12Z"),
            (4_102_444_799, "2099-12-31 23:59:59Z"),
        ] {
            assert_eq!(timestamp(seconds), wanted);
        }
        assert_eq!(round_trip(0), "1970-01-01T00:00:00.0000000Z");
    }
}
