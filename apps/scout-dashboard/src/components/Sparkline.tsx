import { makeStyles, tokens } from '@fluentui/react-components'
import { extent } from 'd3-array'
import { scaleLinear } from 'd3-scale'
import { line } from 'd3-shape'

import { toNumber, type Value } from '../lib/format'

const WIDTH = 240
const HEIGHT = 48
const MARGIN = 3

const useStyles = makeStyles({
  chart: { display: 'block', width: '100%', height: `${HEIGHT}px` },
  line: { stroke: tokens.colorBrandStroke1, fill: 'none', strokeWidth: '2px' },
})

/** The trend of the last days. The text beside it says the same, so screen readers skip it. */
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

/** A path over the whole width; null for fewer than two numbers. Equal values lie in the middle. */
export function linePath(values: readonly Value[]): string | null {
  const numbers = values.map(toNumber).filter((value) => value !== null)
  const [low, high] = extent(numbers)
  if (low === undefined || numbers.length < 2) return null
  const x = scaleLinear([0, numbers.length - 1], [0, WIDTH])
  const y = scaleLinear([low, high], [HEIGHT - MARGIN, MARGIN])
  return line<number>((_value, index) => x(index), y).digits(1)(numbers)
}
