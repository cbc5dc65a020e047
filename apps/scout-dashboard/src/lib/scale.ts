const DAY = 86_400_000

/** Round numbers that enclose the values, about `wanted` steps. Near zero they begin there. */
export function ticks(values: readonly number[], wanted: number): number[] {
  let low = Math.min(...values)
  let high = Math.max(...values)
  // Values that hardly differ would fill the chart with noise, and those that do not differ have no height.
  if (low > 0 && low < high / 2) low = 0
  if (high < 0 && high > low / 2) high = 0
  if (low === high) {
    const room = Math.abs(low) * 0.1 || 1
    low -= room
    high += room
  }
  const rough = (high - low) / wanted
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => rough <= factor * power) ?? 10)
  const start = Math.floor(low / step)
  const end = Math.ceil(high / step)
  return Array.from({ length: end - start + 1 }, (_, index) =>
    Number(((start + index) * step).toPrecision(12)),
  )
}

/** At most `most` days from first to last, both included, evenly apart. */
export function dayTicks(first: number, last: number, most: number): number[] {
  const days = Math.round((last - first) / DAY)
  if (days === 0) return [first]
  const steps = Math.max(1, Math.min(most - 1, days))
  return Array.from(
    { length: steps + 1 },
    (_, index) => first + Math.round((days * index) / steps) * DAY,
  )
}
