const DAY = 86_400_000

/** The ISO day so many days before another; the same for what is no day. */
export function daysBefore(day: string, days: number): string {
  const time = Date.parse(day)
  return Number.isNaN(time) ? day : new Date(time - days * DAY).toISOString().slice(0, 10)
}

/** The reader's day, which need not be that of UTC. */
export function today(now = new Date()): string {
  const two = (n: number) => String(n).padStart(2, '0')
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`
}

/** What an address says is a day, if it is one. */
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
 * So many days up to the last one that has a value, both included; null: all.
 *
 * A day in the future is a typing error or a plan, and not where the present ends: unless there is nothing else, it does not count.
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
