import { extent } from 'd3-array'
import { scaleLinear, scaleUtc, type ScaleLinear, type ScaleTime } from 'd3-scale'

const DAY_MS = 86_400_000
const VALUE_TICKS = 4

/** A scale with round ends around the values, and its ticks. It starts at zero if zero is near. */
export function valueScale(
  values: readonly number[],
  range: [number, number],
): { scale: ScaleLinear<number, number>; ticks: number[] } {
  let [low = 0, high = 0] = extent(values)
  // Without this rule, values that hardly differ would fill the whole height with noise.
  if (low > 0 && low < high / 2) low = 0
  if (high < 0 && high > low / 2) high = 0
  if (low === high) {
    const margin = Math.abs(low) * 0.1 || 1
    low -= margin
    high += margin
  }
  const scale = scaleLinear([low, high], range).nice(VALUE_TICKS)
  return { scale, ticks: scale.ticks(VALUE_TICKS) }
}

/** A scale from the first to the last day, and about `count` days as its ticks. */
export function dayScale(
  first: number,
  last: number,
  range: [number, number],
  count: number,
): { scale: ScaleTime<number, number>; ticks: number[] } {
  const scale = scaleUtc([first, last], range)
  // For a short period, the ticks of the scale include hours.
  const ticks = scale.ticks(count).map(Number)
  return { scale, ticks: first === last ? [first] : ticks.filter((time) => time % DAY_MS === 0) }
}
