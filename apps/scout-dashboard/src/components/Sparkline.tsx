import { makeStyles, tokens } from '@fluentui/react-components'

import { toNumber, type Value } from '../lib/format'

const WIDTH = 240
const HEIGHT = 48
const MARGIN = 3

const useStyles = makeStyles({
  chart: { display: 'block', width: '100%', height: `${HEIGHT}px` },
  line: { stroke: tokens.colorBrandStroke1, fill: 'none', strokeWidth: '2px' },
})

/** The last days at a glance. What it shows stands beside it in words, so screen readers skip it. */
export function Sparkline({ values }: { values: readonly Value[] }) {
  const styles = useStyles()
  const path = linePath(values)
  if (path === null) return <div className={styles.chart} />
  return (
    <svg
      className={styles.chart}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
      focusable="false"
    >
      <path
        d={path}
        className={styles.line}
        vectorEffect="non-scaling-stroke"
        strokeLinejoin="round"
      />
    </svg>
  )
}

/** From left to right over the whole width; null where there are no two numbers to connect. */
export function linePath(values: readonly Value[]): string | null {
  const numbers = values.map(toNumber).filter((value) => value !== null)
  if (numbers.length < 2) return null
  const low = Math.min(...numbers)
  const span = Math.max(...numbers) - low
  const points = numbers.map((value, index) => {
    const x = (index / (numbers.length - 1)) * WIDTH
    // Values that are all the same lie in the middle.
    const y = span === 0 ? HEIGHT / 2 : MARGIN + (1 - (value - low) / span) * (HEIGHT - 2 * MARGIN)
    return `${x.toFixed(1)} ${y.toFixed(1)}`
  })
  return `M${points.join('L')}`
}
