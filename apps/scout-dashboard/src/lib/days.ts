const DAY = 86_400_000

/** The ISO day `days` before another; the same text if it is not a day. */
export function daysBefore(day: string, days: number): string {
  const time = Date.parse(day)
  return Number.isNaN(time) ? day : new Date(time - days * DAY).toISOString().slice(0, 10)
}

/** Today in the user's time zone. */
export function today(now = new Date()): string {
  const two = (n: number) => String(n).padStart(2, '0')
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`
}

/** A text from the address if it is an ISO day, else null. */
export function dayOrNull(text: string | null): string | null {
  return text !== null && /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text))
    ? text
    : null
}

export interface Period {
  since: string | null
  until: string | null
}

/**
 * The filter for the last `days` days that end with the newest value; null means all days.
 *
 * Dates in the future are errors or plans. If there are also earlier dates, the period ends today.
 */
export function period(
  days: number | null,
  first: string | null,
  last: string | null,
  present: string,
): Period {
  if (days === null || first === null || last === null) return { since: null, until: null }
  const ahead = last > present && first <= present
  const end = ahead ? present : last
  return { since: daysBefore(end, days - 1), until: ahead ? present : null }
}
