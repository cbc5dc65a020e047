import type { Unit } from '../types/metric'

/** A number from PostgREST, which sends values such as NaN as text. */
export type Value = number | string | null | undefined

/** Formatters for the user's locale. */
export interface Formats {
  /** In full: ₱1,234.50, 97.5%, 1,834. */
  value: (value: Value, unit: Unit) => string
  /** Short, for cards and axes: ₱1.2M. */
  short: (value: Value, unit: Unit) => string
  /** The change from one value to the next; null if one of them is not a number. */
  change: (value: Value, before: Value, unit: Unit) => Change | null
  /** An ISO day. */
  day: (day: string | null) => string
  /** An ISO day without its year. */
  shortDay: (day: string) => string
  /** A point in time, to the second if it is today. */
  time: (moment: Date) => string
  /** How long ago: “5 minutes ago”. */
  ago: (moment: Date, now: Date) => string
  /** An interval of Postgres in seconds: “0.8 sec”. */
  duration: (interval: unknown) => string
  count: (n: number) => string
}

export interface Change {
  direction: 'up' | 'down' | 'same'
  text: string
}

/** Shown in place of a missing value. */
export const NOTHING = '–'

const AGES: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
]

export function formats(
  languages: string | readonly string[] | undefined,
  currency: string,
): Formats {
  const locale = supported(languages)
  const number = (options: Intl.NumberFormatOptions) =>
    new Intl.NumberFormat(locale as string[], options)
  const date = (options: Intl.DateTimeFormatOptions) =>
    new Intl.DateTimeFormat(locale as string[], options)
  const money: Intl.NumberFormatOptions = {
    style: 'currency',
    currency,
    currencyDisplay: 'narrowSymbol',
  }
  const whole = number({ maximumFractionDigits: 0 })
  const full = {
    percent: number({ style: 'percent', maximumFractionDigits: 2 }),
    count: number({ maximumFractionDigits: 2 }),
    amount: number(money),
  }
  const short = {
    percent: number({ style: 'percent', maximumFractionDigits: 1 }),
    count: number({ notation: 'compact', maximumFractionDigits: 1 }),
    amount: number({
      ...money,
      notation: 'compact',
      minimumFractionDigits: 0,
      maximumFractionDigits: 1,
    }),
  }
  const round = {
    ...full,
    count: whole,
    amount: number({ ...money, minimumFractionDigits: 0, maximumFractionDigits: 0 }),
  }
  const signed = {
    percent: number({ style: 'percent', maximumFractionDigits: 2, signDisplay: 'exceptZero' }),
    count: number({ maximumFractionDigits: 2, signDisplay: 'exceptZero' }),
    amount: number({ ...money, signDisplay: 'exceptZero' }),
  }
  const percent = number({ style: 'percent', maximumFractionDigits: 1, signDisplay: 'exceptZero' })
  const points = number({ maximumFractionDigits: 2, signDisplay: 'exceptZero' })
  // A day has no time zone.
  const day = date({ dateStyle: 'medium', timeZone: 'UTC' })
  const shortDay = date({ day: 'numeric', month: 'short', timeZone: 'UTC' })
  const clock = date({ timeStyle: 'medium' })
  const moment = date({ dateStyle: 'medium', timeStyle: 'short' })
  const seconds = number({
    style: 'unit',
    unit: 'second',
    unitDisplay: 'short',
    maximumFractionDigits: 1,
  })
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' })

  const write = (value: Value, unit: Unit, by: Record<Unit, Intl.NumberFormat>) => {
    const n = toNumber(value)
    return n === null ? NOTHING : by[known(unit)].format(unit === 'percent' ? n / 100 : n)
  }
  // Intl cannot format dates such as 'infinity': their text is shown unchanged.
  const writeDay = (iso: string, by: Intl.DateTimeFormat) => {
    const time = new Date(iso)
    return Number.isNaN(time.getTime()) ? iso : by.format(time)
  }

  return {
    value: (value, unit) => {
      const n = toNumber(value)
      // Large numbers are shown without decimals.
      return write(value, unit, n !== null && Math.abs(n) >= 10_000 ? round : full)
    },
    short: (value, unit) => write(value, unit, short),
    change: (value, before, unit) => {
      const [now, then] = [toNumber(value), toNumber(before)]
      if (now === null || then === null) return null
      const difference = now - then
      const direction = difference > 0 ? 'up' : difference < 0 ? 'down' : 'same'
      if (unit === 'percent') return { direction, text: `${points.format(difference)} pp` }
      // A change from zero has no percentage.
      if (then === 0)
        return {
          direction,
          text: difference === 0 ? percent.format(0) : write(difference, unit, signed),
        }
      return { direction, text: percent.format(difference / Math.abs(then)) }
    },
    day: (iso) => (iso === null ? 'no date' : writeDay(iso, day)),
    shortDay: (iso) => writeDay(iso, shortDay),
    time: (at) =>
      at.toDateString() === new Date().toDateString() ? clock.format(at) : moment.format(at),
    ago: (at, now) => {
      const seconds = Math.min(0, Math.round((at.getTime() - now.getTime()) / 1000))
      const [unit, length] = AGES.find(([, size]) => -seconds >= size) ?? ['second', 1]
      return relative.format(Math.ceil(seconds / length), unit)
    },
    duration: (interval) => {
      const total = toSeconds(interval)
      return total === null ? NOTHING : seconds.format(total)
    },
    count: (n) => whole.format(n),
  }
}

/** The seconds of an interval that Postgres has written, such as `1 day 02:03:04.5`. */
function toSeconds(interval: unknown): number | null {
  const parts = /^(?:(\d+) days? ?)?(?:(\d+):(\d+):(\d+(?:\.\d+)?))?$/.exec(String(interval))
  if (!parts || interval === '') return null
  const [days, hours, minutes, rest] = parts.slice(1).map((part) => Number(part || 0))
  return (((days ?? 0) * 24 + (hours ?? 0)) * 60 + (minutes ?? 0)) * 60 + (rest ?? 0)
}

/** The languages, or the browser's default if Intl rejects one of them. */
function supported(
  languages: string | readonly string[] | undefined,
): string | readonly string[] | undefined {
  try {
    Intl.getCanonicalLocales(languages)
    return languages
  } catch {
    return undefined
  }
}

/** The unit; `count` for a unit that this version of the page does not know. */
function known(unit: string): Unit {
  return unit === 'percent' || unit === 'amount' ? unit : 'count'
}

/** A finite number, or null. */
export function toNumber(value: Value): number | null {
  if (value === null || value === undefined || value === '') return null
  const n = Number(value)
  return Number.isFinite(n) ? n : null
}
